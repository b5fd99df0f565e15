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

_BUFFER = 2**20  # bytes of a column that are read at once
_STRING_BYTES, _CONTAINER_ITEMS = 2**24, 2**20  # of the metadata of a file, at most
GROUP_ROWS = 2**16
"""Rows of a row group at most."""
GROUP_BYTES = 2**26
"""Bytes of a row group from which on it is written, so that memory stays bounded."""


def require_pyarrow() -> None:
    """Raise `SightsoundError` if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise SightsoundError("pyarrow is not installed; run `pip install sightsound[tables]`")


def open_parquet(file: str | os.PathLike[str]) -> Any:
    """Open a Parquet file that may be anyone's; it is a context.

    Parameters
    ----------
    file : path
        The file. Its metadata may have 16 MiB of texts, and 1,048,576 entries in a list, and a column is read in pieces
        of 1 MiB.

    Returns
    -------
    pyarrow.parquet.ParquetFile

    Raises
    ------
    SightsoundError
        If pyarrow is missing. What a damaged file raises, here and later, is in `reading_errors`.
    """
    require_pyarrow()
    import pyarrow.parquet

    limits = {"thrift_string_size_limit": _STRING_BYTES, "thrift_container_size_limit": _CONTAINER_ITEMS}
    return pyarrow.parquet.ParquetFile(os.fspath(file), buffer_size=_BUFFER, pre_buffer=False, **limits)


def reading_errors() -> tuple[type[BaseException], ...]:
    """Return the errors that reading a damaged Parquet file raises."""
    require_pyarrow()
    import pyarrow

    return (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, MemoryError)


def arrow_schema(columns: Sequence[Column], metadata: Mapping[str, str], *, note: bool = True) -> Any:
    """Return the schema of a table. Its fields bear the meaning and the unit of their columns.

    Parameters
    ----------
    columns : sequence of Column
        The columns.
    metadata : mapping of str to str
        What holds for the whole table.
    note : bool, default=True
        Whether there is the column `note`.

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
    for column in _with_note(columns) if note else columns:
        facts = {"meaning": utf8(column.meaning), "unit": column.unit}
        named = {key: value for key, value in facts.items() if value}
        fields.append(pa.field(utf8(column.name), _type(column), metadata=named or None))
    return pa.schema(fields, metadata={key: utf8(value) for key, value in metadata.items()})


def arrow_batches(
    columns: Sequence[Column], batches: Iterable[Batch], schema: Any, *, note: bool = True
) -> Iterator[Any]:
    """Yield batches as record batches of pyarrow."""
    import pyarrow as pa

    every = _with_note(columns) if note else columns
    for batch in batches:
        noted = {**batch, NOTE.name: notes(batch, columns, csv=False)} if note else batch
        yield pa.record_batch([_array(noted, column) for column in every], schema=schema)


def arrow_table(columns: Sequence[Column], batches: Iterable[Batch], schema: Any) -> Any:
    """Return a whole table of pyarrow."""
    import pyarrow as pa

    return pa.Table.from_batches(list(arrow_batches(columns, batches, schema)), schema)


def write_parquet(
    file: str | os.PathLike[str],
    columns: Sequence[Column],
    batches: Iterable[Batch],
    metadata: Mapping[str, str],
    *,
    note: bool = True,
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
    note : bool, default=True
        Whether the column `note` is added.
    """
    schema = arrow_schema(columns, metadata, note=note)
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, rows, size, waiting = 0, 0, 0, list[Any]()
    with pq.ParquetWriter(os.fspath(file), schema, compression="zstd") as writer:
        for batch in arrow_batches(columns, batches, schema, note=note):
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
