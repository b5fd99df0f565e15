"""Writing a table to a file whose name says the format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sightsound._atomic import atomic_path
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.formats.columns import Batch, Column
from sightsound.formats.csv_file import CsvWriter
from sightsound.formats.json_file import json_text_of, objects_of
from sightsound.formats.parquet import require_pyarrow, write_parquet

FORMATS = (".csv", ".json", ".parquet")
"""The endings of the names of tables."""


def require_ending(file: PathLike, endings: Sequence[str] = FORMATS, others: str = "") -> str:
    """Return the ending of a name, in lower case.

    Parameters
    ----------
    file : path
        The name.
    endings : sequence of str
        Those that it may have.
    others : str
        What the message says of other endings.

    Raises
    ------
    SightsoundError
        If it is none of `endings`, or if pyarrow is missing for Parquet.
    """
    ending = Path(file).suffix.lower()
    if ending not in endings:
        expected = ", ".join(endings[:-1]) + " or " + endings[-1] if len(endings) > 1 else endings[0]
        got = f"{ending or 'no ending'}{others}"
        raise SightsoundError(f"{os.fspath(file)}: expected a name that ends in {expected}, got {got}; rename it")
    if ending == ".parquet":
        require_pyarrow()
    return ending


def write_table(
    file: PathLike, columns: Sequence[Column], batches: Iterable[Batch], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a table as CSV, JSON or Parquet, as the ending of the name says. It appears whole or not at all.

    Parameters
    ----------
    file : path
        The file to create or replace.
    columns : sequence of Column
        The columns.
    batches : iterable of Batch
        The rows; they are written as they come.
    metadata : mapping of str to str, optional
        What holds for the whole table. Parquet keeps it.

    Raises
    ------
    SightsoundError
        If the ending stands for no format, pyarrow is missing for Parquet, or the file cannot be written.
    """
    ending = require_ending(file)
    with atomic_path(file) as path:
        if ending == ".parquet":
            write_parquet(path, columns, batches, metadata or {})
            return
        with path.open("w", encoding="utf-8", newline="") as stream:
            if ending == ".csv":
                writer = CsvWriter(stream, columns)
                for batch in batches:
                    writer.write(batch)
            else:
                stream.writelines(json_text_of(objects_of(columns, batches)))
