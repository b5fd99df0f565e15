"""Migration of a library to the present format, in place after a copy was made, or of a copy."""

from __future__ import annotations

import contextlib
import filecmp
import itertools
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from sightsound import _atomic
from sightsound.contract.errors import LibraryError
from sightsound.library.store import schema
from sightsound.library.store.files import new_file
from sightsound.library.store.old_vectors import move_vectors
from sightsound.library.store.row_table import RowTable
from sightsound.library.store.segment_pool import SegmentPool
from sightsound.library.store.transaction import Transaction
from sightsound.media.safe_open import error_line


def migrate(db: sqlite3.Connection, file: Path, format_: int) -> None:
    """Copy the file of a library, then migrate it. One that was killed begins anew.

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
    copy, is_new = _back_up(db, file, format_)
    try:
        migrate_copy(db, file.parent, file, format_)
    except BaseException:
        if is_new and db.execute("PRAGMA user_version").fetchone() == (format_,):
            copy.unlink(missing_ok=True)  # nothing was migrated; the next attempt makes another copy
        raise


def migrate_copy(db: sqlite3.Connection, folder: Path, file: Path, format_: int) -> None:
    """Apply every step to the present format in one transaction, and give back the room of the old vectors.

    Parameters
    ----------
    db : sqlite3.Connection
        The database, or a copy of it.
    folder : pathlib.Path
        Where the files of rows are, or are made.
    file : pathlib.Path
        The file that the database is of, for messages.
    format_ : int
        Its format.
    """
    transaction = Transaction(db)
    files = SegmentPool(transaction, folder)
    rows = RowTable(transaction, files)
    db.execute("PRAGMA foreign_keys = OFF")
    try:
        db.execute("BEGIN IMMEDIATE")
        for step in range(format_, schema.FORMAT):
            _apply(step, db, rows, file)
        files.write()
        db.execute(f"PRAGMA user_version = {schema.FORMAT}")
        db.execute("COMMIT")
        files.committed()
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        files.clear_cache()
        raise
    finally:
        files.close()
        db.execute("PRAGMA foreign_keys = ON")
    if format_ <= schema.LAST_WITH_VECTORS:
        with contextlib.suppress(sqlite3.Error):  # no room for this: the file stays as large as it was
            db.execute("VACUUM")


def _apply(step: int, db: sqlite3.Connection, rows: RowTable, file: Path) -> None:
    try:
        if step == schema.LAST_WITH_VECTORS:
            move_vectors(db, rows, file.parent.name)
        else:
            schema.MIGRATIONS[step](db)
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise LibraryError(
            f"{file.parent}: damaged, cannot be read as format {step} ({error_line(error)}); restore it from a copy"
        ) from error


def _back_up(db: sqlite3.Connection, file: Path, format_: int) -> tuple[Path, bool]:
    """Copy all that is committed, also what is only in the WAL file; return the path, and whether the copy is new.

    A copy with the same content, such as one of a migration that was killed, is used again.
    """
    stem = f"{file.stem}.format{format_}"
    try:
        with new_file(file.parent, f"{stem}-") as part:
            with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as target:
                target.execute("PRAGMA journal_mode = OFF")  # a file beside it would have a name that can be foreseen
                db.backup(target)
            shutil.copymode(file, part)
            for copy in _names(file, stem):
                if not os.path.lexists(copy):
                    _atomic.replace(part, copy)
                    return copy, True
                if _is_same(copy, part):
                    return copy, False
    except OSError as error:
        raise LibraryError(
            f"{file.parent}: the copy before the migration cannot be written ({error.strerror}); the library is "
            "unchanged: free some space, or copy the library to another place, and run the same command again"
        ) from error
    raise AssertionError("the names do not end")


def _names(file: Path, stem: str) -> Iterator[Path]:
    """Yield the names for copies in their order. An earlier copy is never overwritten."""
    for number in itertools.count(1):
        yield file.with_name((stem if number == 1 else f"{stem}-{number}") + file.suffix)


def _is_same(earlier: Path, part: Path) -> bool:
    """Return whether an earlier copy is an ordinary file with the content of this one."""
    return stat.S_ISREG(os.lstat(earlier).st_mode) and filecmp.cmp(earlier, part, shallow=False)
