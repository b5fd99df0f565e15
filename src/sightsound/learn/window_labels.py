"""The classes of the windows of a recording, by the labelled time ranges that they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item, TimeRange
from sightsound.library.library import Library


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


@dataclass(frozen=True)
class WindowLabels:
    """How windows get the labels of time ranges.

    Parameters
    ----------
    library : Library
        The library with the ranges.
    min_overlap : float, default=0.5
        The least part that must overlap, over 0 and up to 1, of the range or of the window, whichever is shorter.
    others : str or None
        The class of the windows without a range, of recordings that have some; None leaves them without a class.

    Raises
    ------
    SightsoundError
        If `min_overlap` is not over 0 and up to 1.
    """

    library: Library
    min_overlap: float = 0.5
    others: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.min_overlap <= 1:
            raise SightsoundError(f"min_overlap: expected a number over 0 and up to 1, got {self.min_overlap}")

    def ranges(self, item: Item, column: str) -> tuple[TimeRange, ...]:
        """Return the time ranges of an item in a column."""
        return tuple(each for each in self.library.ranges(item.id or 0) if each.column == column)

    def classes(self, ranges: Sequence[TimeRange], spans: Seconds) -> list[tuple[str, ...]]:
        """Return the classes of each window, sorted.

        Parameters
        ----------
        ranges : sequence of TimeRange
            The ranges of the recording, of one column.
        spans : ndarray of float64 (n, 2)
            Start and stop of its windows in seconds.

        Returns
        -------
        list of tuple of str, length n
        """
        found: list[set[str]] = [set() for _ in spans]
        for each in ranges:
            for window in matching_windows(spans, each.start, each.stop, self.min_overlap):
                found[window].add(each.value)
        rest = () if self.others is None else (self.others,)
        return [tuple(sorted(classes)) or rest for classes in found]
