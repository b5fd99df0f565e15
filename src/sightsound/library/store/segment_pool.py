"""The segments that a writer appends to, new and dropped ones, and their sizes in the database."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sightsound import _atomic
from sightsound.contract.errors import LibraryError
from sightsound.library.store.files import library_bytes
from sightsound.library.store.index_files import StoredIndex, find_index_files, index_file, sign
from sightsound.library.store.segment_file import SegmentFile
from sightsound.library.store.segments import MappedSegment, SegmentFacts, find_segment_files, segment_files
from sightsound.library.store.transaction import Transaction
from sightsound.media.safe_open import error_line


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
        self._used = 0 if max_bytes is None else library_bytes(folder)

    def delete_orphans(self) -> None:
        """Delete the files of segments and indexes that the database does not know, of a writer that was killed."""
        for table, find in (("segments", find_segment_files), ("indexes", find_index_files)):
            known = {name for (name,) in self._transaction.read(f"SELECT name FROM {table}")}
            for name, path in find(self.folder):
                if name not in known:
                    with contextlib.suppress(OSError):
                        path.unlink()

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
        """Return the files of a space, where the last segment is open if rows can be added to it."""
        if space not in self._spaces:
            query = "SELECT json_extract(facts, '$.dim') FROM spaces WHERE id = ?"
            ((dim,),) = self._transaction.read(query, space)
            files = self._spaces[space] = _SpaceFiles(int(dim), "f32")
            query = "SELECT id, space, name, dtype, rows, inode FROM segments WHERE space = ? ORDER BY id DESC LIMIT 1"
            for row in self._transaction.read(query, space):
                with contextlib.suppress(LibraryError, ValueError):  # damaged: `check` says so, a new one is begun
                    facts = SegmentFacts(files.dim, *row)
                    if facts.dtype == files.dtype:
                        files.files.append(SegmentFile(self.folder, facts, new=False))
        return self._spaces[space]

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
        """Add rows to none of the present segments of the space of a segment from now on."""
        if facts.space not in self._anew:
            self._close(facts.space)
            self._spaces[facts.space] = _SpaceFiles(facts.dim, facts.dtype)
            self._anew.add(facts.space)

    def drop(self, facts: SegmentFacts) -> None:
        """Remove a segment, and the index of its space; their files are deleted after the commit."""
        self.drop_index(facts.space)
        self._transaction.execute("DELETE FROM removed WHERE segment = ?", facts.id)
        self._transaction.execute("DELETE FROM segments WHERE id = ?", facts.id)
        self._dropped += facts.files(self.folder)

    def drop_space(self, space: int) -> None:
        """Remove all segments and the index of a space."""
        self._close(space)
        self.drop_index(space)
        for name, dtype in self._transaction.read("SELECT name, dtype FROM segments WHERE space = ?", space):
            self._dropped += segment_files(self.folder, name, dtype)
        of_space = "segment IN (SELECT id FROM segments WHERE space = ?)"
        self._transaction.execute(f"DELETE FROM removed WHERE {of_space}", space)
        self._transaction.execute("DELETE FROM segments WHERE space = ?", space)

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

    def require_room(self, *added: NDArray[Any]) -> None:
        """Raise `OSError` if the library becomes larger than it may by some arrays."""
        if self._max_bytes is None:
            return
        self._used += sum(array.nbytes for array in added)
        if self._used > self._max_bytes:
            raise OSError(errno.ENOSPC, f"expected at most {self._max_bytes} bytes")

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
            if self._created and os.name == "posix":
                self._sync_folder()

    def committed(self, log: Path) -> None:
        """Delete the files that the database does not refer to any more, after a commit.

        Parameters
        ----------
        log : pathlib.Path
            The write-ahead log of the database, which is synced before.
        """
        self._created.clear()
        if self._dropped:
            with contextlib.suppress(FileNotFoundError), log.open("rb") as opened:  # no log: the commit was synced
                os.fsync(opened.fileno())
        for path in self._dropped:
            with contextlib.suppress(OSError):  # on Windows a reader may have it open; the next writer deletes it
                path.unlink()
        self._dropped.clear()

    def clear_cache(self) -> None:
        """Forget everything since the last commit, after a rollback."""
        self.close()
        for path in self._created:
            with contextlib.suppress(OSError):
                path.unlink()
        self._created.clear()
        self._dropped.clear()

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
