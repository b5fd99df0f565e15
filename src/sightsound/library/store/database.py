"""The database file of a library: creating and opening it, migration, and the errors of SQLite in one line."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightsound import _atomic
from sightsound.contract.errors import LibraryError
from sightsound.library.store import schema
from sightsound.library.store.files import new_file, require_ordinary_files
from sightsound.library.store.migration import migrate, migrate_copy
from sightsound.library.store.transaction import BUSY_SECONDS, write_lock
from sightsound.library.store.validation import read_format
from sightsound.media.safe_open import error_line

_CACHE_KIB = 2**13
"""Of the pages of a writer, which changes some all over the database."""
_WITHOUT_SHARED_MEMORY = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL)
"""The errors of SQLite where it cannot map the file that WAL mode shares between processes."""


class Database:
    """The read connection of a library. It sees the state of the last commit, or of the start of a `snapshot`.

    Parameters
    ----------
    file : pathlib.Path
        The SQLite file. Of an older format a copy is migrated and read, and the file stays as it is.

    Attributes
    ----------
    folder : pathlib.Path
        Where the files of rows are: the folder of the library, or that of the migrated copy.

    Raises
    ------
    LibraryError
        If the file is not a library, is damaged, cannot be read, or has a newer format.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._closed = False
        require_ordinary_files(file)
        self._open()

    def _open(self) -> None:
        with sqlite_errors(self.file):
            self._connection, self._copy = open_reading(self.file)
        self.folder = Path(self._copy.name) if self._copy and self._copy.has_rows else self.file.parent

    @property
    def is_migrated(self) -> bool:
        """Whether a migrated copy is read, and the file itself is of an older format."""
        return self._copy is not None

    def close(self) -> None:
        """Close the connection; every later read raises `LibraryError`."""
        self._closed = True
        self._connection.close()
        if self._copy:
            self._copy.cleanup()

    def reopen_after_migration(self) -> bool:
        """Read the file itself from now on, if a migrated copy has been read so far; return whether it was one."""
        if self._copy is None:
            return False
        self._connection.close()
        self._copy.cleanup()
        self._open()
        return True

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

    def back_up(self, target: Path) -> None:
        """Copy the database, as a `snapshot` around the call sees it, into an empty file."""
        with self._errors(), contextlib.closing(_connect(f"{target.as_uri()}?mode=rw")) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # a file beside it would have a name that can be foreseen
            self._connection.backup(copy)

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
    with new_library(file):
        if not file.exists():
            try:
                _create_file(file)
            except OSError as error:
                raise _cannot_create(file.parent, error) from error


@contextlib.contextmanager
def new_library(file: Path) -> Iterator[None]:
    """Make the folder of a library, or take an empty one, and hold the lock for writing.

    Raises
    ------
    LibraryError
        If the folder has other files, cannot be made, or another process writes to it.
    """
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
        yield


def _cannot_create(folder: Path, error: OSError) -> LibraryError:
    return LibraryError(f"{folder}: cannot make a library here ({error.strerror}); name another --library")


def _create_file(file: Path) -> None:
    """Create the database. The file appears under its name when it is complete."""
    with new_file(file.parent, "library.new-") as part:
        _write_tables(part, file)
        _atomic.replace(part, file)


def _write_tables(part: Path, file: Path) -> None:
    with contextlib.closing(_connect(f"{part.as_uri()}?mode=rw")) as db, sqlite_errors(file):
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.executescript(f"BEGIN; {schema.TABLES} PRAGMA user_version = {schema.FORMAT}; COMMIT")


def open_writing(file: Path) -> sqlite3.Connection:
    """Return a connection that may write, after migration to the present format; WAL mode if the medium supports it."""
    with contextlib.ExitStack() as opened, sqlite_errors(file):
        try:
            db, format_ = _begin_writing(file)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _WITHOUT_SHARED_MEMORY:
                raise
            _leave_wal(file)
            db, format_ = _begin_writing(file)
        opened.enter_context(contextlib.closing(db))
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if format_ < schema.FORMAT:
            migrate(db, file, format_)
        opened.pop_all()
        return db


def _begin_writing(file: Path) -> tuple[sqlite3.Connection, int]:
    """Return a connection that may write, and the format of the library."""
    with contextlib.ExitStack() as opened:
        db = opened.enter_context(contextlib.closing(_connect(f"{file.as_uri()}?mode=rw")))
        format_ = read_format(db, file)
        db.execute("PRAGMA journal_mode = WAL").fetchone()
        opened.pop_all()
        return db, format_


def _leave_wal(file: Path) -> None:
    """Take a library out of WAL mode on a medium without shared memory, which this mode needs between processes."""
    with contextlib.closing(_connect(f"{file.as_uri()}?mode=rw")) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # so that the log needs no shared memory
        read_format(db, file)
        db.execute("PRAGMA journal_mode = DELETE").fetchone()


def open_reading(file: Path) -> tuple[sqlite3.Connection, _Copy | None]:
    """Return a connection that only reads, also on a read-only medium, and the folder of the copy that it reads."""
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
            return db, None
        except sqlite3.OperationalError as error:
            reason = error_line(error)
    raise LibraryError(f"{file}: cannot be opened ({reason}); see that it may be read")


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    db.execute("PRAGMA trusted_schema = OFF")
    return db


class _Copy(tempfile.TemporaryDirectory[str]):
    """The folder of a migrated copy of a database, with the rows if these were in the database."""

    has_rows = False


def _open_migrated(db: sqlite3.Connection, file: Path) -> tuple[sqlite3.Connection, _Copy]:
    """Return a copy of an older library, migrated to the present format, and its folder."""
    folder = _Copy(prefix="sightsound-")
    try:
        copy = _connect(f"{Path(folder.name, file.name).as_uri()}?mode=rwc")
        with contextlib.closing(db):
            db.backup(copy)
        format_ = read_format(copy, file)
        folder.has_rows = format_ <= schema.LAST_WITH_VECTORS
        migrate_copy(copy, Path(folder.name) if folder.has_rows else file.parent, file, format_)
        copy.execute("PRAGMA query_only = ON")
    except BaseException:
        folder.cleanup()
        raise
    return copy, folder
