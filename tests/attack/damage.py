"""Damage to bytes, JSON, probes and databases, chosen by a `Random`."""

from __future__ import annotations

import contextlib
import copy
import json
import re
import sqlite3
import struct
import tempfile
from pathlib import Path
from random import Random

from safetensors.numpy import load, save

from sightsound.linear.file import _checksum

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")
ODD_BYTES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\x1b[31m",
    b"\n",
)
ODD_VALUES = (
    *(None, True, -1, 0, 1, 2**31, 2**64, 1e308, float("nan"), float("-inf"), "", "x" * 10_000, "\x1b]0;title\x07"),
    *("\ud800", [], {}, [[]], [None], {"a": None}, ["a"] * 1000, "../../x", "/dev/zero"),
)


def damaged(data: bytes, random: Random) -> bytes:
    """Return bytes with one to four changes: replaced, removed, repeated, zeroed or odd bytes, or an early end."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if not changed:
            return b""
        start = random.randrange(min(len(changed), 512)) if random.random() < 0.4 else random.randrange(len(changed))
        stop = start + random.choice([1, 1, 2, 4, 16, 200, 4096])
        kind = random.randrange(7)
        if kind == 0:
            changed[start] ^= 1 << random.randrange(8)
        elif kind == 1:
            changed[start:stop] = random.randbytes(len(changed[start:stop]))
        elif kind == 2:
            odd = random.choice(ODD_BYTES)
            changed[start : start + len(odd)] = odd
        elif kind == 3:
            changed[start:stop] = bytes(len(changed[start:stop]))
        elif kind == 4:
            del changed[start : stop if random.random() < 0.5 else None]
        elif kind == 5:
            changed[start:start] = changed[start:stop]
        else:
            other = random.randrange(len(changed))
            changed[start:stop] = changed[other : other + len(changed[start:stop])]
    return bytes(changed)


def odd_json(text: str, random: Random) -> str:
    """Return JSON in which one to three values are replaced by odd ones, removed or repeated."""
    value = json.loads(text)
    for _ in range(random.randint(1, 3)):
        places = list(_places(value))
        if not places:
            break
        inside, key = random.choice(places)
        kind = random.randrange(4)
        if kind == 0:
            del inside[key]
        elif kind == 1 and isinstance(inside, list):
            inside.insert(key, copy.deepcopy(random.choice(inside)))
        elif kind == 2 and isinstance(inside[key], str) and inside[key][:1] in ("{", "["):
            inside[key] = odd_json(inside[key], random)
        else:
            inside[key] = copy.deepcopy(random.choice(ODD_VALUES))
    return json.dumps(value)


def _places(value: object) -> list[tuple]:
    """Return every place in a JSON value: what holds it, and its key or index there."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for key, inner in pairs for place in [(value, key), *_places(inner)]]


def odd_probe(data: bytes, random: Random) -> bytes:
    """Return a probe or stack whose metadata are odd, with the checksum of what it holds."""
    (size,) = struct.unpack("<Q", data[:8])
    text = json.loads(data[8 : 8 + size])["__metadata__"]["sightsound"]
    arrays, metadata = load(data), json.loads(odd_json(text, random))
    with contextlib.suppress(ValueError, TypeError, AttributeError):  # no object, or with a text that is no Unicode
        metadata["sha256"] = _checksum(arrays, metadata)
    return save(arrays, {"sightsound": json.dumps(metadata)})


MADE_UP = (
    "CREATE VIEW v AS SELECT * FROM items",
    "CREATE TRIGGER t AFTER INSERT ON items BEGIN DELETE FROM items; END",
    "ALTER TABLE {table} RENAME TO r0; CREATE VIEW {table} AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x"
    " FROM c) SELECT x FROM c",
    "CREATE VIRTUAL TABLE v USING fts5(a)",
    "ALTER TABLE {table} ADD COLUMN odd TEXT GENERATED ALWAYS AS (hex(zeroblob(100000000)))",
    "ALTER TABLE {table} RENAME COLUMN {column} TO odd",
    "DROP TABLE {table}",
    "DELETE FROM {table}",
    "DELETE FROM {table} WHERE rowid = 1",
    "CREATE INDEX odd ON {table} ({column})",
    "PRAGMA user_version = {number}",
    "PRAGMA application_id = {number}",
    "PRAGMA journal_mode = PERSIST",
    "INSERT INTO roots (path) WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 5000) SELECT"
    " CAST('/' || x AS BLOB) FROM c",
)
"""SQL that an author of a library may run on it; each may fail."""
CELLS = (
    *(None, -1, 0, 1, 2, 2**62, 1e308, float("nan"), "", "x" * 100_000, "\x1b]0;title\x07", "[" * 5000, "{}", "[1]"),
    *(b"", b"\0", b"\xff" * 192, b"\0\0\xc0\x7f" * 48, b"/etc/passwd", b"../../etc/passwd", b"/", b"\x1b[31m"),
)


def made_up_library(data: bytes, random: Random) -> bytes:
    """Return a database in which one to four values are odd, or the tables are not those of a library."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "library.sqlite")
        file.write_bytes(data)
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
            db.execute("PRAGMA ignore_check_constraints = ON")
            _without_strict(db, random)
            for _ in range(random.randint(1, 4)):
                with contextlib.suppress(sqlite3.Error):
                    _change(db, random)
        return file.read_bytes()


def _without_strict(db: sqlite3.Connection, random: Random) -> None:
    """Let the tables take values of every type, in half of the libraries."""
    if random.random() < 0.5:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')")
        db.execute("PRAGMA writable_schema = RESET")


def _change(db: sqlite3.Connection, random: Random) -> None:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    table = random.choice(tables)
    column = random.choice([row[1] for row in db.execute(f"PRAGMA table_info({table})")])
    if random.random() < 0.4:
        number = random.choice([-1, 0, 1, 2, 3, 4, 2**31 - 1])
        db.executescript(random.choice(MADE_UP).format(table=table, column=f'"{column}"', number=number))
        return
    value = random.choice(CELLS)
    if isinstance(value, bytes) and random.random() < 0.3:
        db.execute(f'UPDATE {table} SET "{column}" = CAST(? AS TEXT) WHERE random() % 3 = 0', (value,))
    else:
        db.execute(f'UPDATE {table} SET "{column}" = ? WHERE random() % 3 = 0', (value,))
