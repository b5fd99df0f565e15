"""A segment that the writer appends to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.errors import LibraryError
from sightsound.library.store.segments import SegmentFacts, as_bytes, open_file

_BUFFER_BYTES = 2**23


class SegmentFile:
    """A segment whose files are open for writing.

    Rows gather in memory and are written when they are many, or before a commit. Those of one content follow each
    other, and only one content is under way at a time, so that one that is given up leaves no gap.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of the library.
    facts : SegmentFacts
        The segment. Its committed rows stay as they are.
    new : bool
        Whether to create the files.

    Raises
    ------
    LibraryError
        If the files cannot be created or opened, or lack committed rows.

    Attributes
    ----------
    id : int
        Number of the segment.
    tail : int
        The row that is written next.
    complete : int
        Rows up to here belong to contents that are complete.
    recorded : int
        What the database says of `complete`.
    busy : bool
        Whether a content is under way.
    """

    def __init__(self, folder: Path, facts: SegmentFacts, *, new: bool) -> None:
        self.id, self.facts = facts.id, facts
        self.tail = self.complete = self.recorded = self._written = facts.rows
        self.busy, self._changed = False, False
        self._waiting: list[tuple[NDArray[Any], ...]] = []
        self._waiting_bytes = 0
        self._numbers: list[int] = []
        self._widths = [dtype.itemsize for dtype in facts.layout.columns.values()]
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if new else 0)
        try:
            for path, width in zip(facts.files(folder), self._widths):
                self._numbers.append(open_file(path, flags))
                found = os.fstat(self._numbers[-1])
                if found.st_size < facts.rows * width or found.st_nlink != 1:
                    raise LibraryError(f"{path}: damaged, or a file with two names; run `sightsound check`")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        while self._numbers:
            os.close(self._numbers.pop())

    @property
    def inode(self) -> int:
        """Number of the file of vectors in its file system."""
        return os.fstat(self._numbers[0]).st_ino

    @property
    def room(self) -> int:
        """How many more rows there is place for."""
        return self.facts.layout.room - self.tail

    def append(self, parts: Sequence[NDArray[Any]]) -> None:
        """Add rows of the content that is under way, which must find room: an array for each file."""
        self._waiting.append(tuple(parts))
        self._waiting_bytes += sum(part.nbytes for part in parts)
        self.tail += len(parts[0])
        if self._waiting_bytes > _BUFFER_BYTES:
            self.write()

    def give_up(self) -> None:
        """Take back the rows of the content that is under way."""
        self.write()  # of contents before it, too
        self.tail = self._written = self.complete
        self.busy = False

    def write(self) -> None:
        """Write the rows that wait."""
        if not self._waiting:
            return
        self._changed = True
        for number, parts, width in zip(self._numbers, zip(*self._waiting), self._widths):
            _write_at(number, parts, self._written * width)
        self._written = self.tail
        self._waiting.clear()
        self._waiting_bytes = 0

    def sync(self) -> None:
        """Make what was written survive a power failure."""
        if self._changed:
            for number in self._numbers:
                _sync(number)
            self._changed = False


_sync = getattr(os, "fdatasync", os.fsync)


def _seek_and_write(number: int, data: memoryview, offset: int) -> int:
    """Write at a place of a file where the system has no `pwrite`; one thread writes."""
    os.lseek(number, offset, os.SEEK_SET)
    return os.write(number, data)


_pwrite = getattr(os, "pwrite", _seek_and_write)


def _write_at(number: int, parts: Sequence[NDArray[Any]], offset: int) -> None:
    """Write arrays one after the other."""
    data = parts[0] if len(parts) == 1 else np.concatenate(parts)
    left = as_bytes(data)
    while left:
        done = _pwrite(number, left, offset)
        left, offset = left[done:], offset + done
