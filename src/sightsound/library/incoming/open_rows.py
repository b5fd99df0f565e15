"""Open a table of rows: its name decides the format."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sightsound.contract.errors import SightsoundError
from sightsound.library.incoming.npz_rows import open_npz
from sightsound.library.incoming.parquet_rows import ParquetRows
from sightsound.library.incoming.row_source import RowSource


def open_rows(file: str | os.PathLike[str], labels: Sequence[str] = ()) -> list[RowSource]:
    """Open a file with rows. Its name decides the format.

    Parameters
    ----------
    file : path
        A `.parquet` or `.npz` file.
    labels : sequence of str
        Columns of labels.

    Returns
    -------
    list of RowSource
        One, or one for each layer in a file of `embed --layer`.

    Raises
    ------
    SightsoundError
        If it cannot be read, or lacks a column.
    """
    name = os.fspath(file)
    ending = os.path.splitext(name)[1].lower()
    if ending not in (".parquet", ".npz"):
        raise SightsoundError(f"{name}: expected a name that ends in .parquet or .npz, got {ending or 'no ending'!r}")
    if not os.path.isfile(name):
        raise SightsoundError(f"{name}: expected a file, got {'a folder' if os.path.isdir(name) else 'none'}")
    if ending == ".npz":
        return [*open_npz(name, labels)]
    return [ParquetRows(name, labels)]
