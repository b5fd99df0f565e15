"""The tables of a library, how a connection is opened, and how older formats become this one."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sightsound.contract.errors import LibraryError

APPLICATION_ID = 0x73736C62  # "sslb"
FORMAT = 3

TABLES = """
CREATE TABLE roots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE              -- absolute, as the file system spells it: names need not be UTF-8
);
CREATE TABLE contents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,             -- SHA-256 of the file
    modality TEXT                          -- image, sound, or NULL for what is neither
);
CREATE TABLE items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    root INTEGER NOT NULL REFERENCES roots,
    path BLOB NOT NULL,                    -- POSIX, relative to the root
    size INTEGER, mtime_ns INTEGER,        -- of the file when its content was last hashed
    content INTEGER REFERENCES contents,   -- NULL where the file could not be read
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
    facts TEXT NOT NULL,                   -- what the fingerprint hashes
    generation INTEGER NOT NULL DEFAULT 0, -- raised by every change of what a search can find
    UNIQUE (name, fingerprint)
);
CREATE TABLE outcomes (
    item INTEGER NOT NULL REFERENCES items ON DELETE CASCADE,
    space INTEGER NOT NULL,                -- 0 where the item got to no model
    content INTEGER REFERENCES contents,   -- what stands for the item in this space
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
CREATE TABLE pending (                     -- rows of contents that are not complete: never searched, removed at open
    content INTEGER NOT NULL,
    space INTEGER NOT NULL,
    PRIMARY KEY (content, space)
) WITHOUT ROWID;
"""
TAGS = """
CREATE TABLE tagged (                      -- contents whose tags are known, and the rules that they came by
    content INTEGER NOT NULL REFERENCES contents,
    space INTEGER NOT NULL REFERENCES spaces,
    rules TEXT NOT NULL,                   -- JSON
    PRIMARY KEY (content, space)
) WITHOUT ROWID;
CREATE TABLE tags (                        -- segments of sounds, the best classes of pictures
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
TABLES += TAGS


def checksum(before: int, start: float | None, stop: float | None, embedding: bytes) -> int:
    """CRC-32 over the vectors of a content in the order of their ids, each its seconds (float64, NaN for images) and
    then its numbers; `before` is that of the vectors before, 0 for the first."""
    nan = float("nan")
    seconds = struct.pack("<dd", nan if start is None else start, nan if stop is None else stop)
    return zlib.crc32(embedding, zlib.crc32(seconds, before))


def checksums(db: sqlite3.Connection) -> dict[tuple[int, int], tuple[int, int]]:
    """(content, space) -> how many vectors there are, and their checksum."""
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    query = "SELECT content, space, start, stop, embedding FROM vectors ORDER BY id"
    for content, space, start, stop, embedding in db.execute(query):
        count, before = sums.get((content, space), (0, 0))
        sums[content, space] = count + 1, checksum(before, start, stop, embedding)
    return sums


def _add_checksums(db: sqlite3.Connection) -> None:
    """Format 2 counts the vectors of each outcome and keeps their checksum."""
    for column in ("windows", "checksum"):
        db.execute(f"ALTER TABLE outcomes ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0")
    for (content, space), (count, crc) in checksums(db).items():
        values = (count, crc, content, space)
        db.execute("UPDATE outcomes SET windows = ?, checksum = ? WHERE content = ? AND space = ?", values)


def _add_tags(db: sqlite3.Connection) -> None:
    """Format 3 keeps tags beside vectors."""
    for statement in filter(str.strip, TAGS.split(";\n")):
        db.execute(statement)


MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {1: _add_checksums, 2: _add_tags}
"""From a format to the next; each runs inside one transaction, after a copy of the file was put aside."""


def create(file: Path) -> None:
    """An empty library. Two at once are harmless: the file appears under its name when it is whole."""
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with contextlib.closing(_connect(f"{draft.as_uri()}?mode=rwc")) as db, errors(file):
        db.execute("PRAGMA page_size = 65536")  # at 4 KiB a 512-d row wastes half of its page
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {FORMAT}; COMMIT")
    draft.replace(file)


def open_writing(file: Path) -> sqlite3.Connection:
    """A connection that may write, migrated to this format, in WAL mode where the medium can."""
    db = _connect(f"{file.as_uri()}?mode=rw")
    with errors(file):
        format_ = _format(db, file)
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        if format_ < FORMAT:
            _migrate(db, file, format_)
    return db


def open_reading(file: Path) -> sqlite3.Connection:
    """A connection that only reads, on a read-only medium too."""
    wal = file.with_name(file.name + "-wal")
    reason = ""
    for mode in ("rw", "ro", "ro&immutable=1"):
        if "immutable" in mode and wal.exists() and wal.stat().st_size:
            raise LibraryError(
                f"{file.parent}: its last writer did not finish, and the medium is read-only; copy it to a place "
                "that can be written and open it there"
            )
        try:
            db = _connect(f"{file.as_uri()}?mode={mode}")
            if _format(db, file) < FORMAT:
                return _open_older(db, file)
            db.execute("PRAGMA query_only = ON")
            db.execute("SELECT count(*) FROM roots").fetchone()
            return db
        except sqlite3.OperationalError as error:
            reason = str(error)
    raise LibraryError(f"{file}: cannot be opened ({reason}); see that it may be read")


@contextlib.contextmanager
def errors(file: Path) -> Iterator[None]:
    """Says what SQLite's errors mean for a library."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise LibraryError(
                f"{file.parent}: no room left for the library ({error}); what was committed is kept: "
                "free some space and run the same command again"
            ) from error
        raise LibraryError(f"{file.parent}: {error}; run `sightsound check --library {file.parent}`") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise LibraryError(f"{file.parent}: damaged, or not a library ({error}); restore it from a copy") from error


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def _format(db: sqlite3.Connection, file: Path) -> int:
    try:
        (application,), (format_,) = (db.execute(f"PRAGMA {p}").fetchone() for p in ("application_id", "user_version"))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise LibraryError(f"{file}: expected a library, got another kind of file ({error})") from error
    if application != APPLICATION_ID:
        raise LibraryError(f"{file}: expected a sightsound library, got another SQLite database")
    if format_ > FORMAT:
        raise LibraryError(
            f"{file.parent}: library of format {format_}, this program reads up to {FORMAT}; upgrade sightsound"
        )
    return int(format_)


def _migrate(db: sqlite3.Connection, file: Path, format_: int) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy2(file, file.with_name(f"{file.stem}.format{format_}{file.suffix}"))
    db.execute("PRAGMA foreign_keys = OFF")
    for step in range(format_, FORMAT):
        db.execute("BEGIN IMMEDIATE")
        MIGRATIONS[step](db)
        db.execute(f"PRAGMA user_version = {step + 1}")
        db.execute("COMMIT")
    db.execute("PRAGMA foreign_keys = ON")


def _open_older(db: sqlite3.Connection, file: Path) -> sqlite3.Connection:
    """An older library for reading: a copy in memory is brought to this format, the file stays as it is."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with contextlib.closing(db):
        db.backup(copy)
    for step in range(_format(copy, file), FORMAT):
        MIGRATIONS[step](copy)
    copy.execute("PRAGMA query_only = ON")
    return copy


def is_copy(db: sqlite3.Connection) -> bool:
    """Whether a connection reads a copy in memory."""
    query = "SELECT file = '' FROM pragma_database_list WHERE name = 'main'"  # the name itself need not be UTF-8
    return bool(db.execute(query).fetchone()[0])
