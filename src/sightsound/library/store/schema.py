"""The tables of a library, and the steps from each older format to the next one."""

from __future__ import annotations

import re
import sqlite3
import struct
import zlib
from collections.abc import Callable

from sightsound.media.files import LIBRARY_ID

APPLICATION_ID = LIBRARY_ID
FORMAT = 5
LAST_WITH_VECTORS = 3
"""The last format with the vectors in the database; the step to the next one is `old_vectors.move_vectors`."""

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
    PRIMARY KEY (item, space)
) WITHOUT ROWID;
CREATE INDEX outcomes_by_content ON outcomes (content, space);
"""
_ROW_TABLES = """
CREATE TABLE segments (                    -- files of rows, see `segments`
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    space INTEGER NOT NULL REFERENCES spaces,
    name TEXT NOT NULL UNIQUE,             -- part of the names of the files
    dtype TEXT NOT NULL,                   -- f32 or f16
    rows INTEGER NOT NULL,                 -- committed; each belongs to a run or is removed
    inode INTEGER NOT NULL,                -- of the file of vectors; another one in a copy of the folder
    scores TEXT,                           -- sigmoid or softmax; NULL for rows without scores
    classes INTEGER REFERENCES class_lists -- of the scores
);
CREATE INDEX segments_by_space ON segments (space);
CREATE TABLE runs (                        -- where the rows of a content are; more than one where a segment was full
    content INTEGER NOT NULL REFERENCES contents,
    space INTEGER NOT NULL REFERENCES spaces,
    part INTEGER NOT NULL,
    segment INTEGER NOT NULL REFERENCES segments,
    first INTEGER NOT NULL, count INTEGER NOT NULL,
    checksum INTEGER NOT NULL,             -- CRC-32 of the vectors, as stored
    record_checksum INTEGER NOT NULL,      -- CRC-32 of the records
    score_checksum INTEGER NOT NULL,       -- CRC-32 of the scores, 0 without
    PRIMARY KEY (content, space, part)
) WITHOUT ROWID;
CREATE INDEX runs_by_segment ON runs (segment, first);
CREATE TABLE removed (                     -- rows that are not to be found any more
    segment INTEGER NOT NULL REFERENCES segments,
    first INTEGER NOT NULL, count INTEGER NOT NULL,
    generation INTEGER NOT NULL,           -- of the space, from which on they are removed
    PRIMARY KEY (segment, first)
) WITHOUT ROWID;
CREATE TABLE class_lists (                 -- what the columns of scores mean
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fingerprint TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL
);
CREATE TABLE classes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    list INTEGER NOT NULL REFERENCES class_lists,
    position INTEGER NOT NULL,             -- the column
    label TEXT NOT NULL,
    key TEXT NOT NULL,                     -- AudioSet's mid, WordNet's id, or ''
    UNIQUE (list, position)
);
CREATE TABLE highest (                     -- the highest score of a class in a content, above a floor
    class INTEGER NOT NULL REFERENCES classes,
    space INTEGER NOT NULL REFERENCES spaces,
    content INTEGER NOT NULL REFERENCES contents,
    score REAL NOT NULL,
    PRIMARY KEY (class, space, content)
) WITHOUT ROWID;
CREATE INDEX highest_by_score ON highest (class, space, score);
CREATE INDEX highest_by_content ON highest (content, space);
CREATE TABLE settings (                    -- of the library
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE indexes (                     -- approximate indexes in files, see `index_files`
    space INTEGER PRIMARY KEY REFERENCES spaces,
    name TEXT NOT NULL UNIQUE,             -- part of the name of the file
    kind TEXT NOT NULL,                    -- hnsw, ivf, ivf-sq8 or ivf-pq
    stamp TEXT NOT NULL,                   -- JSON: the segments and rows it was built from, SHA-256 of the file
    report TEXT NOT NULL,                  -- JSON: parameters of searches and measured recall
    signature BLOB NOT NULL                -- HMAC-SHA256 with a key of the user
);
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
_RANGE_TABLES = """
CREATE TABLE ranges (                      -- labels of parts of recordings
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    start REAL NOT NULL, stop REAL NOT NULL, -- seconds; equal for a moment
    low_hz REAL, high_hz REAL,             -- NULL where no band is known
    channel INTEGER,                       -- from 0; NULL for all
    "column" TEXT NOT NULL,
    value TEXT NOT NULL
);
CREATE INDEX ranges_by_item ON ranges (item, "column", start);
"""
TABLES += _ROW_TABLES + _TAG_TABLES + _RANGE_TABLES
NAMES = tuple(re.findall(r"CREATE TABLE (\w+)", TABLES))


def old_checksum(before: int, start: float | None, stop: float | None, embedding: bytes) -> int:
    """Return the CRC-32 of the vectors of a content up to format 3, continued with one more vector.

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
        sums[content, space] = count + 1, old_checksum(before, start, stop, embedding)
    for (content, space), (count, crc) in sums.items():
        values = (count, crc, content, space)
        db.execute("UPDATE outcomes SET windows = ?, checksum = ? WHERE content = ? AND space = ?", values)


def _add_tags(db: sqlite3.Connection) -> None:
    """Format 3 adds the tables of tags."""
    _execute(db, _TAG_TABLES)


def add_row_tables(db: sqlite3.Connection) -> None:
    """Format 4 adds the tables of rows in files."""
    _execute(db, _ROW_TABLES)


def drop_vector_tables(db: sqlite3.Connection) -> None:
    """Format 4 has no vectors in the database."""
    for table in ("vectors", "pending"):
        db.execute(f"DROP TABLE {table}")
    for column in ("windows", "checksum"):
        db.execute(f"ALTER TABLE outcomes DROP COLUMN {column}")


def _add_ranges(db: sqlite3.Connection) -> None:
    """Format 5 adds the table of labels of time ranges."""
    _execute(db, _RANGE_TABLES)


def _execute(db: sqlite3.Connection, tables: str) -> None:
    for statement in filter(str.strip, tables.split(";\n")):
        db.execute(statement)


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _add_checksums, 2: _add_tags, 4: _add_ranges}
"""Format -> the step to the next format, but for that from `LAST_WITH_VECTORS`. All steps run in one transaction."""
