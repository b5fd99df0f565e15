"""Search through an index: its candidates and all newer rows are compared with the query exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, unit_rows
from sightsound.library.approximate.opened import OpenIndex
from sightsound.library.exact_search import ExactSearch, Pair
from sightsound.library.space_rows import RowsView, SegmentRuns, SpaceRows, members

_FIRST = 2  # rows that are asked for at first, for each content that is wanted: some are of the same content
_MORE = 4  # times as many, where those are too few
_HARDER = 4  # times the effort, where all that was looked at is too little
_MOST_ROWS = 2**14  # that are asked for at once


class ApproximateSearch:
    """One search for several queries at once, as `ExactSearch`.

    Parameters
    ----------
    rows : SpaceRows or RowsView
        Where to search.
    index : OpenIndex
        An index that fits the rows.
    effort : int
        How much of the index to look at.
    queries : sequence of ndarray of float32 (q, dim)
        The rows of each query, of any length.
    k : int
        Number of contents to find for each query.
    contents : ndarray of int64 (n,) or None
        Numbers of the contents that may be found, sorted; None for all.
    left_out : sequence of int or None
        A content that may not be found, for each query.

    Attributes
    ----------
    short : list of int
        The numbers of the queries for which the index knows fewer than `k` contents, after `pairs`.
    """

    def __init__(
        self,
        rows: SpaceRows | RowsView,
        index: OpenIndex,
        effort: int,
        queries: Sequence[Floats],
        k: int,
        contents: NDArray[np.int64] | None,
        left_out: Sequence[int | None],
    ) -> None:
        self._rows, self._index, self._effort, self._k = rows, index, effort, k
        self._queries, self._contents, self._left_out = queries, contents, left_out
        self._owners = np.repeat(np.arange(len(queries)), [len(query) for query in queries])
        self._unit = unit_rows(np.concatenate([np.asarray(query, np.float32) for query in queries]))
        known = {number: rows for number, _, rows in index.stamp.segments}
        self._known = [known.get(runs.segment.facts.id, 0) for runs in rows.runs]
        order = {number: at for at, (number, _, _) in enumerate(index.stamp.segments)}
        self._chosen = [(at, order[r.segment.facts.id]) for at, r in enumerate(rows.runs) if self._known[at]]
        self._firsts = np.cumsum([0, *(count for _, _, count in index.stamp.segments)])
        self.short: list[int] = []

    def pairs(self) -> list[list[Pair]]:
        """Return the best pairs for each query: as `ExactSearch.pairs`, of what the index and the newer rows have."""
        candidates = self._candidates()
        view = RowsView(list(self._views(candidates)), self._rows.damaged)
        return ExactSearch(view, self._queries, self._k, self._contents, self._left_out).pairs()

    # -- what the index knows --------------------------------------------------------------------------------------

    def _candidates(self) -> NDArray[np.int64]:
        """Return the numbers of the candidates of all queries, sorted, those of enough contents for each."""
        total = self._index.stamp.rows
        allowed = None if self._contents is None else self._allowed(total)
        enough = math.ceil(self._index.kind.spare * self._k)
        count, found = min(total, _FIRST * enough), list[NDArray[np.int64]]()
        asked, effort = np.arange(len(self._queries)), self._effort
        while True:
            rows = np.isin(self._owners, asked)
            numbers = self._index.ask(self._unit[rows], count, effort, allowed)
            owners = np.repeat(self._owners[rows], numbers.shape[1])
            there = numbers.ravel() >= 0
            kept, contents = self._alive(numbers.ravel()[there])
            owners = owners[there]
            own = np.array([-1 if each is None else each for each in self._left_out])[owners]
            kept &= contents != own
            found.append(numbers.ravel()[there][kept])
            keys = np.unique(np.stack([owners[kept], contents[kept]], axis=1), axis=0)
            sizes = np.bincount(keys[:, 0], minlength=len(self._queries))
            unfinished = np.unique(self._owners[rows][numbers[:, -1] >= 0])  # the others have been given all there is
            more = asked[(sizes[asked] < enough) & np.isin(asked, unfinished)]
            if count >= min(total, _MOST_ROWS):
                more = more[:0]
            settled = asked[~np.isin(asked, more)]
            short = settled[sizes[settled] < self._k]
            if len(more):
                self.short += short.tolist()
                asked, count = more, min(total, _MOST_ROWS, _MORE * count)
            elif len(short) and effort < self._index.most:
                asked, effort = short, min(self._index.most, _HARDER * effort)
            else:
                self.short += short.tolist()
                return np.unique(np.concatenate(found))

    def _allowed(self, total: int) -> NDArray[np.bool_]:
        """Return which rows of the index a filter keeps."""
        allowed = np.zeros(total, np.bool_)
        assert self._contents is not None
        for at, place in self._chosen:
            runs, known = self._rows.runs[at], self._known[at]
            chosen = runs.alive & members(runs.contents, self._contents)
            lengths = np.minimum(runs.stops, known) - np.minimum(runs.starts, known)
            allowed[self._firsts[place] : self._firsts[place + 1]] = np.repeat(chosen, lengths)
        return allowed

    def _alive(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return which rows of the index can be found, and their contents."""
        alive, contents = np.zeros(len(numbers), np.bool_), np.full(len(numbers), -1)
        for at, place in self._chosen:
            runs = self._rows.runs[at]
            inside = np.flatnonzero((numbers >= self._firsts[place]) & (numbers < self._firsts[place + 1]))
            run = np.searchsorted(runs.starts, numbers[inside] - self._firsts[place], "right") - 1
            alive[inside], contents[inside] = runs.alive[run], runs.contents[run]
        return alive, contents

    # -- what is compared ------------------------------------------------------------------------------------------

    def _views(self, candidates: NDArray[np.int64]) -> Iterator[SegmentRuns]:
        """Yield what is compared of each segment: candidates, and rows that are newer than the index."""
        places = dict(self._chosen)
        for at, runs in enumerate(self._rows.runs):
            if at not in places:
                yield runs
                continue
            first, stop = self._firsts[places[at]], self._firsts[places[at] + 1]
            inside = candidates[(candidates >= first) & (candidates < stop)] - first
            run = np.searchsorted(runs.starts, inside, "right") - 1
            newer = np.empty(0, np.int64)
            if len(runs.segment) > self._known[at]:
                newer = np.flatnonzero(runs.stops > self._known[at])
            elif not len(inside):
                continue
            starts = np.concatenate([inside, np.maximum(runs.starts[newer], self._known[at])])
            ends = np.concatenate([inside + 1, runs.stops[newer]])
            chosen = np.concatenate([run, newer])
            yield SegmentRuns(runs.segment, starts, runs.contents[chosen], runs.alive[chosen], ends)
