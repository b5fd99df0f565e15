"""The files of rows and indexes that a writer creates and drops, in step with the database."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from sightsound import _atomic
from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import LIBRARY_FILE
from sightsound.library.store.index_files import StoredIndex, find_index_files, index_file, sign
from sightsound.library.store.segments import find_segment_files
from sightsound.library.store.transaction import Transaction
from sightsound.media.safe_open import error_line


class FileTable:
    """Files beside the database. New ones are deleted after a rollback, dropped ones after a commit.

    Parameters
    ----------
    transaction : Transaction
        Where the changes of the tables `segments` and `indexes` gather.
    folder : pathlib.Path
        The folder of the library.
    """

    def __init__(self, transaction: Transaction, folder: Path) -> None:
        self._transaction, self.folder = transaction, folder
        self._created: list[Path] = []  # in this transaction
        self._dropped: list[Path] = []

    def delete_orphans(self) -> None:
        """Delete the files of segments and indexes that the database does not know, of a writer that was killed."""
        for table, find in (("segments", find_segment_files), ("indexes", find_index_files)):
            known = self._names(table)
            self._delete([path for name, path in find(self.folder) if name not in known])

    def _names(self, table: str = "segments") -> set[str]:
        return {name for (name,) in self._transaction.read(f"SELECT name FROM {table}")}

    def add_index(self, part: Path, index: StoredIndex) -> None:
        """Give a complete file in the folder its name as the index of a space, in place of the one there was.

        Parameters
        ----------
        part : pathlib.Path
            The file.
        index : StoredIndex
            What it is, without a signature.
        """
        self.drop_index(index.space)
        path = index_file(self.folder, index.name)
        with self.errors():
            self._created.append(path)
            _atomic.replace(part, path)
        signed = sign(self.folder, index)
        self._transaction.execute(
            "INSERT INTO indexes (space, name, kind, stamp, report, signature) VALUES (?, ?, ?, ?, ?, ?)",
            *(signed.space, signed.name, signed.kind, signed.stamp, signed.report, signed.signature),
        )

    def drop_index(self, space: int) -> None:
        """Remove the index of a space if there is one; its file is deleted after the commit."""
        for (name,) in self._transaction.read("SELECT name FROM indexes WHERE space = ?", space):
            known = [path for other, path in find_index_files(self.folder) if other == name]
            self._dropped += known
            self._transaction.execute("DELETE FROM indexes WHERE space = ?", space)

    def committed(self) -> None:
        """Delete the files that the database does not refer to any more, after a commit."""
        self._created.clear()
        dropped, self._dropped = self._dropped, []
        self._delete(dropped)

    def _delete(self, paths: Sequence[Path]) -> None:
        """Delete files after the log is synced: a power failure must not undo the commit that made them useless.

        That commit may be one of a writer that was killed before it synced the log.
        """
        if not paths:
            return
        with self.errors():
            log = self.folder / f"{LIBRARY_FILE}-wal"
            with contextlib.suppress(FileNotFoundError), log.open("rb") as opened:  # no log: the commit was synced
                os.fsync(opened.fileno())
            _atomic.sync_folder(self.folder)
        for path in paths:
            with contextlib.suppress(OSError):  # on Windows a reader may have it open; the next writer deletes it
                path.unlink()

    def clear_cache(self) -> None:
        """Forget everything since the last commit, after a rollback, and delete the files that were new.

        Those that the database knows stay: a commit may have been interrupted at its very end.
        """
        created, self._created = self._created, []
        self._dropped.clear()
        if created:
            with contextlib.suppress(sqlite3.Error, OSError):  # the next writer deletes them
                known = self._names()
                for name, path in find_segment_files(self.folder):
                    if path in created and name not in known:
                        path.unlink()

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn errors of writing into `LibraryError` with the cause and the next step."""
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = "no room left for the library" if full else "cannot be written"
            step = "free some space" if full else "see that the disk is sound"
            raise LibraryError(
                f"{self.folder}: {what} ({error_line(error)}); what was committed is kept: {step} and run the same "
                "command again"
            ) from error
