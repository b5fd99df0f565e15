"""The windows of recordings that labelled time ranges overlap by enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import TimeRange
from sightsound.library.space_rows import RowsView, SegmentRuns, SpaceRows, members

Ints = NDArray[np.int64]


def matching_windows(spans: Seconds, start: float, stop: float, min_overlap: float) -> NDArray[np.intp]:
    """Return the windows that a time range overlaps by enough.

    Parameters
    ----------
    spans : ndarray of float64 (n, 2)
        Start and stop of the windows in seconds.
    start, stop : float
        The range in seconds. A moment, whose start and stop are equal, is in each window that contains it.
    min_overlap : float
        The least part that must overlap, of the range or of the window, whichever is shorter.

    Returns
    -------
    ndarray of int (m,)
        The numbers of the windows.
    """
    starts, stops = spans[:, 0], spans[:, 1]
    if stop <= start:
        return np.flatnonzero((starts <= start) & (start < stops))
    overlap = np.minimum(stops, stop) - np.maximum(starts, start)
    shorter = np.minimum(stops - starts, stop - start)
    return np.flatnonzero((overlap > 0) & (overlap >= min_overlap * shorter * (1 - 1e-9)))


def labels_of_windows(ranges: Iterable[TimeRange], spans: Seconds, min_overlap: float) -> list[tuple[str, ...]]:
    """Return the labels that each window has from the time ranges that it overlaps by enough, sorted.

    Parameters
    ----------
    ranges : iterable of TimeRange
        The ranges of the recording, of one column.
    spans : ndarray of float64 (n, 2)
        Start and stop of its windows in seconds.
    min_overlap : float
        As of `matching_windows`.

    Returns
    -------
    list of tuple of str, length n
    """
    found: list[set[str]] = [set() for _ in spans]
    for each in ranges:
        for window in matching_windows(spans, each.start, each.stop, min_overlap):
            found[window].add(each.value)
    return [tuple(sorted(labels)) for labels in found]


def check_overlap(min_overlap: float) -> None:
    """Raise `SightsoundError` if the least part that must overlap is not over 0 and up to 1."""
    if not 0 < min_overlap <= 1:
        raise SightsoundError(f"min_overlap: expected a number over 0 and up to 1, got {min_overlap}")


@dataclass(frozen=True)
class WindowChoice:
    """The windows that a filter by labels keeps, of recordings that have a label on time ranges alone.

    Parameters
    ----------
    pairs : ndarray of int64 (n, 2)
        The contents of which not all windows match, each with the items that match, sorted.
    ranges : sequence of (ndarray of int64 (m,), ndarray of float64 (m, 2))
        For each label the items that have it on time ranges alone, sorted, and start and stop of these ranges.
    min_overlap : float
        As of `matching_windows`.
    """

    pairs: Ints
    ranges: Sequence[tuple[Ints, Seconds]]
    min_overlap: float

    @classmethod
    def of(cls, matching: Ints, ranges: Sequence[tuple[Ints, Seconds]], min_overlap: float) -> WindowChoice:
        """Return the choice, given all (content, item) that match, int64 (n, 2).

        All windows of a content match if one of its items has each label itself.
        """
        limited = np.isin(matching[:, 1], np.concatenate([items for items, _ in ranges]))
        free = np.unique(matching[~limited, 0])
        pairs = matching[~np.isin(matching[:, 0], free)]
        return cls(np.unique(pairs, axis=0), ranges, min_overlap)

    def keeps(self, item: int, seconds: tuple[float, float]) -> bool:
        """Return whether a part of a matching item overlaps a range of each label that it has on ranges alone."""
        return bool(self._of_item(item, np.array([seconds]))[0])

    def keeps_any(self, content: int, seconds: tuple[float, float]) -> bool:
        """Return whether a part of a matching content matches in any of its items."""
        return bool(self._of_content(content, np.array([seconds]))[0])

    def of_items(self, items: Sequence[int], of: Ints, spans: Seconds) -> NDArray[np.bool_]:
        """Return which rows match.

        Parameters
        ----------
        items : sequence of int
            Ids of items that match.
        of : ndarray of int64 (n,)
            For each row the number of its item in `items`, in ascending order within each item.
        spans : ndarray of float64 (n, 2)
            Start and stop of each row in seconds.
        """
        kept = np.ones(len(of), np.bool_)
        for number in np.unique(of).tolist():
            own = np.flatnonzero(of == number)
            kept[own] = self._of_item(items[number], spans[own])
        return kept

    def view(self, rows: SpaceRows, contents: Ints) -> RowsView:
        """Return the rows that match, of contents that do.

        Parameters
        ----------
        rows : SpaceRows
            The rows of the space.
        contents : ndarray of int64 (n,)
            Numbers of the contents with items that match, sorted.
        """
        limited = np.unique(self.pairs[:, 0])
        return RowsView([self._matching_runs(each, contents, limited) for each in rows.runs], rows.damaged)

    def _matching_runs(self, runs: SegmentRuns, contents: Ints, limited: Ints) -> SegmentRuns:
        chosen = runs.alive & members(runs.contents, contents)
        divided = chosen & members(runs.contents, limited)
        whole = chosen & ~divided
        parts = [np.stack([runs.starts[whole], runs.stops[whole], runs.contents[whole]], axis=1)]
        columns = (each[divided].tolist() for each in (runs.starts, runs.stops, runs.contents))
        for start, stop, content in zip(*columns):
            records = runs.segment.records(start, stop - start)
            kept = self._of_content(content, np.stack([records["start"], records["stop"]], axis=1))
            edges = np.flatnonzero(np.diff(kept.astype(np.int8), prepend=0, append=0)).reshape(-1, 2) + start
            parts.append(np.column_stack([edges, np.full(len(edges), content)]))
        found = np.concatenate(parts).astype(np.int64)
        starts, stops, numbers = found[np.argsort(found[:, 0])].T
        return SegmentRuns(runs.segment, starts, numbers, np.ones(len(starts), np.bool_), stops)

    def _of_content(self, content: int, spans: Seconds) -> NDArray[np.bool_]:
        """Return which windows of a matching content match in any of its items; all of a content without limits."""
        a, b = np.searchsorted(self.pairs[:, 0], [content, content + 1]).tolist()
        kept = np.full(len(spans), a == b)
        for item in self.pairs[a:b, 1].tolist():
            kept |= self._of_item(item, spans)
        return kept

    def _of_item(self, item: int, spans: Seconds) -> NDArray[np.bool_]:
        kept = np.ones(len(spans), np.bool_)
        for items, ranges in self.ranges:
            a, b = np.searchsorted(items, [item, item + 1]).tolist()
            if a < b:
                found = np.zeros(len(spans), np.bool_)
                for start, stop in ranges[a:b].tolist():
                    found[matching_windows(spans, start, stop, self.min_overlap)] = True
                kept &= found
        return kept
