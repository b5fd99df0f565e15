"""Tables as Parquet, and as tables of pyarrow, which is imported when it is needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from sightsound.contract.errors import SightsoundError
from sightsound.formats.columns import Batch, Column, cells_of, count_of
from sightsound.formats.texts import NOTE, notes, utf8

GROUP_ROWS = 2**16
"""Rows of a row group at most."""
GROUP_BYTES = 2**26
"""Bytes of a row group from which on it is written, so that memory stays bounded."""


def require_pyarrow() -> None:
    """Raise `SightsoundError` if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise SightsoundError("pyarrow is not installed; run `pip install sightsound[tables]`")


def arrow_schema(columns: Sequence[Column], metadata: Mapping[str, str]) -> Any:
    """Return the schema of a table. Its fields bear the meaning and the unit of their columns.

    Parameters
    ----------
    columns : sequence of Column
        The columns.
    metadata : mapping of str to str
        What holds for the whole table.

    Returns
    -------
    pyarrow.Schema

    Raises
    ------
    SightsoundError
        If pyarrow is missing.
    """
    require_pyarrow()
    import pyarrow as pa

    fields = []
    for column in _with_note(columns):
        facts = {"meaning": utf8(column.meaning), "unit": column.unit}
        named = {key: value for key, value in facts.items() if value}
        fields.append(pa.field(utf8(column.name), _type(column), metadata=named or None))
    return pa.schema(fields, metadata={key: utf8(value) for key, value in metadata.items()})


def arrow_batches(columns: Sequence[Column], batches: Iterable[Batch], schema: Any) -> Iterator[Any]:
    """Yield batches as record batches of pyarrow."""
    import pyarrow as pa

    for batch in batches:
        noted = {**batch, NOTE.name: notes(batch, columns, csv=False)}
        yield pa.record_batch([_array(noted, column) for column in _with_note(columns)], schema=schema)


def arrow_table(columns: Sequence[Column], batches: Iterable[Batch], schema: Any) -> Any:
    """Return a whole table of pyarrow."""
    import pyarrow as pa

    return pa.Table.from_batches(list(arrow_batches(columns, batches, schema)), schema)


def write_parquet(
    file: str | os.PathLike[str], columns: Sequence[Column], batches: Iterable[Batch], metadata: Mapping[str, str]
) -> int:
    """Write a table in row groups; return the number of its rows.

    Parameters
    ----------
    file : path
        The file to write.
    columns : sequence of Column
        The columns. A column `note` is added that says which texts are not UTF-8, and are escaped.
    batches : iterable of Batch
        The rows. Small batches are joined to larger row groups.
    metadata : mapping of str to str
        What holds for the whole table; it becomes the metadata of the schema.
    """
    schema = arrow_schema(columns, metadata)
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, rows, size, waiting = 0, 0, 0, list[Any]()
    with pq.ParquetWriter(os.fspath(file), schema, compression="zstd") as writer:
        for batch in arrow_batches(columns, batches, schema):
            waiting.append(batch)
            count, rows, size = count + batch.num_rows, rows + batch.num_rows, size + batch.nbytes
            if rows >= GROUP_ROWS or size >= GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=GROUP_ROWS)
                rows, size, waiting = 0, 0, []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=GROUP_ROWS)
    return count


def _with_note(columns: Sequence[Column]) -> list[Column]:
    return [*(column for column in columns if column.name != NOTE.name), NOTE]


def _type(column: Column) -> Any:
    import pyarrow as pa

    match column.kind:
        case "integer":
            return pa.int64()
        case "number":
            return pa.float64()
        case "single":
            return pa.float32()
        case "texts":
            return pa.list_(pa.string())
        case "singles":
            return pa.list_(pa.float32())
        case "vector":
            return pa.list_(pa.float32(), column.dim)
        case "neighbours":
            return pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
        case "media":
            return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        case _:
            return pa.string()


def _array(batch: Batch, column: Column) -> Any:
    """Return the cells of a column as an array of pyarrow."""
    import pyarrow as pa

    cells, kind = batch[column.name], _type(column)
    if column.kind == "vector":
        rows = np.ascontiguousarray(cells, np.float32).reshape(count_of(batch), column.dim)
        return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), column.dim)
    if isinstance(cells, np.ndarray):
        return pa.array(cells, kind, from_pandas=True)  # NaN is null
    found = cells_of(batch, column)
    if column.kind in ("text", "path"):
        found = [None if cell is None else utf8(cell) for cell in found]
    elif column.kind == "texts":
        found = [None if cell is None else list(map(utf8, cell)) for cell in found]
    elif column.kind == "media":
        found = [cell if cell is None else {**cell, "path": utf8(cell["path"])} for cell in found]
    return pa.array(found, kind)
