"""Tables as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO

from sightsound.formats.columns import Batch, Column, cells_of, count_of
from sightsound.formats.texts import NOTE, csv_cell, csv_list, notes

_CELLS = 2**17  # as texts in memory at once


class CsvWriter:
    """Writes a table as CSV, in UTF-8, with a column `note` at the end.

    A list of texts is one cell, with "; " between its values; one that has this in it, or begins with a quote, is
    in quotes. A vector has a column for each number, `NAME_0` and on.
    Empty cells are empty texts.

    Parameters
    ----------
    stream : text stream
        Where to write; opened with `newline=""`.
    columns : sequence of Column
        The columns; CSV has no form for `neighbours` and `media`.
    """

    def __init__(self, stream: TextIO, columns: Sequence[Column]) -> None:
        self._columns = [column for column in columns if column.name != NOTE.name]
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow([*(csv_cell(name) for column in self._columns for name in _names(column)), NOTE.name])

    def write(self, batch: Batch) -> None:
        """Write some rows."""
        step = max(1, _CELLS // sum(max(1, column.dim) for column in self._columns))
        for first in range(0, count_of(batch), step):
            self._write({name: cells[first : first + step] for name, cells in batch.items()})

    def _write(self, batch: Batch) -> None:
        cells = [strings for column in self._columns for strings in _strings(batch, column)]
        noted = [note or "" for note in notes(batch, self._columns, csv=True)]
        self._writer.writerows(zip(*cells, map(csv_cell, noted)))


def csv_text_of(columns: Sequence[Column], batches: Iterable[Batch]) -> Iterator[str]:
    """Yield a table as CSV, in pieces."""
    stream = io.StringIO(newline="")
    writer = CsvWriter(stream, columns)
    yield stream.getvalue()
    for batch in batches:
        stream.seek(0)
        stream.truncate()
        writer.write(batch)
        yield stream.getvalue()


def _names(column: Column) -> list[str]:
    return [f"{column.name}_{i}" for i in range(column.dim)] if column.kind == "vector" else [column.name]


def _strings(batch: Batch, column: Column) -> list[list[str]]:
    """Return the cells of a column of the table as those of one or more columns of CSV."""
    cells: Sequence[Any] = cells_of(batch, column)
    if column.kind == "vector":
        return [[f"{row[i]:.9g}" for row in cells] for i in range(column.dim)]
    return [["" if cell is None else _string(cell, column) for cell in cells]]


def _string(cell: Any, column: Column) -> str:
    match column.kind:
        case "text" | "path":
            return csv_cell(cell, path=column.kind == "path")
        case "texts":
            return csv_list(cell)
        case "single":
            return f"{cell:.9g}"
        case "singles":
            return csv_list([f"{number:.6g}" for number in cell])
        case _:
            return str(cell)
