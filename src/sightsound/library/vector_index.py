"""The vectors of one space in memory, with exact nearest-neighbour search by FAISS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound._threads import cores
from sightsound.contract.arrays import Floats, unit_rows

_QUERY_ROWS = 256  # rows of the query that are searched together
_SCORES = 2**22  # most scores that are held at once; silence, for example, has very many equally near neighbours
_NEIGHBOURS = 64  # neighbours that are asked for first; more if they belong to too few contents
_FEW_ROWS = 64  # rows of a query for which all allowed vectors are copied: FAISS selects slowly, without BLAS
_COPIED_BYTES = 2**30


@dataclass(frozen=True)
class Pair:
    """The best pair of a row of the query and a vector of one content.

    Parameters
    ----------
    content : int
        Number of the content.
    score : float
        Cosine of the pair.
    row, query_row : int
        Numbers of the vector in the index and of the row in the query.
    """

    content: int
    score: float
    row: int
    query_row: int


@dataclass
class VectorIndex:
    """The vectors of one space, with exact search by cosine. The FAISS index is filled at the first search.

    Parameters
    ----------
    vectors : ndarray of float32 (n, dim)
        The vectors as stored, of any length.
    contents : ndarray of int64 (n,)
        Number of the content that each vector belongs to.
    spans : ndarray of float64 (n, 2)
        Start and stop of the windows in seconds, NaN for images.
    """

    vectors: Floats
    contents: NDArray[np.int64]
    spans: NDArray[np.float64]
    _index: Any = field(default=None, repr=False)

    def grouped(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Yield each content with the numbers of its rows, in ascending order."""
        order = np.argsort(self.contents, kind="stable")
        starts = np.flatnonzero(np.diff(self.contents[order], prepend=-1))
        for rows in np.split(order, starts[1:]) if len(order) else ():
            yield int(self.contents[rows[0]]), rows

    def search(self, queries: Floats, k: int, *, allowed: NDArray[np.bool_], min_score: float = -1.0) -> list[Pair]:
        """Return the best pair of each of the `k` nearest contents, best first. The result is exact.

        Parameters
        ----------
        queries : ndarray of float32 (q, dim)
            Rows of the query. The score of a content is the highest cosine of any pair.
        k : int
            Number of contents.
        allowed : ndarray of bool (n,)
            Which vectors may be found.
        min_score : float, default=-1
            Lowest cosine.

        Returns
        -------
        list of Pair
            At most `k`, sorted by descending score, equal scores by content.
        """
        if not len(queries) or not allowed.any() or k < 1:
            return []
        if len(queries) > _FEW_ROWS and not allowed.all() and self.vectors[:1].nbytes * allowed.sum() < _COPIED_BYTES:
            rows = np.flatnonzero(allowed)
            part = VectorIndex(self.vectors[rows], self.contents[rows], self.spans[rows])
            pairs = part.search(queries, k, allowed=np.ones(len(rows), np.bool_), min_score=min_score)
            return [replace(pair, row=int(rows[pair.row])) for pair in pairs]
        queries = unit_rows(np.asarray(queries, np.float32))
        best: dict[int, Pair] = {}
        for a in range(0, len(queries), _QUERY_ROWS):
            for pair in self._search_rows(queries[a : a + _QUERY_ROWS], k, allowed):
                if pair.content not in best or best[pair.content].score < pair.score:
                    best[pair.content] = replace(pair, query_row=pair.query_row + a)
        ranked = sorted(best.values(), key=lambda pair: (-pair.score, pair.content))
        return [pair for pair in ranked if pair.score >= min_score][:k]

    def _search_rows(self, queries: Floats, k: int, allowed: NDArray[np.bool_]) -> list[Pair]:
        """Ask FAISS for more neighbours until no other vector can belong to the best `k` contents."""
        total = int(allowed.sum())
        wanted = min(total, max(_NEIGHBOURS, 4 * k))
        while True:
            scores, rows = self._search_faiss(queries, wanted, allowed)
            pairs = self._best_pairs(scores, rows, k)
            if wanted == total or (len(pairs) == k and pairs[-1].score > scores[:, -1].max()):
                return pairs
            wanted = min(total, 4 * wanted)
            if len(queries) > 1 and len(queries) * wanted > _SCORES:
                half = len(queries) // 2
                second = self._search_rows(queries[half:], k, allowed)
                second = [replace(pair, query_row=pair.query_row + half) for pair in second]
                return self._search_rows(queries[:half], k, allowed) + second

    def _best_pairs(self, scores: Floats, rows: NDArray[np.int64], k: int) -> list[Pair]:
        """Return the best pair of each of the `k` best contents among the neighbours (q, n) of the query's rows."""
        order = np.argsort(-scores, axis=None, kind="stable")
        order = order[rows.ravel()[order] >= 0]  # FAISS fills up with -1 where it has no more neighbours
        _, first = np.unique(self.contents[rows.ravel()[order]], return_index=True)
        chosen = order[np.sort(first)[:k]]
        return [
            Pair(int(self.contents[row]), float(score), int(row), int(query))
            for row, score, query in zip(rows.ravel()[chosen], scores.ravel()[chosen], chosen // rows.shape[1])
        ]

    def _search_faiss(self, queries: Floats, k: int, allowed: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64]]:
        import importlib

        faiss: Any = importlib.import_module("faiss")  # its stubs describe the C++ side, not the Python one
        faiss.omp_set_num_threads(cores())
        if self._index is None:
            index = faiss.IndexFlatIP(self.vectors.shape[1])
            index.add(unit_rows(self.vectors))
            self._index = index
        bits = np.packbits(allowed, bitorder="little")
        parameters = None if allowed.all() else faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        scores, rows = self._index.search(queries, k, params=parameters)
        return np.clip(scores, -1, 1), rows
