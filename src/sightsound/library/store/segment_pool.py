"""The segments that a writer appends to, new and dropped ones, and their sizes in the database."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sightsound.contract.errors import LibraryError
from sightsound.library.store.files import library_bytes
from sightsound.library.store.segment_file import SegmentFile
from sightsound.library.store.segments import (
    MappedSegment,
    SegmentFacts,
    find_segment_files,
    rows_per_segment,
    segment_files,
)
from sightsound.library.store.transaction import Transaction
from sightsound.media.files import LIBRARY_FILE
from sightsound.media.safe_open import error_line

_OPEN = 16
"""How many segments of a space with room for more rows are opened: so many contents can be under way in each run."""


@dataclass
class _SpaceFiles:
    """The segments of a space that are open for writing."""

    dim: int
    dtype: str
    files: list[SegmentFile] = field(default_factory=list)


class SegmentPool:
    """The segments of all spaces, as a writer changes them.

    Parameters
    ----------
    transaction : Transaction
        Where the changes of the table `segments` gather.
    folder : pathlib.Path
        The folder of the library.
    max_bytes : int or None
        Largest size of the library; None for no limit.
    """

    def __init__(self, transaction: Transaction, folder: Path, max_bytes: int | None = None) -> None:
        self._transaction, self.folder, self._max_bytes = transaction, folder, max_bytes
        self._spaces: dict[int, _SpaceFiles] = {}
        self._anew: set[int] = set()  # spaces whose rows are compacted
        self._created: list[Path] = []  # in this transaction
        self._dropped: list[Path] = []
        self._used: int | None = None

    def delete_orphans(self) -> None:
        """Delete the files of segments that the database does not know, of a writer that was killed."""
        known = self._names()
        self._delete([path for name, path in find_segment_files(self.folder) if name not in known])

    def _names(self) -> set[str]:
        return {name for (name,) in self._transaction.read("SELECT name FROM segments")}

    def dtype(self, space: int) -> str:
        """Return the type of the numbers of the vectors of a space."""
        return self._files(space).dtype

    def free_segment(self, space: int, room: int = 1) -> SegmentFile:
        """Return a segment with room for some rows and without a content under way, which is busy from now on."""
        files = self._files(space)
        found = next((file for file in files.files if not file.busy and file.room >= room), None) or self._new(
            space, files
        )
        found.busy = True
        return found

    def _files(self, space: int) -> _SpaceFiles:
        """Return the files of a space, where the last segments with room for more rows are open."""
        if space not in self._spaces:
            query = "SELECT json_extract(facts, '$.dim') FROM spaces WHERE id = ?"
            ((dim,),) = self._transaction.read(query, space)
            if type(dim) is not int or dim < 1:
                raise LibraryError(f"{self.folder}: damaged (space {space} has no dimension); restore it from a copy")
            self._open(space, _SpaceFiles(dim, "f32"))
        return self._spaces[space]

    def _open(self, space: int, files: _SpaceFiles, condition: str = "") -> None:
        """Open the last segments of a space that have room for more rows, and fulfil a condition."""
        query = (
            "SELECT id, space, name, dtype, rows, inode FROM segments WHERE space = ? AND dtype = ? AND rows < ?"
            f" {condition} ORDER BY id DESC LIMIT ?"
        )
        values = space, files.dtype, rows_per_segment(files.dtype, files.dim), _OPEN
        for row in reversed(self._transaction.read(query, *values)):
            with contextlib.suppress(LibraryError, ValueError):  # damaged: `check` says so, it gets no more rows
                files.files.append(SegmentFile(self.folder, SegmentFacts(files.dim, *row), new=False))
        self._spaces[space] = files

    def _new(self, space: int, files: _SpaceFiles) -> SegmentFile:
        name = secrets.token_hex(8)
        self._created += segment_files(self.folder, name, files.dtype)
        new = self._transaction.execute(
            "INSERT INTO segments (space, name, dtype, rows, inode) VALUES (?, ?, ?, 0, 0) RETURNING id",
            *(space, name, files.dtype),
        )
        ((id_,),) = new.fetchall()
        file = SegmentFile(self.folder, SegmentFacts(files.dim, id_, space, name, files.dtype, 0, 0), new=True)
        files.files.append(file)
        self._transaction.execute("UPDATE segments SET inode = ? WHERE id = ?", file.inode, id_)
        return file

    def mapped(self, facts: SegmentFacts) -> MappedSegment:
        """Return the committed rows of a segment."""
        return MappedSegment(self.folder, facts)

    def begin_anew(self, facts: SegmentFacts) -> None:
        """Add rows to no segment that has removed rows from now on, in the space of a segment."""
        if facts.space not in self._anew or self._spaces[facts.space].dtype != facts.dtype:
            self._close(facts.space)
            files = _SpaceFiles(facts.dim, facts.dtype)
            self._open(facts.space, files, "AND id NOT IN (SELECT segment FROM removed)")
            self._anew.add(facts.space)

    def drop(self, facts: SegmentFacts) -> None:
        """Remove a segment; its files are deleted after the commit."""
        self._transaction.execute("DELETE FROM removed WHERE segment = ?", facts.id)
        self._transaction.execute("DELETE FROM segments WHERE id = ?", facts.id)
        self._dropped += facts.files(self.folder)

    def drop_space(self, space: int) -> None:
        """Remove all segments of a space."""
        self._close(space)
        names = {name for (name,) in self._transaction.read("SELECT name FROM segments WHERE space = ?", space)}
        self._dropped += [path for name, path in find_segment_files(self.folder) if name in names]
        of_space = "segment IN (SELECT id FROM segments WHERE space = ?)"
        self._transaction.execute(f"DELETE FROM removed WHERE {of_space}", space)
        self._transaction.execute("DELETE FROM segments WHERE space = ?", space)

    def require_room(self, *added: NDArray[Any]) -> None:
        """Raise `OSError` if the library becomes larger than it may by some arrays."""
        if self._max_bytes is None:
            return
        if self._used is None:
            self._used = library_bytes(self.folder)
        self._used += sum(array.nbytes for array in added)
        if self._used > self._max_bytes:
            raise OSError(errno.ENOSPC, f"expected at most {self._max_bytes} bytes")

    def return_room(self, count: int) -> None:
        """Take so many bytes off those that `require_room` has counted."""
        if self._used is not None:
            self._used -= count

    def write(self) -> None:
        """Write and sync all rows, and count those that are complete, before the commit of the database."""
        with self.errors():
            for space in self._spaces.values():
                for file in space.files:
                    file.write()
                    file.sync()
                    if file.complete != file.recorded:
                        self._transaction.execute("UPDATE segments SET rows = ? WHERE id = ?", file.complete, file.id)
                        file.recorded = file.complete
            if self._created:
                self._sync_folder()

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
            self._sync_folder()
        for path in paths:
            with contextlib.suppress(OSError):  # on Windows a reader may have it open; the next writer deletes it
                path.unlink()

    def clear_cache(self) -> None:
        """Forget everything since the last commit, after a rollback, and delete the files that were new.

        Those that the database knows stay: a commit may have been interrupted at its very end.
        """
        self.close()
        created, self._created = self._created, []
        self._dropped.clear()
        if created:
            with contextlib.suppress(sqlite3.Error, OSError):  # the next writer deletes them
                known = self._names()
                for name, path in find_segment_files(self.folder):
                    if path in created and name not in known:
                        path.unlink()

    def close(self) -> None:
        """Close all files."""
        for space in list(self._spaces):
            self._close(space)

    def _close(self, space: int) -> None:
        self._anew.discard(space)
        files = self._spaces.pop(space, None)
        for file in files.files if files else ():
            file.close()

    def _sync_folder(self) -> None:
        if os.name != "posix":
            return
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some network file systems cannot sync a folder
                os.fsync(folder)
        finally:
            os.close(folder)

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
