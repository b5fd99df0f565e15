"""Rows of files with labels: what each says, and the numbers in its cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike


@dataclass(frozen=True)
class Span:
    """Where in a recording a row of a file with labels is.

    Parameters
    ----------
    start, stop : float
        Seconds.
    low_hz, high_hz : float or None
        The band in Hz.
    channel : int or None
        The channel, counted from 0.
    selection : str or None
        The number of a selection of Raven, which has a row for each of its views.
    """

    start: float
    stop: float
    low_hz: float | None = None
    high_hz: float | None = None
    channel: int | None = None
    selection: str | None = None


@dataclass(frozen=True)
class LabelRow:
    """A row of a file with labels.

    Parameters
    ----------
    number : int
        The number of the row, from 1.
    paths : tuple of str
        What may name the file that the row is about, the best first; none in a file of one recording.
    root : str
        The folder that the path is relative to; "" where the row does not say so.
    values : mapping of str to str
        Column -> label, "" for none.
    span : Span or None
        The part of the recording; None for a whole file, and for a recording without any part of these columns.
    problem : str
        Why the row cannot be taken, after its path; "" where it can.
    """

    number: int
    paths: tuple[str, ...]
    root: str
    values: Mapping[str, str]
    span: Span | None = None
    problem: str = ""


class RowCells:
    """The cells of a row, and the numbers in them.

    Parameters
    ----------
    file : path-like
        The file, for errors.
    number : int
        The number of the row, from 1, for errors.
    cells : mapping of str to str
        Name of a column -> cell.
    """

    def __init__(self, file: PathLike, number: int, cells: Mapping[str, str]) -> None:
        self._file, self.number, self._cells = file, number, cells

    def get(self, name: str) -> str:
        """Return a cell, "" for one that is not there."""
        return self._cells.get(name, "")

    def seconds(self, name: str) -> float:
        """Return the seconds in a cell; raise `SightsoundError` for anything else."""
        value = number_of(self.get(name))
        if value is None:
            raise self.wrong(name, "seconds", self.get(name))
        return value

    def band(self, name: str, *, undefined: bool = False) -> float | None:
        """Return a frequency, None for an empty cell; raise `SightsoundError` for anything else.

        With `undefined`, a negative number stands for none, as in Audacity.
        """
        text = self.get(name)
        value = number_of(text)
        if text and (value is None or (value < 0 and not undefined)):
            raise self.wrong(name, "Hz", text)
        return None if value is None or value < 0 else value

    def channel(self, name: str, first: int) -> int | None:
        """Return a channel, counted from 0, whose first one the file counts as `first`; None for an empty cell."""
        text = self.get(name).removesuffix(".0")  # a column of numbers, some of which are missing
        if text and not (text.isdecimal() and int(text) >= first):
            raise self.wrong(name, f"a number from {first}", text)
        return int(text) - first if text else None

    def span(
        self,
        start: float,
        stop: float,
        low: float | None = None,
        high: float | None = None,
        channel: int | None = None,
        selection: str | None = None,
    ) -> Span:
        """Return a part of a recording; raise `SightsoundError` if its ends are not in order."""
        if not 0 <= start <= stop:
            raise self.wrong("times", "a start of 0 s or more and a stop not before it", f"{start} to {stop}")
        if low is not None and high is not None and low > high:
            raise self.wrong("band", "a low frequency not above the high one", f"{low:.10g} to {high:.10g} Hz")
        return Span(start, stop, low, high, channel, selection)

    def wrong(self, name: str, expected: str, got: str) -> SightsoundError:
        """Return the error about a cell."""
        return SightsoundError(
            f"{self._file!s}: row {self.number}: {name}: expected {expected}, got {got!r}; correct it"
        )


def number_of(text: str) -> float | None:
    """Return a finite number, None for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
