"""The database file of a library: creating and opening it, migration, and the errors of SQLite in one line."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightsound import _atomic
from sightsound.contract.errors import LibraryError
from sightsound.library.store import schema
from sightsound.library.store.files import new_file, require_ordinary_files
from sightsound.library.store.migration import migrate, migrate_in_memory
from sightsound.library.store.transaction import write_lock
from sightsound.library.store.validation import read_format
from sightsound.media.safe_open import error_line


class Database:
    """The read connection of a library. It sees the state of the last commit, or of the start of a `snapshot`.

    Parameters
    ----------
    file : pathlib.Path
        The SQLite file. A file of an older format is migrated in memory and stays unchanged on disk.

    Raises
    ------
    LibraryError
        If the file is not a library, is damaged, cannot be read, or has a newer format.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._closed = False
        require_ordinary_files(file)
        with sqlite_errors(file):
            self._connection = open_reading(file)

    def close(self) -> None:
        """Close the connection; every later read raises `LibraryError`."""
        self._closed = True
        self._connection.close()

    def reopen_after_migration(self) -> None:
        """Read the file itself from now on, if it has been read through a migrated copy in memory so far."""
        if _is_memory_copy(self._connection):
            self._connection.close()
            self._connection = open_reading(self.file)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of an SQL query.

        Parameters
        ----------
        query : str
            SQL text with `?` for each value.
        *values
            The values, in the order of the question marks.
        """
        with self._errors():
            return self._connection.execute(query, values).fetchall()

    def iterate(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of an SQL query one by one; parameters as in `rows`."""
        with self._errors():
            cursor = self._connection.execute(query, values)
            yield from iter(cursor.fetchone, None)  # unlike the cursor it may be left when the file was closed

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Make all reads in the block see the same state, even if a writer commits meanwhile."""
        with self._errors():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:  # damage may have ended it
                    self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def decoding(self) -> Iterator[None]:
        """Report a stored value that cannot be decoded as damage.

        Only the decoding of values that were read belongs in the block. An error of any other code must not be
        reported as damage, since the user would replace a sound library by an old copy.
        """
        try:
            yield
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise LibraryError(
                f"{self.file.parent}: damaged ({type(error).__name__}: {error_line(error)}); run `sightsound check`, "
                "restore it from a copy"
            ) from error

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise LibraryError(f"{self.file.parent}: the library was closed")
        try:
            with sqlite_errors(self.file):
                yield
        except MemoryError as error:
            raise LibraryError(
                f"{self.file.parent}: too little memory to read it; run `sightsound check`, or use a larger machine"
            ) from error


@contextlib.contextmanager
def sqlite_errors(file: Path) -> Iterator[None]:
    """Turn the errors of SQLite into `LibraryError` with the cause and the next step."""
    folder = file.parent
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error):
            raise LibraryError(
                f"{folder}: no room left for the library ({error_line(error)}); what was committed is kept: "
                "free some space and run the same command again"
            ) from error
        raise LibraryError(f"{folder}: {error_line(error)}; run `sightsound check --library {folder}`") from error
    except sqlite3.ProgrammingError as error:
        if "thread" not in str(error):
            raise  # a mistake in the query, not in the file
        raise LibraryError(f"{folder}: {error}; use a library in the thread that opened it") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise LibraryError(
            f"{folder}: damaged, or not a library ({error_line(error)}); restore it from a copy"
        ) from error


def exists(file: Path) -> bool:
    """Return whether a library exists; raise `LibraryError` if its folder may not be searched."""
    try:
        return file.exists()
    except OSError as error:
        raise LibraryError(
            f"library {file.parent}: cannot be opened ({error.strerror}); see that it may be read"
        ) from error


def create(file: Path) -> None:
    """Create an empty library, in a new or empty folder."""
    folder = file.parent
    if folder.exists() and not folder.is_dir():
        raise LibraryError(f"{folder}: expected a folder, got a file; name another --library")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir() if not path.name.startswith(("writer.", "library."))]
    except OSError as error:
        raise _cannot_create(folder, error) from error
    if others:
        raise LibraryError(
            f"{folder}: expected a library or an empty folder, it holds {others[0]!r}; name a new folder"
        )
    with write_lock(file):
        if not file.exists():
            try:
                _create_file(file)
            except OSError as error:
                raise _cannot_create(folder, error) from error


def _cannot_create(folder: Path, error: OSError) -> LibraryError:
    return LibraryError(f"{folder}: cannot make a library here ({error.strerror}); name another --library")


def _create_file(file: Path) -> None:
    """Create the database. The file appears under its name when it is complete."""
    with new_file(file.parent, "library.new-") as part:
        _write_tables(part, file)
        _atomic.replace(part, file)


def _write_tables(part: Path, file: Path) -> None:
    with contextlib.closing(_connect(f"{part.as_uri()}?mode=rw")) as db, sqlite_errors(file):
        db.execute("PRAGMA page_size = 65536")  # with pages of 4 KiB a vector of 512 numbers wastes half of its page
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.executescript(f"BEGIN; {schema.TABLES} PRAGMA user_version = {schema.FORMAT}; COMMIT")


def open_writing(file: Path) -> sqlite3.Connection:
    """Return a connection that may write, after migration to the present format; WAL mode if the medium supports it."""
    with contextlib.ExitStack() as opened, sqlite_errors(file):
        db = opened.enter_context(contextlib.closing(_connect(f"{file.as_uri()}?mode=rw")))
        format_ = read_format(db, file)
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        if format_ < schema.FORMAT:
            migrate(db, file, format_)
        opened.pop_all()
        return db


def open_reading(file: Path) -> sqlite3.Connection:
    """Return a connection that only reads, also on a read-only medium."""
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
            if read_format(db, file) < schema.FORMAT:
                return _open_migrated(db, file)
            db.execute("PRAGMA query_only = ON")
            db.execute("SELECT count(*) FROM roots").fetchone()
            return db
        except sqlite3.OperationalError as error:
            reason = error_line(error)
    raise LibraryError(f"{file}: cannot be opened ({reason}); see that it may be read")


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
    db.execute("PRAGMA trusted_schema = OFF")
    return db


def _open_migrated(db: sqlite3.Connection, file: Path) -> sqlite3.Connection:
    """Return a copy of an older library in memory, migrated to the present format."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with contextlib.closing(db):
        db.backup(copy)
    migrate_in_memory(copy, file, read_format(copy, file))
    copy.execute("PRAGMA query_only = ON")
    return copy


def _is_memory_copy(db: sqlite3.Connection) -> bool:
    query = "SELECT file = '' FROM pragma_database_list WHERE name = 'main'"  # the name itself need not be UTF-8
    return bool(db.execute(query).fetchone()[0])
