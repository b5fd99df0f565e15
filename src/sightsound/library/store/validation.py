"""What a library must be like to be opened: its format, its tables, and the values that are decoded from them."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Item, Outcome, Status, TimeRange
from sightsound.contract.space import Space
from sightsound.library.store import schema
from sightsound.media.safe_open import error_line

_MODALITIES = ("image", "sound")
_MAX_DIM = 2**24


def read_format(db: sqlite3.Connection, file: Path) -> int:
    """Return the format of a library.

    Raises
    ------
    LibraryError
        If the file is not a library, has a newer format, or has views, triggers, virtual tables or generated columns
        where a library has tables; these could run any query of their author, also an endless one.
    """
    try:
        (application,), (format_,) = (db.execute(f"PRAGMA {p}").fetchone() for p in ("application_id", "user_version"))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise LibraryError(f"{file}: expected a library, got another kind of file ({error_line(error)})") from error
    if application != schema.APPLICATION_ID:
        raise LibraryError(f"{file}: expected a sightsound library, got another SQLite database")
    if format_ > schema.FORMAT:
        raise LibraryError(
            f"{file.parent}: library of format {format_}, this program reads up to {schema.FORMAT}; upgrade sightsound"
        )
    if format_ < 1:
        raise LibraryError(f"{file.parent}: damaged, its format is {format_}; restore it from a copy")
    _require_plain_tables(db, file)
    if format_ == schema.FORMAT and not _present_columns() <= _columns(db):
        raise LibraryError(f"{file.parent}: damaged, its tables are not those of a library; restore it from a copy")
    return int(format_)


def _columns(db: sqlite3.Connection) -> set[tuple[Any, ...]]:
    """Return table, name, type, whether it must have a value, and place in the key, of every column of a library."""
    marks = ", ".join(f"'{table}'" for table in schema.NAMES)
    columns = db.execute(
        'SELECT s.name, x.name, x.type, x."notnull", x.pk FROM sqlite_schema s, pragma_table_info(s.name) x'
        f" WHERE s.type = 'table' AND s.name IN ({marks})"
    )
    return set(columns)


@functools.cache
def _present_columns() -> set[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        db.executescript(schema.TABLES)
        return _columns(db)


def _require_plain_tables(db: sqlite3.Connection, file: Path) -> None:
    foreign = (
        db.execute(
            "SELECT type, name FROM sqlite_schema WHERE type NOT IN ('table', 'index') OR coalesce(rootpage, 0) < 1"
        ).fetchone()
        or db.execute(
            "SELECT 'generated column', x.name FROM sqlite_schema s, pragma_table_xinfo(s.name) x"
            " WHERE s.type = 'table' AND x.hidden != 0"
        ).fetchone()
    )
    if foreign:
        what = "virtual table" if foreign[0] == "table" else foreign[0]
        raise LibraryError(
            f"{file.parent}: expected tables alone, got the {what} {error_line(ValueError(foreign[1]))!r}; "
            "do not use this library, restore it from a copy"
        )


def text(value: object) -> str:
    """Return a text that was read; raise `TypeError` for a value of any other type. Call it inside `decoding`."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def number(value: object) -> int:
    """Return a whole number that was read; raise `TypeError` for anything else. Call it inside `decoding`."""
    if type(value) is not int:
        raise TypeError(f"expected a whole number, got {type(value).__name__}")
    return value


def digest(value: object) -> bytes:
    """Return a SHA-256 that was read; raise `ValueError` for anything else. Call it inside `decoding`."""
    if not isinstance(value, bytes) or len(value) != 32:
        raise ValueError("expected the 32 bytes of a SHA-256")
    return value


def json_object(value: object) -> Mapping[str, Any]:
    """Return a JSON object that was read; raise `ValueError` for any other. Call it inside `decoding`."""
    found = json.loads(text(value))
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object")
    return found


@functools.lru_cache(maxsize=256)  # every item has one of few
def decode_root(path: object) -> str:
    """Return the path of a root; raise `ValueError` unless it is absolute. Call it inside `decoding`."""
    root = os.fsdecode(path) if isinstance(path, bytes) else ""
    if not os.path.isabs(root) or "\0" in root:
        raise ValueError(f"root {root!r}: expected an absolute path in bytes")
    return root


def decode_item(root: bytes, path: bytes, id_: int) -> Item:
    """Return the item of a row of the tables; call it inside `decoding`.

    Raises `ValueError` for a path that leads out of its root, so that nobody who serves `Item.file` serves other files.
    """
    return Item(decode_root(root), decode_path(path, id_), id_)


def decode_path(path: object, id_: int | None = None) -> str:
    """Return the path of an item below its root; raise `ValueError` for any other. Call it inside `decoding`."""
    name = os.fsdecode(path) if isinstance(path, bytes) else ""
    if not name or "\0" in name or os.path.isabs(name) or ".." in name.split("/"):
        raise ValueError(f"item {id_}: expected a path below its root, got {name!r}")
    return name


def decode_space(name: str, facts: str, fingerprint: str) -> Space:
    """Return the space of a row of the tables; raise `ValueError` for one that `Space` cannot have made."""
    space, found = Space(text(name), text(facts)), json_object(facts)
    if space.fingerprint != fingerprint:
        raise ValueError(f"the facts of space {name} do not give its fingerprint")
    dim, stages = found["dim"], found["stages"]
    if type(dim) is not int or not 0 < dim <= _MAX_DIM or found["modality"] not in _MODALITIES:
        raise ValueError(f"space {name}: expected a dimension and a modality")
    if not isinstance(stages, list) or not all(isinstance(stage, str) for stage in stages):
        raise ValueError(f"space {name}: expected names of stages")
    return space


def decode_outcome(item: Item, status: Status, reason: str, flags: str, seconds: float | None, facts: str) -> Outcome:
    """Return the outcome of a row of the tables; raise `ValueError` or `TypeError` for one that cannot be."""
    seconds = None if seconds is None else float(seconds)
    if text(status) not in get_args(Status):
        raise ValueError(f"item {item.id}: expected a status, got {status!r}")
    return Outcome(item, status, text(reason), tuple(text(flags).split()), seconds, json_object(facts))


def decode_range(
    start: object, stop: object, column: object, value: object, low: object, high: object, channel: object
) -> TimeRange:
    """Return a labelled time range of a row of the tables; raise `ValueError` or `TypeError` for one that cannot be."""
    seconds = _finite(start), _finite(stop)
    band = (None if low is None else _finite(low), None if high is None else _finite(high))
    if not 0 <= seconds[0] <= seconds[1] or min((hz for hz in band if hz is not None), default=0) < 0:
        raise ValueError(f"a time range from {seconds[0]} to {seconds[1]} s in a band of {band} Hz")
    place = None if channel is None else number(channel)
    if place is not None and place < 0:
        raise ValueError(f"a time range of channel {place}")
    return TimeRange(*seconds, text(column), text(value), *band, place)


def _finite(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"expected a finite number, got {value!r}")
    return float(value)
