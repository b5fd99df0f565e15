"""The vectors of formats 1 to 3, which are in the database, and their move into segments."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np

from sightsound._progress import bar
from sightsound.contract.arrays import Floats, Seconds
from sightsound.library.store import schema
from sightsound.library.store.row_table import RowTable

log = logging.getLogger(__name__)
_BLOCK = 4096  # vectors that are moved at once


def move_vectors(db: sqlite3.Connection, rows: RowTable, name: str) -> None:
    """Move all vectors of a database of format 3 into segments.

    Contents whose vectors are damaged lose them and their outcome, with a warning, so that `index` embeds them again.

    Parameters
    ----------
    db : sqlite3.Connection
        The database, in a transaction.
    rows : RowTable
        Where the rows go. It shares the transaction.
    name : str
        Of the library, for messages.

    Raises
    ------
    ValueError, TypeError, LookupError
        If the database is damaged.
    """
    schema.add_row_tables(db)
    dims = {space: int(json.loads(facts)["dim"]) for space, facts in db.execute("SELECT id, facts FROM spaces")}
    ((total,),) = db.execute("SELECT count(*) FROM vectors").fetchall()
    query = (
        "SELECT space, content, max(windows), max(checksum) FROM outcomes WHERE status = 'ok' AND content IS NOT NULL"
        " GROUP BY space, content"
    )
    lost = 0
    with bar(total, f"migrate {name}", None, unit="vector") as shown:
        for space, content, windows, checksum in db.execute(query).fetchall():
            if space in dims and not _move(db, rows, (content, space), dims[space], (windows, checksum), shown):
                for table in ("outcomes", "tags", "tagged"):
                    db.execute(f"DELETE FROM {table} WHERE content = ? AND space = ?", (content, space))
                lost += 1
    schema.drop_vector_tables(db)
    if lost:
        log.warning("%s: the vectors of %d contents are damaged and were left out; index the files again", name, lost)


def _move(
    db: sqlite3.Connection, rows: RowTable, key: tuple[int, int], dim: int, expected: tuple[int, int], shown: Any
) -> bool:
    """Move the vectors of a content in a space; return whether they are sound, else nothing has been moved."""
    found = (0, 0)
    try:
        for block in _blocks(db, key):
            for start, stop, embedding in block:
                found = found[0] + 1, schema.old_checksum(found[1], start, stop, embedding)
            vectors, spans = _decoded(block, dim)
            if not np.isfinite(vectors).all():
                raise ValueError("not finite")
            rows.add(*key, vectors, spans)
            shown.update(len(block))
        if not found[0] or found != expected:
            raise ValueError("not what was stored")
    except (ValueError, TypeError):
        rows.give_up(*key)
        return False
    rows.complete(*key)
    return True


def _blocks(db: sqlite3.Connection, key: tuple[int, int]) -> Iterator[list[tuple[Any, ...]]]:
    cursor = db.execute("SELECT start, stop, embedding FROM vectors WHERE content = ? AND space = ? ORDER BY id", key)
    while block := cursor.fetchmany(_BLOCK):
        yield block


def _decoded(block: list[tuple[Any, ...]], dim: int) -> tuple[Floats, Seconds]:
    vectors = np.frombuffer(b"".join(row for *_, row in block), "<f4").reshape(len(block), dim)
    spans = np.array([[np.nan if at is None else at for at in row[:2]] for row in block], np.float64)
    return vectors, spans
