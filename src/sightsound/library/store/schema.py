"""The tables of a library, the checksum of its vectors, and the steps from each older format to this one."""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Callable

from sightsound.media.files import LIBRARY_ID

APPLICATION_ID = LIBRARY_ID
FORMAT = 3

TABLES = """
CREATE TABLE roots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE              -- absolute, in the bytes of the file system: names need not be UTF-8
);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,             -- SHA-256 of the file
    modality TEXT                          -- image, sound, or NULL for neither
);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    root INTEGER NOT NULL REFERENCES roots,
    path BLOB NOT NULL,                    -- POSIX, relative to the root
    size INTEGER, mtime_ns INTEGER,        -- of the file when its content was last hashed
    content INTEGER REFERENCES contents,   -- NULL if the file could not be read
    UNIQUE (root, path)
);
CREATE INDEX items_by_content ON items (content);
CREATE TABLE labels (
    item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    "column" TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (item, "column", value)
) WITHOUT ROWID;
CREATE TABLE spaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    facts TEXT NOT NULL,                   -- the JSON text that the fingerprint hashes
    generation INTEGER NOT NULL DEFAULT 0, -- incremented by every change of what a search can find
    UNIQUE (name, fingerprint)
);
CREATE TABLE outcomes (
    item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    space INTEGER NOT NULL,                -- 0 if no model was run on the item
    content INTEGER REFERENCES contents,   -- the content that represents the item in this space
    status TEXT NOT NULL,
    reason TEXT NOT NULL,
    flags TEXT NOT NULL,                   -- separated by spaces
    seconds REAL,
    facts TEXT NOT NULL,                   -- JSON
    windows INTEGER NOT NULL DEFAULT 0,    -- how many vectors the content has in the space
    checksum INTEGER NOT NULL DEFAULT 0,   -- of these vectors, see `checksum`
    PRIMARY KEY (item, space)
) WITHOUT ROWID;
CREATE INDEX outcomes_by_content ON outcomes (content, space);
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- one range for all spaces
    content INTEGER NOT NULL REFERENCES contents,
    space INTEGER NOT NULL REFERENCES spaces,
    start REAL, stop REAL,                 -- seconds; NULL for images
    embedding BLOB NOT NULL                -- float32, little-endian
);
CREATE INDEX vectors_by_content ON vectors (content, space);
CREATE TABLE pending (                     -- contents whose vectors are incomplete: never searched, removed by the
    content INTEGER NOT NULL,              -- next writer
    space INTEGER NOT NULL,
    PRIMARY KEY (content, space)
) WITHOUT ROWID;
"""
_TAG_TABLES = """
CREATE TABLE tagged (                      -- contents that were tagged, and the rules that were used
    content INTEGER NOT NULL REFERENCES contents,
    space INTEGER NOT NULL REFERENCES spaces,
    rules TEXT NOT NULL,                   -- JSON
    PRIMARY KEY (content, space)
) WITHOUT ROWID;
CREATE TABLE tags (                        -- segments of sounds, the best classes of images
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    content INTEGER NOT NULL REFERENCES contents,
    space INTEGER NOT NULL REFERENCES spaces,
    label TEXT NOT NULL,
    class TEXT NOT NULL,                   -- id of the class: AudioSet's mid, WordNet's id, or ''
    start REAL, stop REAL,                 -- seconds; NULL for images
    mean REAL NOT NULL, peak REAL NOT NULL -- scores
);
CREATE INDEX tags_by_content ON tags (content, space);
"""
TABLES += _TAG_TABLES


def checksum(before: int, start: float | None, stop: float | None, embedding: bytes) -> int:
    """Return the CRC-32 of the vectors of a content, continued with one more vector.

    Parameters
    ----------
    before : int
        CRC-32 of the preceding vectors in the order of their ids, 0 for the first vector.
    start, stop : float or None
        Seconds of the window, None for images. Both enter the checksum as float64, None as NaN.
    embedding : bytes
        The stored vector, float32.
    """
    nan = float("nan")
    seconds = struct.pack("<dd", nan if start is None else float(start), nan if stop is None else float(stop))
    return zlib.crc32(embedding, zlib.crc32(seconds, before))


def _add_checksums(db: sqlite3.Connection) -> None:
    """Format 2 adds the number of vectors and their checksum to each outcome."""
    for column in ("windows", "checksum"):
        db.execute(f"ALTER TABLE outcomes ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    query = "SELECT content, space, start, stop, embedding FROM vectors ORDER BY id"
    for content, space, start, stop, embedding in db.execute(query):
        count, before = sums.get((content, space), (0, 0))
        sums[content, space] = count + 1, checksum(before, start, stop, embedding)
    for (content, space), (count, crc) in sums.items():
        values = (count, crc, content, space)
        db.execute("UPDATE outcomes SET windows = ?, checksum = ? WHERE content = ? AND space = ?", values)


def _add_tags(db: sqlite3.Connection) -> None:
    """Format 3 adds the tables of tags."""
    for statement in filter(str.strip, _TAG_TABLES.split(";\n")):
        db.execute(statement)


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _add_checksums, 2: _add_tags}
"""Format -> the step to the next format. Each step runs in one transaction, after the file was copied."""
