"""Segments: the files in which the rows of a library stand, written once and mapped into memory for reading.

A segment is some files in the folder of the library: `library.NAME.f32` has the vectors, at unit length,
`library.NAME.records` a record for each of them, and `library.NAME.scores` the scores of its classes, if any. Rows are
only appended. The table `segments` says how many are committed; what is behind these is not yet valid, and the next
writer overwrites it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import LibraryError
from sightsound.library.store.score_format import KINDS, score_dtype, unpack

RECORD = np.dtype([("content", "<i8"), ("start", "<f8"), ("stop", "<f8"), ("norm", "<f8")])
"""What stands beside a vector: number of its content, its seconds (NaN for images), and its length before scaling."""
DTYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2")}
"""The types of the numbers of vectors, by their names in the table `segments`."""
MAX_BYTES = 2**30
"""The largest file of vectors."""
_MOST_CLASSES = 2**20
BLOCK_BYTES = 2**26
"""Bytes of vectors, as float32, that are read or searched at once."""
_NAME = "[0-9a-f]{16}"
_FILE = re.compile(rf"library\.(?P<name>{_NAME})\.({'|'.join(DTYPES)}|records|scores)")
_OPEN = 0
for _name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"):
    _OPEN |= getattr(os, _name, 0)


class SegmentGone(LibraryError):
    """A file of a segment is not there: `compact` has replaced it since the database was read, or it is lost."""


@dataclass(frozen=True)
class Layout:
    """What a row of a segment consists of.

    Parameters
    ----------
    dim : int
        Length of a vector.
    dtype : {"f32", "f16"}
        Type of the numbers of the vectors.
    scores : {"sigmoid", "softmax"} or None
        What the scores of its classes are; None without scores.
    classes : int or None
        Number of the list of classes.
    class_count : int
        Number of classes.

    Raises
    ------
    ValueError
        If rows cannot be like this. Call it inside `Database.decoding`.
    """

    dim: int
    dtype: str = "f32"
    scores: str | None = None
    classes: int | None = None
    class_count: int = 0

    def __post_init__(self) -> None:
        if type(self.dim) is not int or self.dim < 1:
            raise ValueError(f"rows: expected a dimension, got {self.dim!r}")
        if self.dtype not in DTYPES or self.scores not in (None, *KINDS):
            raise ValueError(f"rows: expected a type of numbers and of scores, got {self.dtype!r} and {self.scores!r}")
        if self.scores is not None and not 0 < self.class_count <= _MOST_CLASSES:
            raise ValueError(f"rows: expected some classes, got {self.class_count}")

    @property
    def columns(self) -> dict[str, np.dtype[Any]]:
        """The end of the name of each file of a segment, and the type of a row in it."""
        columns = {self.dtype: np.dtype((DTYPES[self.dtype], (self.dim,))), "records": RECORD}
        if self.scores is not None:
            columns["scores"] = score_dtype(self.scores, self.class_count)
        return columns

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in all files."""
        return sum(dtype.itemsize for dtype in self.columns.values())

    @property
    def room(self) -> int:
        """How many rows a segment has at most."""
        return max(1, MAX_BYTES // (DTYPES[self.dtype].itemsize * self.dim))


@dataclass(frozen=True)
class SegmentFacts:
    """A row of the table `segments`.

    Parameters
    ----------
    layout : Layout
        What its rows consist of.
    id : int
        Number of the segment.
    space : int
        Number of its space.
    name : str
        Part of the names of its files.
    rows : int
        How many rows are committed.
    inode : int
        Of the file of vectors when it was written.

    Raises
    ------
    ValueError
        If a segment cannot be like this. Call it inside `Database.decoding`.
    """

    layout: Layout
    id: int
    space: int
    name: str
    rows: int
    inode: int

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(_NAME, self.name):
            raise ValueError(f"segment {self.id}: expected a name, got {self.name!r}")
        if type(self.rows) is not int or not 0 <= self.rows <= self.layout.room:
            raise ValueError(f"segment {self.id}: expected a number of rows, got {self.rows!r}")

    @classmethod
    def of(cls, dim: int, row: Sequence[Any]) -> SegmentFacts:
        """Return the facts of a row of `SEGMENT_COLUMNS`."""
        id_, space, name, rows, inode, *layout = row
        return cls(Layout(dim, *layout), id_, space, name, rows, inode)

    def files(self, folder: Path) -> list[Path]:
        """Return the paths of its files, in the order of `Layout.columns`."""
        return [folder / f"library.{self.name}.{suffix}" for suffix in self.layout.columns]


SEGMENT_COLUMNS = (
    "s.id, s.space, s.name, s.rows, s.inode, s.dtype, s.scores, s.classes,"
    " (SELECT count(*) FROM classes c WHERE c.list = s.classes)"
)
"""What `SegmentFacts.of` takes, in a query where `s` is the table `segments`."""


def find_segment_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name of a segment and the path, for each file in a folder that is named like one of a segment."""
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _FILE.fullmatch(entry.name)
            if match:
                yield match["name"], Path(entry.path)


def open_file(path: Path, flags: int) -> int:
    """Open an ordinary file, not through a link, and return its descriptor.

    Raises
    ------
    LibraryError
        If it is anything else, or cannot be opened.
    """
    try:
        number = os.open(path, flags | _OPEN, 0o666)
    except FileNotFoundError as error:
        raise SegmentGone(f"{path}: is missing; restore the library from a copy") from error
    except OSError as error:
        what = "a link" if path.is_symlink() else error.strerror
        raise LibraryError(f"{path}: cannot be opened ({what}); restore the library from a copy") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise LibraryError(f"{path}: not an ordinary file, expected one of a library; restore the library from a copy")
    return number


def as_bytes(array: NDArray[Any]) -> memoryview:
    """Return the bytes of a contiguous array, without a copy."""
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]


class _MappedFile:
    """The first bytes of a file, mapped into memory, or read block by block where the medium cannot map."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        number = open_file(path, os.O_RDONLY)
        try:
            self.inode = os.fstat(number).st_ino
            self._require(os.fstat(number).st_size)
            self._map: mmap.mmap | None = None
            self._number = -1
            with contextlib.suppress(OSError, ValueError):
                self._map = mmap.mmap(number, size, access=mmap.ACCESS_READ)
            if self._map is None:
                self._number = os.dup(number)
        except OSError as error:
            raise LibraryError(f"{path}: cannot be read ({error.strerror}); see that more files may be open") from error
        finally:
            os.close(number)

    def __del__(self) -> None:
        if getattr(self, "_number", -1) >= 0:
            os.close(self._number)

    def require_size(self) -> None:
        """Raise `LibraryError` if the file is shorter than what is mapped: to read it would end the process."""
        self._require(self._map.size() if self._map is not None else os.fstat(self._number).st_size)

    def _require(self, size: int) -> None:
        if size < self._size:
            raise LibraryError(
                f"{self._path}: damaged, expected at least {self._size} bytes, got {size}; run `sightsound check`, "
                "restore the library from a copy"
            )

    def array(self, dtype: np.dtype[Any], first: int, count: int) -> NDArray[Any]:
        """Return some rows, read-only; without a copy if the file is mapped. The type of a row may be an array type."""
        shape, width = (count, *dtype.shape), dtype.itemsize
        if self._map is not None:
            numbers = count * width // dtype.base.itemsize
            return np.frombuffer(self._map, dtype.base, numbers, first * width).reshape(shape)
        found = np.empty(shape, dtype.base)
        left, at = as_bytes(found), first * width
        while left:
            done = os.preadv(self._number, [left], at)
            if not done:
                raise LibraryError(f"{self._path}: damaged, it has become shorter; run `sightsound check`")
            left, at = left[done:], at + done
        return found

    def take(self, dtype: np.dtype[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return any rows."""
        if self._map is not None:
            taken: NDArray[Any] = self.array(dtype, 0, self._size // dtype.itemsize)[rows]
            return taken
        found = [self.array(dtype, row, 1) for row in rows.tolist()]
        return np.concatenate(found) if found else np.empty((0, *dtype.shape), dtype.base)


class MappedSegment:
    """The committed rows of a segment, open for reading.

    Parameters
    ----------
    folder : pathlib.Path
        Where its files are.
    facts : SegmentFacts
        What the database says of it.

    Raises
    ------
    SegmentGone
        If a file is missing.
    LibraryError
        If a file is too short, not an ordinary file, or cannot be opened.
    """

    def __init__(self, folder: Path, facts: SegmentFacts) -> None:
        self.facts, self._dtypes = facts, [*facts.layout.columns.values()]
        self._files = [
            _MappedFile(path, facts.rows * dtype.itemsize) for path, dtype in zip(facts.files(folder), self._dtypes)
        ]

    def __len__(self) -> int:
        return self.facts.rows

    @property
    def inode(self) -> int:
        """Of the file of vectors. It is not the one in the database if the folder was copied."""
        return self._files[0].inode

    def require_size(self) -> None:
        """Raise `LibraryError` if a file has become shorter than its committed rows."""
        for file in self._files:
            file.require_size()

    def parts(self, first: int, count: int) -> list[NDArray[Any]]:
        """Return some rows as they are stored, an array for each file."""
        return [file.array(dtype, first, count) for file, dtype in zip(self._files, self._dtypes)]

    def records(self, first: int, count: int) -> NDArray[Any]:
        """Return the records of some rows, a structured array of `RECORD`."""
        return self._files[1].array(RECORD, first, count)

    def unit_rows(self, first: int, count: int) -> Floats:
        """Return the vectors of some rows at unit length, float32 (count, dim)."""
        return np.asarray(self._files[0].array(self._dtypes[0], first, count), np.float32)

    def scores(self, first: int, count: int) -> Floats | None:
        """Return the scores of some rows, float32 (count, classes); None without scores.

        Raises `ValueError` for scores that cannot be. Call it inside `Database.decoding`.
        """
        if self.facts.layout.scores is None:
            return None
        return unpack(self._files[2].array(self._dtypes[2], first, count), self.facts.layout.class_count)

    def take(self, rows: NDArray[np.int64]) -> Floats:
        """Return the vectors of any rows at unit length, float32 (n, dim)."""
        return np.asarray(self._files[0].take(self._dtypes[0], rows), np.float32)

    def take_records(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the records of any rows, a structured array of `RECORD`."""
        return self._files[1].take(RECORD, rows)

    def rows(self, first: int, count: int) -> Floats:
        """Return some rows as they were added, to a relative 1e-7 where they are stored as float32."""
        norms = self.records(first, count)["norm"]
        found: Floats = (self.unit_rows(first, count) * norms[:, None]).astype(np.float32)
        return found

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first row and number of rows of each block of at most `BLOCK_BYTES`."""
        step = max(1, BLOCK_BYTES // (4 * self.facts.layout.dim))
        for first in range(0, len(self), step):
            yield first, min(step, len(self) - first)
