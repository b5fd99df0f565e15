"""Rows in a NumPy archive, of `embed --out` or of another program. Its arrays are read piece by piece."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract import row_names
from sightsound.contract.arrays import Floats
from sightsound.contract.csv_cells import parted
from sightsound.contract.errors import SightsoundError
from sightsound.library.incoming.row_scores import UNKNOWN_CLASSES, has_scores
from sightsound.library.incoming.row_source import (
    CONTENTS,
    PATHS,
    ROOTS,
    SECONDS,
    STARTS,
    STOPS,
    VECTORS,
    Stated,
    TableBlock,
    label_columns,
    label_values,
    named,
    not_taken,
    note_not_finite,
    rows_at_once,
)
from sightsound.media.safe_open import error_line

_MOST_LAYERS = 1000
_AT_ONCE = 2**16  # numbers that are read at once
_NUMBERS, _TEXTS, _ANY = "fiu", "US", "fiubUS"  # kinds of types of NumPy


class _Array:
    """One array of an archive, read from its beginning.

    Parameters
    ----------
    archive : zipfile.ZipFile
        The archive.
    name : str
        The name of the array.

    Raises
    ------
    ValueError
        If it has objects, which would have to be unpickled, or its columns come one after the other.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._stream = archive.open(f"{name}.npy")
        version = np.lib.format.read_magic(self._stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read:
            raise ValueError(f"{name}: an array of version {version[0]}.{version[1]}")
        self.shape, fortran, self.dtype = read[version](self._stream)
        if any(length < 0 for length in self.shape):
            raise ValueError(f"{name}: expected a shape, got {self.shape}")
        self.row_bytes = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        if self.dtype.hasobject:
            raise ValueError(f"{name}: objects, which are not loaded; save numbers or texts")
        if fortran and len(self.shape) > 1 and min(self.shape) > 1:
            raise ValueError(f"{name}: columns one after the other; save np.ascontiguousarray of it")

    def read(self, count: int) -> NDArray[Any]:
        """Return the next rows."""
        shape = (count, *self.shape[1:])
        size = int(np.prod(shape, dtype=np.int64)) * self.dtype.itemsize
        data = self._stream.read(size)
        if len(data) != size:
            raise ValueError("it is too short")
        return np.frombuffer(data, self.dtype, int(np.prod(shape, dtype=np.int64))).reshape(shape)

    def close(self) -> None:
        self._stream.close()


class NpzRows:
    """The rows of one space in a NumPy archive.

    Parameters
    ----------
    file : str
        The file.
    at : str
        What follows the name of the array of vectors: "" or "[LAYER]".
    labels : sequence of str
        Arrays of labels.

    Raises
    ------
    SightsoundError
        If it cannot be read, or lacks an array.
    """

    def __init__(self, file: str, at: str, labels: Sequence[str]) -> None:
        self.file = file
        with _opened(file) as archive:
            arrays = _names(archive)
            plain = [name for name in arrays if name not in row_names.ABOUT]
            self._vectors = named(file, plain, [f"{name}{at}" for name in VECTORS], "the rows")
            self._paths = named(file, plain, PATHS, "the path of each row")
            self._roots, self._contents = named(file, plain, ROOTS), named(file, plain, CONTENTS)
            self._times = [named(file, plain, names) for names in (SECONDS, STARTS, STOPS)]
            self._labels = label_columns(file, plain, labels)
            labelled = self._labels.values()
            shape = _shape(archive, self._vectors)
            if len(shape) != 2 or shape[1] < 1:
                raise ValueError(f"{self._vectors}: expected rows (n, dim), got {shape}")
            self.count = shape[0]
            texts = [name for name in (self._paths, self._roots, self._contents) if name]
            for name in (self._vectors, *self._columns()):
                self._require(archive, name, kinds=_TEXTS if name in texts else _ANY if name in labelled else _NUMBERS)
            complete = self._times[0] or (self._times[1] and self._times[2])
            timed = bool(complete) and _has_numbers(archive, complete)
            claimed = (row_names.SPACE, row_names.FINGERPRINT)
            space, fingerprint = (_text(archive, f"{name}{at}", arrays) for name in claimed)
            scores = UNKNOWN_CLASSES if has_scores(plain) else ""
            left = [name for name in not_taken(plain, labelled) if self._is_text(archive, name)]
            self.stated = Stated(tuple(plain), shape[1], timed, space, fingerprint, scores, tuple(left))

    def _columns(self) -> list[str]:
        return [
            name for name in (self._paths, self._roots, self._contents, *self._times, *self._labels.values()) if name
        ]

    def _require(self, archive: zipfile.ZipFile, name: str, kinds: str) -> None:
        """Raise `ValueError` unless an array has a cell for each row, of these kinds of NumPy's types."""
        with contextlib.closing(_Array(archive, name)) as array:
            expected = (self.count, 2) if name in SECONDS else (self.count,)
            if name != self._vectors and array.shape != expected:
                raise ValueError(f"{name}: expected {expected}, got {array.shape}")
            if array.dtype.kind not in kinds:
                raise ValueError(f"{name}: expected {'texts' if kinds == _TEXTS else 'numbers'}, got {array.dtype}")

    def _is_text(self, archive: zipfile.ZipFile, name: str) -> bool:
        """Return whether an array has a text for each row."""
        with contextlib.suppress(ValueError), contextlib.closing(_Array(archive, name)) as array:
            return array.dtype.kind in _TEXTS and array.shape == (self.count,)
        return False  # one that would not be loaded

    def places(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield the paths and the roots of all rows, block by block."""
        for _, block in self._read([name for name in (self._paths, self._roots) if name]):
            yield _texts(block[self._paths]), self._optional(block, self._roots)

    def blocks(self) -> Iterator[TableBlock]:
        """Yield all rows, block by block."""
        for first, block in self._read([self._vectors, *self._columns()]):
            problems: dict[int, str] = {}
            vectors = _numbers(block[self._vectors])
            note_not_finite(vectors, problems)
            labels = {name: [self._values(cell) for cell in block[at].tolist()] for name, at in self._labels.items()}
            paths, roots = _texts(block[self._paths]), self._optional(block, self._roots)
            contents = self._optional(block, self._contents)
            yield TableBlock(first, paths, roots, vectors, problems, self._spans(block), contents, labels)

    def _values(self, cell: Any) -> tuple[str, ...]:
        """Return the labels in a cell; `export` joins several of them."""
        of_export = self.stated.fingerprint and isinstance(cell, str)
        return label_values(parted(cell) if of_export else cell)

    def _spans(self, block: dict[str, NDArray[Any]]) -> NDArray[np.float64] | None:
        seconds, start, stop = self._times
        if not self.stated.timed:
            return None
        found = block[seconds] if seconds else np.stack([block[start], block[stop]], axis=1)
        return found.astype(np.float64)

    def _optional(self, block: dict[str, NDArray[Any]], name: str) -> list[str]:
        return _texts(block[name]) if name else [""] * len(block[self._paths])

    def _read(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Yield the number of the first row, and rows of some arrays, block by block."""
        with _opened(self.file) as archive, contextlib.ExitStack() as stack:
            arrays = {name: stack.enter_context(contextlib.closing(_Array(archive, name))) for name in names}
            step = rows_at_once(max(self.stated.dim, *(array.row_bytes // 4 for array in arrays.values())))
            for first in range(0, self.count, step):
                count = min(step, self.count - first)
                yield first, {name: array.read(count) for name, array in arrays.items()}


def open_npz(file: str, labels: Sequence[str]) -> Iterator[NpzRows]:
    """Yield the rows of each space in a NumPy archive; one, or as many as it has layers.

    Parameters
    ----------
    file : str
        The file.
    labels : sequence of str
        Arrays of labels.
    """
    with _opened(file) as archive:
        layers = _layers(archive) if row_names.LAYERS in _names(archive) else []
    for at in [f"[{layer}]" for layer in layers] or [""]:
        yield NpzRows(file, at, labels)


@contextlib.contextmanager
def _opened(file: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise _unreadable(file, error) from error
    except (zipfile.LargeZipFile, MemoryError, SyntaxError, RuntimeError) as error:
        raise _unreadable(file, error) from error
    except Exception as error:  # zlib.error, lzma.LZMAError and others of decompressors
        if isinstance(error, SightsoundError):
            raise
        raise _unreadable(file, error) from error


def _unreadable(file: str, error: BaseException) -> SightsoundError:
    return SightsoundError(f"{file}: expected an .npz of rows with their paths ({error_line(error)}); make it anew")


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _shape(archive: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with contextlib.closing(_Array(archive, name)) as array:
        return tuple(array.shape)


def _has_numbers(archive: zipfile.ZipFile, name: str) -> bool:
    """Return whether any number of an array is finite. Images have NaN for seconds."""
    with contextlib.closing(_Array(archive, name)) as array:
        for first in range(0, array.shape[0], _AT_ONCE):
            if np.isfinite(array.read(min(_AT_ONCE, array.shape[0] - first)).astype(np.float64)).any():
                return True
    return False


def _text(archive: zipfile.ZipFile, name: str, names: Sequence[str]) -> str:
    """Return the only text of an array, "" if there is no such array."""
    if name not in names:
        return ""
    array = _small(archive, name)
    return str(array) if array.shape == () and array.dtype.kind == "U" else ""


def _layers(archive: zipfile.ZipFile) -> list[str]:
    array = _small(archive, row_names.LAYERS)
    if array.ndim != 1 or array.dtype.kind != "U" or len(array) > _MOST_LAYERS:
        raise ValueError(f"layers: expected names, got {array.dtype} {array.shape}")
    return [str(name) for name in array.tolist()]


def _small(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Return an array that is small."""
    if archive.getinfo(f"{name}.npy").file_size > 2**20:
        raise ValueError(f"{name}: expected a text")
    found: NDArray[Any] = np.load(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
    return found


def _texts(array: NDArray[Any]) -> list[str]:
    """Return the texts of an array; bytes are those of names in the file system."""
    values = array.tolist()
    return [each.decode("utf-8", "surrogateescape") if isinstance(each, bytes) else each for each in values]


def _numbers(array: NDArray[Any]) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float32)
