"""Segments: the files in which the rows of a library stand, written once and mapped into memory for reading.

A segment is a pair of files in the folder of the library: `library.NAME.f32` has the vectors, at unit length, and
`library.NAME.records` a record for each of them. Rows are only appended. The table `segments` says how many are
committed; what is behind these is not yet valid, and the next writer overwrites it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import LibraryError

RECORD = np.dtype([("content", "<i8"), ("start", "<f8"), ("stop", "<f8"), ("norm", "<f8")])
"""What stands beside a vector: number of its content, its seconds (NaN for images), and its length before scaling."""
DTYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2")}
"""The types of the numbers of vectors, by their names in the table `segments`."""
MAX_BYTES = 2**30
"""The largest file of vectors."""
BLOCK_BYTES = 2**26
"""Bytes of vectors, as float32, that are read or searched at once."""
_NAME = "[0-9a-f]{16}"
_FILE = re.compile(rf"library\.(?P<name>{_NAME})\.({'|'.join(DTYPES)}|records)")
_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class SegmentGone(LibraryError):
    """A file of a segment is not there: `compact` has replaced it since the database was read, or it is lost."""


@dataclass(frozen=True)
class SegmentFacts:
    """A row of the table `segments`.

    Parameters
    ----------
    dim : int
        Length of a vector.
    id : int
        Number of the segment.
    space : int
        Number of its space.
    name : str
        Part of the names of its files.
    dtype : {"f32", "f16"}
        Type of the numbers of the vectors.
    rows : int
        How many rows are committed.
    inode : int
        Of the file of vectors when it was written.

    Raises
    ------
    ValueError
        If a segment cannot be like this. Raised inside `Database.decoding`.
    """

    dim: int
    id: int
    space: int
    name: str
    dtype: str
    rows: int
    inode: int

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(_NAME, self.name) or self.dtype not in DTYPES:
            raise ValueError(f"segment {self.id}: expected a name and a type, got {self.name!r} and {self.dtype!r}")
        if type(self.dim) is not int or self.dim < 1:
            raise ValueError(f"segment {self.id}: expected a dimension, got {self.dim!r}")
        if type(self.rows) is not int or not 0 <= self.rows <= rows_per_segment(self.dtype, self.dim):
            raise ValueError(f"segment {self.id}: expected a number of rows, got {self.rows!r}")

    @property
    def row_bytes(self) -> int:
        """Bytes of a vector."""
        return DTYPES[self.dtype].itemsize * self.dim

    @property
    def record_bytes(self) -> int:
        """Bytes of a record."""
        return RECORD.itemsize

    def files(self, folder: Path) -> tuple[Path, Path]:
        """Return the paths of the vectors and of the records."""
        return segment_files(folder, self.name, self.dtype)


def rows_per_segment(dtype: str, dim: int) -> int:
    """Return how many rows a segment has at most."""
    return max(1, MAX_BYTES // (DTYPES[dtype].itemsize * dim))


def segment_files(folder: Path, name: str, dtype: str) -> tuple[Path, Path]:
    """Return the paths of the vectors and of the records of a segment."""
    return folder / f"library.{name}.{dtype}", folder / f"library.{name}.records"


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
        """Return some numbers or records, read-only; without a copy if the file is mapped."""
        if self._map is not None:
            return np.frombuffer(self._map, dtype, count, first * dtype.itemsize)
        found = np.empty(count, dtype)
        left, at = as_bytes(found), first * dtype.itemsize
        while left:
            done = os.preadv(self._number, [left], at)
            if not done:
                raise LibraryError(f"{self._path}: damaged, it has become shorter; run `sightsound check`")
            left, at = left[done:], at + done
        return found

    def take(self, dtype: np.dtype[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return any rows of some type, which may be an array type."""
        if self._map is not None:
            base, shape = (dtype.base, dtype.shape) if dtype.shape else (dtype, ())
            whole = np.frombuffer(self._map, base, self._size // base.itemsize).reshape(-1, *shape)
            taken: NDArray[Any] = whole[rows]
            return taken
        base = dtype.base
        width = dtype.itemsize // base.itemsize
        found = [self.array(base, row * width, width) for row in rows.tolist()]
        return np.stack(found).reshape(-1, *dtype.shape) if found else np.empty((0, *dtype.shape), base)


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
        self.facts = facts
        vectors, records = facts.files(folder)
        self._vectors = _MappedFile(vectors, facts.rows * facts.row_bytes)
        self._records = _MappedFile(records, facts.rows * RECORD.itemsize)

    def __len__(self) -> int:
        return self.facts.rows

    @property
    def inode(self) -> int:
        """Of the file of vectors. It is not the one in the database if the folder was copied."""
        return self._vectors.inode

    def require_size(self) -> None:
        """Raise `LibraryError` if a file has become shorter than its committed rows."""
        for file in (self._vectors, self._records):
            file.require_size()

    def records(self, first: int, count: int) -> NDArray[Any]:
        """Return the records of some rows, a structured array of `RECORD`."""
        return self._records.array(RECORD, first, count)

    def stored(self, first: int, count: int) -> NDArray[Any]:
        """Return the vectors of some rows as they are stored, (count, dim), float32 or float16 of unit length."""
        dim = self.facts.dim
        return self._vectors.array(DTYPES[self.facts.dtype], first * dim, count * dim).reshape(count, dim)

    def unit_rows(self, first: int, count: int) -> Floats:
        """Return the vectors of some rows at unit length, float32 (count, dim)."""
        return np.asarray(self.stored(first, count), np.float32)

    def take(self, rows: NDArray[np.int64]) -> Floats:
        """Return the vectors of any rows at unit length, float32 (n, dim)."""
        dim = self.facts.dim
        taken = self._vectors.take(np.dtype((DTYPES[self.facts.dtype], dim)), rows)
        return np.asarray(taken, np.float32)

    def take_records(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the records of any rows, a structured array of `RECORD`."""
        return self._records.take(RECORD, rows)

    def rows(self, first: int, count: int) -> Floats:
        """Return some rows as they were added, to a relative 1e-7 where they are stored as float32."""
        norms = self.records(first, count)["norm"]
        found: Floats = (self.unit_rows(first, count) * norms[:, None]).astype(np.float32)
        return found

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first row and number of rows of each block of at most `BLOCK_BYTES`."""
        step = max(1, BLOCK_BYTES // (4 * self.facts.dim))
        for first in range(0, len(self), step):
            yield first, min(step, len(self) - first)
