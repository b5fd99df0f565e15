"""Rows to compare with one another: in an array, where they lie in a library, or one for each recording."""

from __future__ import annotations

import os
import tempfile
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds, unit_rows
from sightsound.contract.errors import LibraryError
from sightsound.library.space_rows import RowsView, SegmentRuns
from sightsound.media.safe_open import error_line

Ints = NDArray[np.int64]

_IN_MEMORY = 2**28  # bytes; more are kept in a temporary file
_POOLED = 2**14  # rows that are summed at once
_LARGEST = 1.01  # of a number of a row, which has length 1 up to rounding


class UnitRows(Protocol):
    """Rows of length 1, or 0, that are numbered from 0."""

    def __len__(self) -> int: ...

    def block(self, start: int, stop: int) -> Floats:
        """Return consecutive rows, float32 (stop - start, dim)."""
        ...

    def take(self, numbers: Ints) -> Floats:
        """Return any rows, float32 (n, dim)."""
        ...


class ArrayRows:
    """Rows in an array.

    Parameters
    ----------
    rows : ndarray of float32 (n, dim)
        Of length 1, or 0.
    contents : ndarray of int64 (n,), optional
        The number of the content of each row.
    """

    def __init__(self, rows: Floats, contents: Ints | None = None) -> None:
        self._rows = rows
        self.contents = np.arange(len(rows)) if contents is None else contents

    def __len__(self) -> int:
        return len(self._rows)

    def block(self, start: int, stop: int) -> Floats:
        """Return consecutive rows, float32 (stop - start, dim)."""
        return self._rows[start:stop]

    def take(self, numbers: Ints) -> Floats:
        """Return any rows, float32 (n, dim)."""
        return self._rows[numbers]


class SomeRows:
    """Some of other rows.

    Parameters
    ----------
    rows : UnitRows
        The others.
    numbers : ndarray of int64 (n,)
        Which of them.
    """

    def __init__(self, rows: UnitRows, numbers: Ints) -> None:
        self._rows, self._numbers = rows, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def block(self, start: int, stop: int) -> Floats:
        """Return consecutive rows, float32 (stop - start, dim)."""
        return self._rows.take(self._numbers[start:stop])

    def take(self, numbers: Ints) -> Floats:
        """Return any rows, float32 (n, dim)."""
        return self._rows.take(self._numbers[numbers])


class StoredRows:
    """The rows of a space that can be found, where they lie on disk, in the order of its segments.

    Parameters
    ----------
    view : RowsView
        All rows of the space.

    Attributes
    ----------
    contents : ndarray of int64 (n,)
        The number of the content of each row.
    """

    def __init__(self, view: RowsView) -> None:
        self._damaged = view.damaged
        self._segments = [runs.segment for runs in view.runs]
        self._places = [_alive_places(runs) for runs in view.runs]
        counts = [len(each) if places is None else len(places) for each, places in zip(self._segments, self._places)]
        self._firsts = np.cumsum([0, *counts])
        of_runs = [np.repeat(r.contents[r.alive], (r.stops - r.starts)[r.alive]) for r in view.runs]
        self.contents: Ints = np.concatenate([*of_runs, np.empty(0, np.int64)])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def block(self, start: int, stop: int) -> Floats:
        """Return consecutive rows, float32 (stop - start, dim)."""
        parts = []
        for at, (segment, places) in enumerate(zip(self._segments, self._places)):
            first, last = (int(np.clip(n - self._firsts[at], 0, self._count(at))) for n in (start, stop))
            if first < last:
                parts.append(
                    segment.unit_rows(first, last - first) if places is None else segment.take(places[first:last])
                )
        return self._checked(parts[0] if len(parts) == 1 else np.concatenate(parts))

    def take(self, numbers: Ints) -> Floats:
        """Return any rows, float32 (n, dim)."""
        found: Floats | None = None
        for at, inside, local in self._located(numbers):
            rows = self._segments[at].take(local)
            if found is None:
                found = np.empty((len(numbers), rows.shape[1]), np.float32)
            found[inside] = rows
        return np.empty((0, 0), np.float32) if found is None else self._checked(found)

    def spans(self, numbers: Ints) -> Seconds:
        """Return the seconds of any rows, float64 (n, 2); NaN for images."""
        found = np.empty((len(numbers), 2))
        for at, inside, local in self._located(numbers):
            records = self._segments[at].take_records(local)
            found[inside, 0], found[inside, 1] = records["start"], records["stop"]
        return found

    def _count(self, at: int) -> int:
        return int(self._firsts[at + 1] - self._firsts[at])

    def _located(self, numbers: Ints) -> list[tuple[int, NDArray[np.intp], Ints]]:
        """Return, for each segment that has some of the rows, which of them, and their places in it."""
        found = []
        for at, places in enumerate(self._places):
            inside = np.flatnonzero((numbers >= self._firsts[at]) & (numbers < self._firsts[at + 1]))
            if len(inside):
                local = numbers[inside] - self._firsts[at]
                found.append((at, inside, local if places is None else places[local]))
        return found

    def _checked(self, rows: Floats) -> Floats:
        if rows.size and not (rows.max() < _LARGEST and rows.min() > -_LARGEST):  # also for NaN
            raise self._damaged("a vector is not finite, or not of length 1")
        return rows


def item_rows(view: RowsView) -> StoredRows | ArrayRows:
    """Return a row for each content of a space: the vector of an image, `recording_row` of a recording.

    Raises
    ------
    LibraryError
        If a vector is not finite, or there is no room for a temporary file.
    """
    stored = StoredRows(view)
    contents = np.unique(stored.contents)
    return stored if _are_images(view) and len(contents) == len(stored) else _of_recordings(view, contents)


def recording_row(rows: Floats) -> Floats:
    """Return the row that stands for a recording, float32 (2 * dim,), of length 1.

    These are the mean and the maximum over its windows (n, dim), of each number the root of its absolute value with its
    sign. The root keeps a few large numbers from deciding alone ("power normalisation", Perronnin, Sanchez and Mensink,
    ECCV 2010). On ESC-10 with YAMNet, at thresholds that 2 % of the clips reach with another clip, so 0.97 of the clips
    at -6 dB and 0.98 of those compressed to MP3 are found; by the cosine of the means alone 0.59 and 0.88.
    """
    found: Floats = _rooted(np.concatenate([rows.mean(axis=0), rows.max(axis=0)])[None])[0]
    return found


def _rooted(rows: Floats) -> Floats:
    return unit_rows(np.sign(rows) * np.sqrt(np.abs(rows)))


def _are_images(view: RowsView) -> bool:
    """Return whether rows have no seconds, as those of images."""
    return all(np.isnan(runs.segment.records(0, 1)["start"][0]) for runs in view.runs if len(runs.segment))


def _of_recordings(view: RowsView, contents: Ints) -> ArrayRows:
    dim = view.runs[0].segment.facts.layout.dim
    found, counts = _room((len(contents), 2 * dim)), np.zeros(len(contents), np.int64)
    for runs in view.runs:
        for first in range(0, len(runs.segment), _POOLED):
            count = min(_POOLED, len(runs.segment) - first)
            chosen = np.flatnonzero(runs.alive & (runs.stops > first) & (runs.starts < first + count))
            if not len(chosen):
                continue
            with np.errstate(all="ignore"):
                rows = runs.segment.rows(first, count)
            if not np.isfinite(rows).all():
                raise view.damaged("a vector is not finite, or not of length 1")
            starts = np.maximum(runs.starts[chosen], first) - first
            ends = np.minimum(runs.stops[chosen], first + count) - first
            for at, start, end in zip(np.searchsorted(contents, runs.contents[chosen]), starts, ends):
                part = rows[start:end]
                highest = part.max(axis=0)
                found[at, :dim] += part.sum(axis=0)
                found[at, dim:] = np.maximum(found[at, dim:], highest) if counts[at] else highest
                counts[at] += end - start
    for first in range(0, len(found), _POOLED):
        block = np.array(found[first : first + _POOLED])
        block[:, :dim] /= counts[first : first + _POOLED, None]
        found[first : first + _POOLED] = _rooted(block)
    return ArrayRows(found, contents)


def _room(shape: tuple[int, int]) -> Floats:
    """Return an array of zeros, in a temporary file if it is large."""
    size = 4 * shape[0] * shape[1]
    if size <= _IN_MEMORY:
        return np.zeros(shape, np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # to write into a hole of a mapped file ends the process on a full disk
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, np.float32, "r+", shape=shape)
    except OSError as error:
        raise LibraryError(
            f"{tempfile.gettempdir()}: no room for a temporary file of {size / 1e9:.1f} GB ({error_line(error)}); "
            "free some space, or set TMPDIR"
        ) from error


def _alive_places(runs: SegmentRuns) -> Ints | None:
    """Return the places of the rows of a segment that can be found; None if all can."""
    if runs.alive.all():
        return None
    starts, counts = runs.starts[runs.alive], (runs.stops - runs.starts)[runs.alive]
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
