"""The lock that admits one writer at a time, and the transaction in which its changes gather."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sightsound.contract.errors import LibraryError
from sightsound.library.store.files import new_file, remove_unfinished, require_ordinary_files

BUSY_SECONDS = 30
"""How long SQLite waits for another process."""
_OWNER_CHARACTERS = 4096  # of writer.json that are read; it has about a hundred


@contextlib.contextmanager
def write_lock(file: Path) -> Iterator[None]:
    """Hold the lock for writing to a library; the operating system releases it when the process ends.

    Raises
    ------
    LibraryError
        If another process is writing, with its id, or if the folder of the library cannot be written.
    """
    require_ordinary_files(file)
    lock, owner = FileLock(file.with_name("writer.lock")), file.with_name("writer.json")
    try:
        lock.acquire(timeout=0)
        remove_unfinished(file.parent)
        with new_file(file.parent, "writer.") as part:
            part.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}))
            os.replace(part, owner)
    except Timeout as error:
        raise LibraryError(
            f"{file.parent}: {_describe(owner)} is writing to it; wait until it is done, or stop it"
        ) from error
    except OSError as error:
        lock.release()
        raise LibraryError(f"{file.parent}: cannot be written ({error.strerror}); it can still be searched") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a full disk may refuse even this; the next writer replaces the file
            owner.unlink()
        lock.release()


def _describe(owner: Path) -> str:
    try:
        with owner.open(encoding="utf-8") as opened:
            other = json.loads(opened.read(_OWNER_CHARACTERS))
        since = time.strftime("%H:%M:%S", time.localtime(other["since"]))
        return f"process {other['pid']} on {other['host']} (since {since})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another process"


class Transaction:
    """A connection whose first change begins a transaction, which lasts until `commit` or `rollback`.

    Parameters
    ----------
    connection : sqlite3.Connection
        A connection that may write, in autocommit mode.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query, without beginning a transaction; parameters as in `execute`."""
        return self._connection.execute(query, values).fetchall()

    def execute(self, query: str, *values: Any) -> sqlite3.Cursor:
        """Execute a statement in the transaction.

        Parameters
        ----------
        query : str
            SQL text with `?` for each value.
        *values
            The values, in the order of the question marks.
        """
        self._begin()
        return self._connection.execute(query, values)

    def execute_many(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Execute a statement once for each row of values."""
        self._begin()
        self._connection.executemany(query, rows)

    def commit(self) -> None:
        """Make all changes since the last commit permanent and visible to readers."""
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def vacuum(self) -> None:
        """Give back the free pages of the database, after a commit, as far as there is room and no reader is open."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA busy_timeout = 500")  # there may always be a reader
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}")

    def rollback(self) -> None:
        """Undo all changes since the last commit."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _begin(self) -> None:
        if not self._connection.in_transaction:
            self._connection.execute("BEGIN IMMEDIATE")


def storable(text: str) -> str:
    """Return a text that SQLite can store: bytes of a name that are not UTF-8 become escapes, all else stays."""
    return text.encode("utf-8", "backslashreplace").decode()
