"""The exact nearest neighbours of one space, in memory: FAISS over unit vectors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound._threads import cores
from sightsound.contract.arrays import Floats, unit_rows

_QUERIES = 256  # windows of the query that are searched at once
_TOGETHER = 2**22  # scores that are held at once: many windows of the query with many neighbours each, as in silence
_FIRST = 64  # neighbours asked for at first; more where they hold too few items


@dataclass(frozen=True)
class Pair:
    """The best pair of windows of the query and one content: row numbers in each, and their cosine."""

    content: int
    score: float
    row: int
    query_row: int


@dataclass
class VectorIndex:
    """The vectors of one space: `vectors` float32 (n, dim) as stored, `contents` int64 (n,), `spans` float64 (n, 2)
    (NaN for images). The FAISS index is filled when it is first asked."""

    vectors: Floats
    contents: NDArray[np.int64]
    spans: NDArray[np.float64]
    _index: Any = field(default=None, repr=False)

    def grouped(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Each content with the numbers of its rows, in order."""
        order = np.argsort(self.contents, kind="stable")
        starts = np.flatnonzero(np.diff(self.contents[order], prepend=-1))
        for rows in np.split(order, starts[1:]) if len(order) else ():
            yield int(self.contents[rows[0]]), rows

    def best(self, queries: Floats, k: int, *, allowed: NDArray[np.bool_], min_score: float = -1.0) -> list[Pair]:
        """The `k` contents whose best pair of windows with the queries (q, dim) has the highest cosine, best first.

        `allowed` bool (n,) says which vectors may be found. The answer is exact.
        """
        if not len(queries) or not allowed.any() or k < 1:
            return []
        queries = unit_rows(np.asarray(queries, np.float32))
        best: dict[int, Pair] = {}
        for a in range(0, len(queries), _QUERIES):
            for pair in self._best(queries[a : a + _QUERIES], k, allowed):
                if pair.content not in best or best[pair.content].score < pair.score:
                    best[pair.content] = replace(pair, query_row=pair.query_row + a)
        ranked = sorted(best.values(), key=lambda pair: (-pair.score, pair.content))
        return [pair for pair in ranked if pair.score >= min_score][:k]

    def _best(self, queries: Floats, k: int, allowed: NDArray[np.bool_]) -> list[Pair]:
        """Asks for more neighbours until no vector that was left out can belong to the best `k` contents."""
        total = int(allowed.sum())
        wanted = min(total, max(_FIRST, 4 * k))
        while True:
            scores, rows = self._search(queries, wanted, allowed)
            order = np.argsort(-scores, axis=None, kind="stable")
            flat = rows.ravel()[order]
            _, first = np.unique(self.contents[flat], return_index=True)
            first = np.sort(first)[:k]
            if wanted == total or (len(first) == k and scores.ravel()[order[first[-1]]] > scores[:, -1].max()):
                chosen = order[first]
                return [
                    Pair(int(self.contents[row]), float(score), int(row), int(query))
                    for row, score, query in zip(rows.ravel()[chosen], scores.ravel()[chosen], chosen // wanted)
                ]
            wanted = min(total, 4 * wanted)
            if len(queries) > 1 and len(queries) * wanted > _TOGETHER:
                half = len(queries) // 2
                second = [replace(p, query_row=p.query_row + half) for p in self._best(queries[half:], k, allowed)]
                return self._best(queries[:half], k, allowed) + second

    def _search(self, queries: Floats, k: int, allowed: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64]]:
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
