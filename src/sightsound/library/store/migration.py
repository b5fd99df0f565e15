"""Migration of a library to the present format, on disk after a copy was made, or in memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

from sightsound import _atomic
from sightsound.contract.errors import LibraryError
from sightsound.library.store import schema
from sightsound.library.store.files import new_file
from sightsound.media.safe_open import error_line


def migrate(db: sqlite3.Connection, file: Path, format_: int) -> None:
    """Copy the file of a library, then apply every step to the present format.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection that may write, in autocommit mode; the caller holds the lock for writing.
    file : pathlib.Path
        The file of the library.
    format_ : int
        Its format.

    Raises
    ------
    LibraryError
        If the copy cannot be written. The library is unchanged then.
    """
    copy = _back_up(db, file, format_)
    try:
        db.execute("PRAGMA foreign_keys = OFF")
        for step in range(format_, schema.FORMAT):
            db.execute("BEGIN IMMEDIATE")
            _apply(step, db, file)
            db.execute(f"PRAGMA user_version = {step + 1}")
            db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if db.execute("PRAGMA user_version").fetchone() == (format_,):
            copy.unlink(missing_ok=True)  # nothing was migrated; the next attempt makes another copy
        raise
    db.execute("PRAGMA foreign_keys = ON")


def migrate_in_memory(copy: sqlite3.Connection, file: Path, format_: int) -> None:
    """Apply every step to the present format to a database in memory."""
    for step in range(format_, schema.FORMAT):
        _apply(step, copy, file)


def _apply(step: int, db: sqlite3.Connection, file: Path) -> None:
    try:
        schema.MIGRATIONS[step](db)
    except (ValueError, TypeError) as error:
        raise LibraryError(
            f"{file.parent}: damaged, cannot be read as format {step} ({error_line(error)}); restore it from a copy"
        ) from error


def _back_up(db: sqlite3.Connection, file: Path, format_: int) -> Path:
    """Copy all that is committed, also what is only in the WAL file, and return the path of the copy."""
    stem = f"{file.stem}.format{format_}"
    try:
        with new_file(file.parent, f"{stem}-") as part:
            with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
                target.execute("PRAGMA journal_mode = OFF")  # a file beside it would have a name that can be foreseen
                db.backup(target)
            shutil.copymode(file, part)
            copy = _unused_name(file, stem)
            _atomic.replace(part, copy)
    except OSError as error:
        raise LibraryError(
            f"{file.parent}: the copy before the migration cannot be written ({error.strerror}); the library is "
            "unchanged: free some space, or copy the library to another place, and run the same command again"
        ) from error
    return copy


def _unused_name(file: Path, stem: str) -> Path:
    """Return a name for a copy. An earlier copy is never overwritten."""
    names = (stem if number == 1 else f"{stem}-{number}" for number in range(1, 2**31))
    return next(path for path in (file.with_name(name + file.suffix) for name in names) if not os.path.lexists(path))
