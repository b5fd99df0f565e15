"""The classes of the windows of a recording, by the labelled time ranges that they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightsound.contract.arrays import Seconds
from sightsound.contract.results import Item, TimeRange
from sightsound.library.library import Library
from sightsound.library.window_choice import check_overlap, labels_of_windows


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
        check_overlap(self.min_overlap)

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
        rest = () if self.others is None else (self.others,)
        return [labels or rest for labels in labels_of_windows(ranges, spans, self.min_overlap)]
