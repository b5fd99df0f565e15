"""Tables as archives of NumPy, whose arrays are assembled on disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sightsound.contract.csv_cells import joined
from sightsound.formats.columns import Batch, Column, cells_of, count_of

_BYTES = 2**22  # that are copied at once
_NUMBERS = 2**22  # characters of texts of equal width that are in memory at once
_DTYPES: dict[str, Any] = {"integer": np.int64, "number": np.float64, "single": np.float32}
_DTYPES |= {"vector": np.float32, "span": np.float64}


def write_npz(
    file: str | os.PathLike[str], columns: Sequence[Column], batches: Iterable[Batch], constants: Mapping[str, Any]
) -> int:
    """Write a table with an array for each column; return the number of its rows.

    The rows wait in files beside the archive, so that memory does not grow with their number.

    Parameters
    ----------
    file : path
        The file to write, in a folder of its own.
    columns : sequence of Column
        The columns. Lists of texts are one text each, with "; " between the values.
    batches : iterable of Batch
        The rows.
    constants : mapping of str to object
        Arrays and texts that are added as they are.
    """
    count, folder = 0, Path(file).parent
    with contextlib.ExitStack() as opened:
        parts = [_Part(opened.enter_context(tempfile.TemporaryFile(dir=folder)), column) for column in columns]
        for batch in batches:
            count += count_of(batch)
            for part in parts:
                part.add(batch)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=1) as archive:
            for name, value in constants.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)
            for part in parts:
                with archive.open(part.member, "w", force_zip64=True) as member:
                    part.copy_to(member, count)
    return count


class _Part:
    """One column in a file, until its length and its type are known. Texts are UTF-8, with a NUL after each."""

    def __init__(self, file: Any, column: Column) -> None:
        self.column, self._file = column, file
        self._dtype, self._width = _DTYPES.get(column.kind), 1

    @property
    def member(self) -> str | zipfile.ZipInfo:
        """What stands for the column in the archive: texts of equal width are compressed, numbers stored as they are.

        Texts take four bytes a character, of which most repeat the row before: four times the room of 64 numbers.
        """
        name = f"{self.column.name}.npy"
        return name if self._dtype is None else zipfile.ZipInfo(name)

    def add(self, batch: Batch) -> None:
        if self._dtype is not None:
            cells = batch[self.column.name]
            if not isinstance(cells, np.ndarray):
                cells = np.array([np.nan if cell is None else cell for cell in cells], self._dtype)
            self._file.write(np.ascontiguousarray(cells, self._dtype).tobytes())
            return
        for cell in cells_of(batch, self.column):
            text = "" if cell is None else cell if isinstance(cell, str) else joined([*map(str, cell)])
            text = text.replace("\0", "")
            self._width = max(self._width, len(text))
            self._file.write(text.encode("utf-8", "surrogatepass") + b"\0")

    def copy_to(self, member: BinaryIO | Any, count: int) -> None:
        """Write the column as a .npy file."""
        self._file.flush()
        self._file.seek(0)
        dtype = np.dtype(f"<U{self._width}") if self._dtype is None else np.dtype(self._dtype)
        shape = (count, self.column.dim) if self.column.dim else (count,)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(member, header)
        if self._dtype is not None:
            while data := self._file.read(_BYTES):
                member.write(data)
            return
        left, most = b"", max(1, _NUMBERS // self._width)
        while data := self._file.read(_BYTES):
            *texts, left = (left + data).split(b"\0")
            for first in range(0, len(texts), most):
                decoded = [text.decode("utf-8", "surrogatepass") for text in texts[first : first + most]]
                member.write(np.array(decoded, dtype).tobytes())
