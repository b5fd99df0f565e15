"""What the columns of a table are, and the batches of cells that a table is written in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal[
    "text", "path", "integer", "number", "single", "texts", "singles", "vector", "span", "neighbours", "media"
]
"""What a cell is: `path` is a text that names a file; `number` is float64 and `single` float32; `texts` and `singles`
are lists; `vector` has `Column.dim` float32 and `span` as many
float64; `neighbours` is {"ids": ints, "distances": floats} and `media` is
{"bytes": bytes or None, "path": text}."""

Batch = Mapping[str, Any]
"""Some rows: name of a column -> its cells, a sequence or an array. All have the same length. None is an empty cell."""

_ROWS = 1000  # of a batch that is made of rows
_TYPES = {
    "text": "text",
    "path": "text",
    "integer": "int64",
    "number": "float64",
    "single": "float32",
    "texts": "list of text",
    "singles": "list of float32",
    "neighbours": "struct of ids (list of int64) and distances (list of float32)",
    "media": "struct of bytes and path",
}


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    name : str
        Its name, which no other column of the table has.
    kind : str
        What its cells are, see `Kind`.
    meaning : str
        What they mean, in one sentence.
    unit : str
        Their unit; empty without one.
    dim : int
        How many numbers a vector has.
    """

    name: str
    kind: Kind
    meaning: str = ""
    unit: str = ""
    dim: int = 0

    @property
    def type(self) -> str:
        """The type of the cells, in words."""
        wide = {"vector": "float32", "span": "float64"}.get(self.kind)
        return f"{wide} x {self.dim}" if wide else _TYPES[self.kind]


def count_of(batch: Batch) -> int:
    """Return the number of rows of a batch."""
    return len(next(iter(batch.values()), ()))


def batch_of(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    """Return rows, each with a cell for every column, as a batch."""
    return {column.name: [row[number] for row in rows] for number, column in enumerate(columns)}


def batches_of(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> Iterator[dict[str, list[Any]]]:
    """Yield rows as batches of a thousand."""
    waiting = iter(rows)
    while part := list(itertools.islice(waiting, _ROWS)):
        yield batch_of(columns, part)


def columns_of(objects: Sequence[Mapping[str, Any]], names: Sequence[str] = ()) -> list[Column]:
    """Return the columns of objects, one for each key: those of `names`, then others in the order in which they come.

    A column has the kind that fits all of its values: whole numbers, numbers, lists of texts, or texts; `path` and
    `root` are paths.
    """
    names = [*dict.fromkeys([*names, *(name for each in objects for name in each)])]
    kinds = {name: _kind([each[name] for each in objects if each.get(name) is not None]) for name in names}
    return [Column(name, "path" if name in ("path", "root") else kind) for name, kind in kinds.items()]


def batch_of_objects(columns: Sequence[Column], objects: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return objects as a batch of the columns of `columns_of`. What is no number and no text becomes JSON."""
    return {
        column.name: [_plain(each.get(column.name), text=column.kind in ("text", "path")) for each in objects]
        for column in columns
    }


def _kind(values: Sequence[Any]) -> Kind:
    if values and all(type(value) is int for value in values):
        return "integer"
    if values and all(type(value) in (int, float) for value in values):
        return "number"
    lists = all(isinstance(value, list | tuple) and all(isinstance(each, str) for each in value) for value in values)
    return "texts" if values and lists else "text"


def _plain(value: Any, *, text: bool) -> Any:
    if not text or value is None or isinstance(value, str):
        return value
    return "yes" if value is True else "no" if value is False else json.dumps(value, default=str)


def cells_of(batch: Batch, column: Column) -> Sequence[Any]:
    """Return the cells of a column as Python objects; NaN is an empty cell."""
    cells = batch[column.name]
    if not isinstance(cells, np.ndarray):
        return cells  # type: ignore[no-any-return]
    found: list[Any] = cells.tolist()
    return [None if cell != cell else cell for cell in found] if cells.dtype.kind == "f" and cells.ndim == 1 else found


def dictionary(columns: Sequence[Column], metadata: Mapping[str, str]) -> str:
    """Return a description of a table as JSON: name, type, unit and meaning of each column.

    Parameters
    ----------
    columns : sequence of Column
        The columns.
    metadata : mapping of str to str
        What holds for the whole table.

    Returns
    -------
    str
        A JSON object with the metadata, and the columns under `columns`.
    """
    listed = [{"name": c.name, "type": c.type, "unit": c.unit, "meaning": c.meaning} for c in columns]
    return json.dumps({**metadata, "columns": listed}, indent=1) + "\n"
