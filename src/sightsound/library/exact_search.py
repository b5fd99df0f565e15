"""Exact search by cosine over the rows of a space, block by block, where they lie on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, unit_rows
from sightsound.library.space_rows import RowsView, SegmentRuns, SpaceRows, members
from sightsound.library.store.segments import MappedSegment

_QUERY_ROWS = 1024  # rows of queries that are compared at once
_SCORES = 2**22  # scores that are held at once
_SPARE = 16  # candidates beyond `k`, since scores are rounded to float32 until the last step
_GATHER = 8  # if at most one row in so many is allowed, the allowed rows are gathered
_GATHERED_BYTES = 2**24  # of rows that are gathered at once
_LOCATED = 4096  # pairs whose cosines are computed at once
_NONE = -2.0  # as a threshold: less than any cosine, more than what may not be found
_ROUNDING = np.float32(1e-5)  # by more, no two scores differ that are equal in double precision
_LARGEST = 1.01  # of a cosine of stored rows, which have length 1 up to rounding


@dataclass(frozen=True)
class Pair:
    """The best pair of a row of a query and a row of the space.

    Parameters
    ----------
    content : int
        Number of the content of the row.
    score : float
        Cosine of the pair.
    seconds : tuple of float or None
        Start and stop of the row; None for an image.
    query_row : int
        Number of the row in the query.
    """

    content: int
    score: float
    seconds: tuple[float, float] | None
    query_row: int


@dataclass
class _Block:
    """Rows that are compared at once, divided into units: the windows of a content that are in it, or single windows.

    `starts` are the first rows of the units in `vectors`, `places` their rows in the segment. `apart` says that no two
    units are of the same content, or are to be found both.
    """

    vectors: Floats
    starts: NDArray[np.int64]
    places: NDArray[np.int64]
    counts: NDArray[np.int64]
    contents: NDArray[np.int64]
    allowed: NDArray[np.bool_] | None
    apart: bool


@dataclass
class _Candidates:
    """The best units found so far for each query: parallel arrays, at most one for each content of a query."""

    query: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    score: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    content: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    segment: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    place: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    count: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    chunk: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def chosen(self, index: NDArray[np.intp]) -> _Candidates:
        """Return some of the candidates."""
        return _Candidates(**{name: values[index] for name, values in vars(self).items()})

    def joined(self, others: Sequence[_Candidates]) -> _Candidates:
        """Return these and others."""
        return _Candidates(
            **{name: np.concatenate([values, *(vars(o)[name] for o in others)]) for name, values in vars(self).items()}
        )


class ExactSearch:
    """One search for several queries at once.

    Parameters
    ----------
    rows : SpaceRows or RowsView
        Where to search.
    queries : sequence of ndarray of float32 (q, dim)
        The rows of each query, of any length. Its score with a row of the space is the highest cosine of any of them.
    k : int
        Number of contents to find for each query, or of windows.
    contents : ndarray of int64 (n,) or None
        Numbers of the contents that may be found, sorted; None for all.
    left_out : sequence of int or None
        A content that may not be found, for each query; None for none at all.
    windows : bool
        Whether to find the best windows, rather than the contents of the best windows.
    """

    def __init__(
        self,
        rows: SpaceRows | RowsView,
        queries: Sequence[Floats],
        k: int,
        contents: NDArray[np.int64] | None = None,
        left_out: Sequence[int | None] | None = None,
        *,
        windows: bool = False,
    ) -> None:
        self._rows, self._k, self._contents, self._windows = rows, k + _SPARE, contents, windows
        self._left_out = np.array([-1 if content is None else content for content in left_out or [None] * len(queries)])
        self._owners = np.repeat(np.arange(len(queries)), [len(query) for query in queries])
        self._firsts = np.cumsum([0, *(len(query) for query in queries)])
        self._queries = unit_rows(np.concatenate([np.asarray(query, np.float32) for query in queries]))
        self._found, self._waiting = _Candidates(), list[_Candidates]()
        self._thresholds = np.full(len(queries), _NONE, np.float32)

    def pairs(self) -> list[list[Pair]]:
        """Return the best pairs for each query, some more than `k`: by descending score, equal ones by content.

        Raises
        ------
        LibraryError
            If scores show that the rows are damaged.
        """
        if len(self._queries) and self._k > _SPARE:
            for number, runs in enumerate(self._rows.runs):
                for block in self._blocks(runs):
                    self._compare(number, block)
        self._merge()
        return self._located()

    # -- the blocks of a segment -----------------------------------------------------------------------------------

    def _blocks(self, runs: SegmentRuns) -> Iterator[_Block]:
        alive = runs.alive
        if self._contents is not None:
            alive = alive & members(runs.contents, self._contents)
        if len(self._left_out) == 1:
            alive = alive & (runs.contents != self._left_out[0])
        if not alive.any():
            return iter(())
        most = max(1, _SCORES // min(_QUERY_ROWS, len(self._queries)))
        return _BlockReader(runs, alive, self._windows, most).blocks()

    # -- comparing -------------------------------------------------------------------------------------------------

    def _compare(self, number: int, block: _Block) -> None:
        """Compare all queries with a block, and keep what is better than the worst candidate."""
        for chunk, first in enumerate(range(0, len(self._queries), _QUERY_ROWS)):
            part = self._queries[first : first + _QUERY_ROWS]
            scores = (block.vectors @ part[0])[None] if len(part) == 1 else part @ block.vectors.T
            owners, scores = self._by_query(self._owners[first : first + len(part)], scores)
            if len(block.starts) < scores.shape[1]:
                scores = np.maximum.reduceat(scores, block.starts, axis=1)
            if not scores.max() < _LARGEST:  # also for NaN
                raise self._rows.damaged("a vector is not finite, or not of length 1")
            if block.allowed is not None:
                np.copyto(scores, -np.inf, where=~block.allowed)
            self._keep(number, block, chunk, owners, scores)

    @staticmethod
    def _by_query(owners: NDArray[np.int64], scores: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Return the queries in a chunk and the highest score of their rows with each row."""
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        if len(first) == len(owners):
            return owners, scores
        if len(first) == 1:
            return owners[:1], scores.max(axis=0, keepdims=True)  # faster than reduceat
        return owners[first], np.maximum.reduceat(scores, first, axis=0)

    def _keep(self, number: int, block: _Block, chunk: int, owners: NDArray[np.int64], scores: Floats) -> None:
        thresholds = self._thresholds[owners]
        if (
            block.apart and scores.shape[1] > 4 * self._k and (thresholds == _NONE).any()
        ):  # at first: few more than can be wanted
            thresholds = np.maximum(thresholds, np.partition(scores, -self._k, axis=1)[:, -self._k])
        query, column = np.nonzero(scores >= thresholds[:, None])
        own = block.contents[column] == self._left_out[owners[query]]
        if own.any():
            query, column = query[~own], column[~own]
        if not len(query):
            return
        size = len(query)
        self._waiting.append(
            _Candidates(
                owners[query],
                scores[query, column],
                block.contents[column],
                np.full(size, number),
                block.places[column],
                block.counts[column],
                np.full(size, chunk),
            )
        )
        if sum(len(each.query) for each in self._waiting) > len(owners) * self._k:
            self._merge()

    def _merge(self) -> None:
        """Keep the best candidates of each query, one for each content, and raise the thresholds."""
        found, self._waiting = self._found.joined(self._waiting), []
        unit = found.place if self._windows else np.zeros_like(found.place)
        where = found.segment if self._windows else unit
        order = np.lexsort((-found.score, unit, where, found.content, found.query))
        found = found.chosen(order)
        keys = (found.query, found.content, where[order], unit[order])
        if len(order):
            new = np.append(True, np.logical_or.reduce([key[1:] != key[:-1] for key in keys]))
            found = found.chosen(np.flatnonzero(new))
        order = np.lexsort((found.place, found.segment, found.content, -found.score, found.query))
        found = found.chosen(order)
        first = np.searchsorted(found.query, np.arange(len(self._thresholds)))
        rank = np.arange(len(found.query)) - first[found.query]
        last = found.chosen(np.flatnonzero(rank == self._k - 1))
        self._thresholds[last.query] = last.score
        self._found = found.chosen(np.flatnonzero(rank < self._k))

    # -- the pairs of the candidates -------------------------------------------------------------------------------

    def _located(self) -> list[list[Pair]]:
        found = self._found
        rank = np.arange(len(found.query)) - np.searchsorted(found.query, found.query)
        last = np.full(len(self._thresholds), _NONE, np.float32)
        last[found.query[rank == self._k - _SPARE - 1]] = found.score[rank == self._k - _SPARE - 1]
        found = found.chosen(np.flatnonzero(found.score >= last[found.query] - _ROUNDING))
        found = found.chosen(np.lexsort((found.place, found.segment)))
        lengths = np.diff(self._firsts)[found.query]
        pairs: list[list[Pair]] = [[] for _ in self._thresholds]
        single = (found.count == 1) & (lengths == 1)
        for number in np.flatnonzero(~single).tolist():
            self._locate(found, number)
        for number, runs in enumerate(self._rows.runs):
            of_segment = np.flatnonzero(found.segment == number)
            for first in range(0, len(of_segment), _LOCATED):
                part = found.chosen(of_segment[first : first + _LOCATED])
                for query, pair in self._pairs(runs.segment, part):
                    pairs[query].append(pair)
        for each in pairs:
            each.sort(key=lambda pair: (-pair.score, pair.content, pair.seconds or ()))
        return pairs

    def _locate(self, found: _Candidates, number: int) -> None:
        """Reduce a candidate to its best pair: set its place to that row, its chunk to the row of the queries."""
        segment = self._rows.runs[int(found.segment[number])].segment
        query, place, count, chunk = (
            int(each[number]) for each in (found.query, found.place, found.count, found.chunk)
        )
        first = max(int(self._firsts[query]), chunk * _QUERY_ROWS)
        part = self._queries[first : min(int(self._firsts[query + 1]), (chunk + 1) * _QUERY_ROWS)]
        scores = segment.unit_rows(place, count) @ part.T
        row = int(scores.max(axis=1).argmax())
        found.place[number], found.chunk[number] = place + row, -1 - first - int(scores[row].argmax())

    def _pairs(self, segment: MappedSegment, part: _Candidates) -> Iterator[tuple[int, Pair]]:
        """Yield the query and the pair of candidates that are one row each, with cosines in double precision."""
        rows = np.where(part.chunk < 0, -1 - part.chunk, self._firsts[part.query])
        vectors, queries = segment.take(part.place), self._queries[rows]
        scores = np.clip(np.einsum("ij,ij->i", vectors, queries, dtype=np.float64), -1, 1)
        spans = segment.take_records(part.place)[["start", "stop"]].tolist()
        columns = (part.query, part.content, scores, rows - self._firsts[part.query])
        for (start, stop), query, content, score, row in zip(spans, *(column.tolist() for column in columns)):
            yield query, Pair(content, score, None if start != start else (start, stop), row)


class _BlockReader:
    """The blocks of a segment that have allowed runs: where they lie, or gathered if these are few."""

    def __init__(self, runs: SegmentRuns, alive: NDArray[np.bool_], windows: bool, most: int) -> None:
        self._runs, self._alive, self._windows, self._most = runs, alive, windows, most

    def blocks(self) -> Iterator[_Block]:
        """Yield blocks in the order of their rows."""
        lengths = self._runs.stops - self._runs.starts
        if self._runs.partial or _GATHER * int(lengths[self._alive].sum()) <= len(self._runs.segment):
            yield from self._gathered()
            return
        for first, count in self._runs.segment.blocks():
            for start in range(first, first + count, self._most):
                yield self._in_place(start, min(self._most, first + count - start))

    def _in_place(self, first: int, count: int) -> _Block:
        runs, segment = self._runs, self._runs.segment
        a, b = np.searchsorted(runs.starts, first, "right") - 1, np.searchsorted(runs.starts, first + count)
        places = np.maximum(runs.starts[a:b], first)
        counts = np.minimum(runs.stops[a:b], first + count) - places
        allowed = self._alive[a:b]
        return self._block(segment.unit_rows(first, count), places, counts, runs.contents[a:b], allowed)

    def _gathered(self) -> Iterator[_Block]:
        runs, segment = self._runs, self._runs.segment
        chosen = np.flatnonzero(self._alive)
        counts = runs.stops[chosen] - runs.starts[chosen]
        owners = np.repeat(chosen, counts)
        rows = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts) + runs.starts[owners]
        size = max(1, min(self._most, _GATHERED_BYTES // (4 * segment.facts.layout.dim)))
        for a in range(0, len(rows), size):
            part, owner = rows[a : a + size], owners[a : a + size]
            first = np.flatnonzero(np.diff(owner, prepend=-1))
            lengths = np.diff(first, append=len(part))
            allowed = np.ones(len(first), np.bool_)
            yield self._block(segment.take(part), part[first], lengths, runs.contents[owner[first]], allowed)

    def _block(
        self,
        vectors: Floats,
        places: NDArray[np.int64],
        counts: NDArray[np.int64],
        contents: NDArray[np.int64],
        allowed: NDArray[np.bool_],
    ) -> _Block:
        """Return a block with a unit for each run, or for each window."""
        starts = np.cumsum(counts) - counts
        if self._windows:
            offsets = np.arange(len(vectors)) - np.repeat(starts, counts)
            places, contents = np.repeat(places, counts), np.repeat(contents, counts)
            allowed = np.repeat(allowed, counts)
            places, starts, counts = places + offsets, np.arange(len(vectors)), np.ones(len(vectors), np.int64)
        apart = self._windows or not self._runs.partial
        return _Block(vectors, starts, places, counts, contents, None if allowed.all() else allowed, apart)
