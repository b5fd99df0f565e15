"""The segments that a writer appends to, new and dropped ones, and their sizes in the database."""

from __future__ import annotations

import contextlib
import errno
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sightsound import _atomic
from sightsound.contract.errors import LibraryError
from sightsound.library.store.file_table import FileTable
from sightsound.library.store.files import library_bytes
from sightsound.library.store.segment_file import SegmentFile
from sightsound.library.store.segments import SEGMENT_COLUMNS, Layout, MappedSegment, SegmentFacts, find_segment_files
from sightsound.library.store.transaction import Transaction
from sightsound.media.safe_open import error_line

_OPEN = 16
"""How many segments of a space with room for more rows are opened: so many contents can be under way in each run."""


@dataclass
class _SpaceFiles:
    """The segments of a space that are open for writing, and what the rows that are added consist of."""

    layout: Layout
    files: list[SegmentFile] = field(default_factory=list)


class SegmentPool(FileTable):
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
        super().__init__(transaction, folder)
        self._max_bytes = max_bytes
        self._spaces: dict[int, _SpaceFiles] = {}
        self._anew: set[int] = set()  # spaces whose rows are compacted
        self._used: int | None = None

    def keep_scores(self, space: int, scores: str | None, classes: int | None, count: int) -> None:
        """Say what scores the rows have that are added to a space from now on; none by default.

        Parameters
        ----------
        space : int
            Number of the space.
        scores : {"sigmoid", "softmax"} or None
            What they are; None for none.
        classes : int or None
            Number of the list of their classes.
        count : int
            How many classes there are.
        """
        before = self.layout(space)
        layout = replace(before, scores=scores, classes=classes, class_count=count)
        if layout != before:
            self._spaces[space].layout = layout
            self._open(space)

    def layout(self, space: int) -> Layout:
        """Return what the rows consist of that are added to a space."""
        return self._files(space).layout

    def free_segment(self, space: int, room: int = 1) -> SegmentFile:
        """Return a segment with room for some rows and without a content under way, which is busy from now on."""
        files = self._files(space)
        fitting = (file for file in files.files if file.facts.layout == files.layout and file.room >= room)
        found = next((file for file in fitting if not file.busy), None) or self._new(space, files)
        found.busy = True
        return found

    def _files(self, space: int) -> _SpaceFiles:
        """Return the files of a space, where the last segments with room for more rows are open."""
        if space not in self._spaces:
            query = "SELECT json_extract(facts, '$.dim') FROM spaces WHERE id = ?"
            ((dim,),) = self._transaction.read(query, space)
            stored = self._transaction.read("SELECT value FROM settings WHERE name = 'store'")
            try:
                layout = Layout(dim, stored[0][0] if stored else "f32")
            except ValueError as error:
                raise LibraryError(
                    f"{self.folder}: damaged (space {space}, {error_line(error)}); restore it from a copy"
                ) from error
            self._spaces[space] = _SpaceFiles(layout)
            self._open(space)
        return self._spaces[space]

    def _open(self, space: int, condition: str = "") -> None:
        """Open the last segments of a space for rows as they are added now, with room, that fulfil a condition."""
        files, layout = self._spaces[space], self._spaces[space].layout
        query = (
            f"SELECT {SEGMENT_COLUMNS} FROM segments s WHERE space = ? AND dtype = ? AND scores IS ? AND classes IS ?"
            f" AND rows < ? {condition} ORDER BY id DESC LIMIT ?"
        )
        values = space, layout.dtype, layout.scores, layout.classes, layout.room, _OPEN
        opened = {file.id for file in files.files}
        for row in reversed(self._transaction.read(query, *values)):
            with contextlib.suppress(LibraryError, ValueError):  # damaged: `check` says so, it gets no more rows
                facts = SegmentFacts.of(layout.dim, row)
                if facts.id not in opened and facts.layout == layout:
                    files.files.append(SegmentFile(self.folder, facts, new=False))

    def _new(self, space: int, files: _SpaceFiles) -> SegmentFile:
        layout, name = files.layout, secrets.token_hex(8)
        new = self._transaction.execute(
            "INSERT INTO segments (space, name, dtype, rows, inode, scores, classes) VALUES (?, ?, ?, 0, 0, ?, ?)"
            " RETURNING id",
            *(space, name, layout.dtype, layout.scores, layout.classes),
        )
        ((id_,),) = new.fetchall()
        facts = SegmentFacts(layout, id_, space, name, 0, 0)
        self._created += facts.files(self.folder)
        file = SegmentFile(self.folder, facts, new=True)
        files.files.append(file)
        self._transaction.execute("UPDATE segments SET inode = ? WHERE id = ?", file.inode, id_)
        return file

    def mapped(self, facts: SegmentFacts) -> MappedSegment:
        """Return the committed rows of a segment."""
        return MappedSegment(self.folder, facts)

    def begin_anew(self, facts: SegmentFacts) -> None:
        """Add rows like those of a segment, to no segment of its space that has removed rows, from now on."""
        if facts.space not in self._anew:
            self._close(facts.space)
            self._spaces[facts.space] = _SpaceFiles(facts.layout)
            self._anew.add(facts.space)
        self._spaces[facts.space].layout = facts.layout
        self._open(facts.space, "AND id NOT IN (SELECT segment FROM removed)")

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
        names = {name for (name,) in self._transaction.read("SELECT name FROM segments WHERE space = ?", space)}
        self._dropped += [path for name, path in find_segment_files(self.folder) if name in names]
        of_space = "segment IN (SELECT id FROM segments WHERE space = ?)"
        self._transaction.execute(f"DELETE FROM removed WHERE {of_space}", space)
        self._transaction.execute("DELETE FROM segments WHERE space = ?", space)

    def move_space(self, space: int, into: int) -> None:
        """Make the segments of a space those of another one, whose rows are of the same kind."""
        for each in (space, into):
            self._close(each)
            self.drop_index(each)
        self._transaction.execute("UPDATE segments SET space = ? WHERE space = ?", into, space)

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
                _atomic.sync_folder(self.folder)

    def clear_cache(self) -> None:
        """Forget everything since the last commit, after a rollback."""
        self.close()
        super().clear_cache()

    def close(self) -> None:
        """Close all files."""
        for space in list(self._spaces):
            self._close(space)

    def _close(self, space: int) -> None:
        self._anew.discard(space)
        files = self._spaces.pop(space, None)
        for file in files.files if files else ():
            file.close()
