"""The one writer of a library."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Item, Rows
from sightsound.contract.space import Space
from sightsound.library.store import database
from sightsound.library.store.index_files import StoredIndex
from sightsound.library.store.intake import Intake
from sightsound.library.store.items import ItemTable
from sightsound.library.store.label_changes import LabelChanges
from sightsound.library.store.outcomes import OutcomeTable
from sightsound.library.store.row_table import RowComparison, RowTable
from sightsound.library.store.segment_pool import SegmentPool
from sightsound.library.store.segments import DTYPES
from sightsound.library.store.stretches import StretchTable
from sightsound.library.store.transaction import Transaction, write_lock
from sightsound.media.facts.times import TimeRules


@contextlib.contextmanager
def open_writer(file: Path, *, max_bytes: int | None = None) -> Iterator[Writer]:
    """Take the lock, open the database and commit at the end; see `Library.writing`."""
    with (
        write_lock(file),
        database.sqlite_errors(file),
        contextlib.closing(database.open_writing(file)) as connection,
    ):
        if max_bytes is not None:
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}")
        writer = Writer(connection, file.parent, max_bytes)
        try:
            yield writer
            writer.commit()
        except BaseException:
            writer.rollback()
            raise
        finally:
            writer.close()


def record_inodes(file: Path, inodes: Mapping[int, int]) -> None:
    """Record that the files of some segments were copied and verified, unless the library cannot be written now.

    Parameters
    ----------
    file : pathlib.Path
        The database.
    inodes : mapping of int to int
        Number of a segment -> inode of its vectors.
    """
    with (
        contextlib.suppress(LibraryError),
        write_lock(file),
        database.sqlite_errors(file),
        contextlib.closing(database.open_writing(file)) as connection,
    ):
        connection.executemany("UPDATE segments SET inode = ? WHERE id = ?", [(i, id_) for id_, i in inodes.items()])


class Writer:
    """All changes of a library, gathered in one transaction until `commit`.

    Parameters
    ----------
    connection : sqlite3.Connection
        A connection that may write.
    folder : pathlib.Path
        The folder of the library.
    max_bytes : int or None
        Largest size of the library; None for no limit.

    Attributes
    ----------
    items : ItemTable
        Files, their contents and labels.
    labels : LabelChanges
        Labels of many items at once, and of time ranges.
    outcomes : OutcomeTable
        What became of each item in each space.
    intake : Intake
        Rows and tags of other libraries.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path, max_bytes: int | None = None) -> None:
        self._transaction = Transaction(connection)
        self._files = SegmentPool(self._transaction, folder, max_bytes)
        self._rows = RowTable(self._transaction, self._files)
        self.items = ItemTable(self._transaction)
        self.labels = LabelChanges(self._transaction)
        self.outcomes = OutcomeTable(self._transaction, self.items, self._rows)
        self._stretches = StretchTable(self._transaction, self._files)
        self.intake = Intake(self._transaction, self.items, self.outcomes, self._rows, self._stretches)
        self._files.delete_orphans()

    def commit(self) -> None:
        """Make all changes since the last commit permanent and visible to readers."""
        self._files.write()
        self._transaction.commit()
        self._files.committed()

    def read(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query on the tables, as the changes so far have left them."""
        return self._transaction.read(query, *values)

    def rollback(self) -> None:
        """Undo all changes since the last commit."""
        self._transaction.rollback()
        for table in (self.items, self.outcomes, self._rows, self._stretches, self._files):
            table.clear_cache()

    def close(self) -> None:
        """Close the files of rows."""
        self._files.close()

    def space_id(self, space: Space) -> int:
        """Return the number of a space, which is added if the library does not have it."""
        self.outcomes.clear_cache()
        self._transaction.execute(
            "INSERT OR IGNORE INTO spaces (name, fingerprint, facts) VALUES (?, ?, ?)",
            *(space.name, space.fingerprint, space.facts),
        )
        query = "SELECT id FROM spaces WHERE name = ? AND fingerprint = ?"
        return int(self._transaction.execute(query, space.name, space.fingerprint).fetchone()[0])

    def has_space(self, space: Space) -> bool:
        """Return whether the library has a space."""
        query = "SELECT 1 FROM spaces WHERE name = ? AND fingerprint = ?"
        return bool(self._transaction.read(query, space.name, space.fingerprint))

    def join_space(self, space: Space, into: Space) -> int:
        """Move the rows of a space to another one, and return how many; what that one has already stays its own.

        Parameters
        ----------
        space : Space
            A space of the library, which it does not have afterwards.
        into : Space
            The other one, which is added if the library does not have it.
        """
        old, new = self.space_id(space), self.space_id(into)
        ((before,),) = self._transaction.read("SELECT total(count) FROM runs WHERE space = ?", new)
        self.outcomes.move(old, new)
        self._rows.move(old, new)
        self._transaction.execute("DELETE FROM spaces WHERE id = ?", old)
        ((after,),) = self._transaction.read("SELECT total(count) FROM runs WHERE space = ?", new)
        return int(after - before)

    def keep_scores(self, space: int, kind: str | None, classes: ClassList | None) -> None:
        """Say what scores the rows have that are added to a space from now on; none by default.

        Parameters
        ----------
        space : int
            Number of the space, from `space_id`.
        kind : {"sigmoid", "softmax"} or None
            What the scores are.
        classes : ClassList or None
            Their classes; None to keep no scores.
        """
        self._rows.keep_scores(space, kind, classes)

    def lacks_scores(self, content: bytes, space: int) -> bool:
        """Return whether a content, known by its SHA-256, has rows without scores, or with some of them, in a space."""
        query = "SELECT id FROM contents WHERE hash = ?"
        ids = [id_ for (id_,) in self._transaction.read(query, content)]
        return any(self._rows.exist(id_, space) and not self._rows.have_all_scores(id_, space) for id_ in ids)

    def set_store(self, dtype: str) -> None:
        """Say in what precision the library keeps vectors; raise `LibraryError` if it has some in another one."""
        (stored,) = self._transaction.read("SELECT coalesce((SELECT value FROM settings WHERE name = 'store'), 'f32')")[
            0
        ]
        if dtype == stored:
            return
        if dtype not in DTYPES or self._transaction.read("SELECT 1 FROM segments"):
            raise LibraryError(f"store {dtype}: expected {stored}, which the library keeps; index into a new one")
        self._transaction.execute("INSERT OR REPLACE INTO settings VALUES ('store', ?)", dtype)

    def set_time_rules(self, rules: TimeRules) -> None:
        """Say how the times of files are read from now on, by this run and by later ones."""
        stored = json.dumps({"zone": rules.zone, "patterns": rules.patterns})
        if self._transaction.read("SELECT value FROM settings WHERE name = 'time_rules'") != [(stored,)]:
            self.set_setting("time_rules", stored)

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting of the library, in place of one of the same name."""
        self._transaction.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, value)

    def give_up_rows(self, item: Item, space: int) -> None:
        """Take back the rows of an item's present content that were added since its outcome was recorded."""
        self._rows.give_up(self.items.content_of(self.items.id(item)), space)

    def add_rows(self, rows: Rows, space: int) -> None:
        """Store some rows of an item's present content; they are searchable once its outcome is recorded.

        Parameters
        ----------
        rows : Rows
            The rows that follow those already added of this item.
        space : int
            Number of the space, from `space_id`.
        """
        content = self.items.content_of(self.items.id(rows.item))
        if content is None:
            raise LibraryError(f"{rows.item}: has no content in the library; record it first")
        self._rows.add(content, space, rows.embeddings, rows.spans, rows.scores)

    def compare_rows(self, content: bytes, space: int) -> RowComparison | None:
        """Return what compares rows with those of a content, known by its SHA-256, in a space; None if it has none."""
        id_ = self.items.content_id(content)
        return None if id_ is None else self._rows.comparison(id_, space)

    def forget(self, items: Iterable[int]) -> int:
        """Delete items with their labels and outcomes, and the vectors that no other item has.

        Parameters
        ----------
        items : iterable of int
            Ids of items; an id that does not exist is skipped, since another process may have deleted it.

        Returns
        -------
        int
            The number of items deleted.
        """
        there = [id_ for id_ in dict.fromkeys(items) if self.items.exists(id_)]
        for id_ in there:
            self.outcomes.delete(id_)
            self.items.delete(id_)
        self.items.delete_unused_roots()
        unused = "SELECT id FROM spaces WHERE NOT EXISTS (SELECT 1 FROM outcomes WHERE space = spaces.id)"
        for (space,) in self._transaction.execute(unused).fetchall():
            self._rows.delete_space(space)
            self._transaction.execute("DELETE FROM spaces WHERE id = ?", space)
        return len(there)

    def forget_space(self, space: Space) -> int:
        """Delete a space with its vectors and outcomes, and return the number of vectors; the items stay."""
        id_ = self.space_id(space)
        for table in ("outcomes", "tags", "tagged"):
            self._transaction.execute(f"DELETE FROM {table} WHERE space = ?", id_)
        count = self._rows.delete_space(id_)
        self._transaction.execute("DELETE FROM spaces WHERE id = ?", id_)
        return count

    def add_index(self, part: Path, index: StoredIndex) -> None:
        """Give a complete file in the folder of the library its name as the index of a space; see `SegmentPool`."""
        self._files.add_index(part, index)

    def compact(self) -> None:
        """Write the files of rows anew without those that were removed, with a commit after each.

        Readers that have an old file open keep it until they search again.
        """
        for segment in self._rows.uncompacted():
            self._rows.compact(segment)
            self.commit()
        self._transaction.vacuum()
