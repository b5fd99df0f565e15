"""The writer's table of items: which files the library has, their contents, their labels and their roots."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sightsound.contract.card import Modality
from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Item
from sightsound.library.store.renamed import RenamedItems
from sightsound.library.store.transaction import Transaction, storable

_MOST_IDS = 10_000  # that are kept in memory


@dataclass(frozen=True)
class KnownItem:
    """What the library knows of a file.

    Parameters
    ----------
    id : int
        The id of the item.
    stat : tuple of int
        Size in bytes and mtime_ns of the file when its content was last hashed, as `storable_stat` returns them.
    content : bytes or None
        SHA-256 of that content; None if the file could not be read.
    modality : {"image", "sound"} or None
        Modality of that content; None if it is neither.
    """

    id: int
    stat: tuple[int, int]
    content: bytes | None
    modality: Modality | None

    def has_stat(self, stat: tuple[int, int]) -> bool:
        """Return whether a file still has the size and time that the library knows."""
        return storable_stat(stat) == self.stat


class ItemTable:
    """Items with their content and labels, as a writer changes them.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._ids: dict[Item, int] = {}  # of items that were used lately
        self._roots: dict[str, int] = {}
        self._renamed = RenamedItems(transaction)

    def clear_cache(self) -> None:
        """Forget the ids that were looked up, after a rollback."""
        self._ids.clear()
        self._roots.clear()
        self._renamed.clear_cache()

    def find(self, item: Item) -> KnownItem | None:
        """Return what the library knows of an item, or None."""
        query = (
            "SELECT i.id, i.size, i.mtime_ns, c.hash, c.modality FROM items i JOIN roots r ON r.id = i.root"
            " LEFT JOIN contents c ON c.id = i.content WHERE r.path = ? AND i.path = ?"
        )
        values = os.fsencode(item.root), os.fsencode(item.path)
        for id_, size, mtime_ns, content, modality in self._transaction.read(query, *values):
            self._remember(item, id_)
            valid = isinstance(content, bytes) and modality in (None, "image", "sound")
            return KnownItem(id_, (size, mtime_ns), content if valid else None, modality)
        return None

    def id(self, item: Item) -> int:
        """Return the id of an item that was passed to `find` or `record` before."""
        if item not in self._ids:
            self.find(item)
        return self._ids[item]

    def _remember(self, item: Item, id_: int) -> None:
        """Keep the id of an item, which its rows and outcomes ask for. `id` reads that of an older one again."""
        if len(self._ids) >= _MOST_IDS:
            self._ids.clear()
        self._ids[item] = id_

    def record(
        self,
        item: Item,
        stat: tuple[int, int],
        content: bytes | None,
        modality: Modality | None,
        *,
        renamed: bool = True,
    ) -> int:
        """Record that a file has this content now.

        The vectors of an earlier content stay searchable until those of the new content are complete. A new path with
        the content of an item whose file is gone is taken for that item, renamed, unless the file may be on an
        unplugged drive.

        Parameters
        ----------
        item : Item
            The file.
        stat : tuple of int
            Its size in bytes and mtime_ns.
        content : bytes or None
            SHA-256 of its content; None if the file cannot be read.
        modality : {"image", "sound"} or None
            Modality of the content; None if it is neither.
        renamed : bool
            Whether the file may be one that was renamed. False for items whose files were not looked at.

        Returns
        -------
        int
            The id of the item.
        """
        root, path = self.root_id(item.root), os.fsencode(item.path)
        content_id = None if content is None else self._content_id(content, modality)
        known = self._transaction.execute("SELECT id, content FROM items WHERE root = ? AND path = ?", root, path)
        before: tuple[int, int | None] | None = known.fetchone()
        old = None if before or not renamed else self._renamed.find(content_id, item)
        id_ = before[0] if before else old or self._new_id(root, path)
        self._transaction.execute(
            "UPDATE items SET root = ?, path = ?, size = ?, mtime_ns = ?, content = ? WHERE id = ?",
            *(root, path, *storable_stat(stat), content_id, id_),
        )
        if before and before[1] not in (None, content_id):
            self.delete_content_if_unused(before[1])
        self._remember(item, id_)
        return id_

    def content_of(self, id_: int) -> int | None:
        """Return the number of the present content of an item, None if the file could not be read."""
        found: int | None = self._transaction.execute("SELECT content FROM items WHERE id = ?", id_).fetchone()[0]
        return found

    def content_id(self, content: bytes) -> int | None:
        """Return the number of a content, None if the library does not have it."""
        found = self._transaction.read("SELECT id FROM contents WHERE hash = ?", content)
        return int(found[0][0]) if found else None

    def add_content(self, content: bytes, modality: Modality | None) -> int:
        """Return the number of a content, which is added if the library does not have it."""
        return self._content_id(content, modality)

    def label(self, id_: int, column: str, values: Iterable[str]) -> None:
        """Set the labels of an item in one column.

        Parameters
        ----------
        id_ : int
            The item.
        column : str
            The column.
        values : iterable of str
            The labels, which replace those that the item has in the column.
        """
        column = storable(column)
        self._transaction.execute('DELETE FROM labels WHERE item = ? AND "column" = ?', id_, column)
        for value in values:
            self._transaction.execute("INSERT OR IGNORE INTO labels VALUES (?, ?, ?)", id_, column, storable(value))

    def exists(self, id_: int) -> bool:
        """Return whether there is an item of this id."""
        return self._transaction.execute("SELECT 1 FROM items WHERE id = ?", id_).fetchone() is not None

    def delete(self, id_: int) -> None:
        """Delete an item and its labels, and its content unless something else uses it."""
        content = self.content_of(id_)
        self._transaction.execute("DELETE FROM items WHERE id = ?", id_)
        self.delete_content_if_unused(content)

    def delete_content_if_unused(self, content: int | None) -> None:
        """Delete a content that no item, outcome or run refers to."""
        self._transaction.execute(
            "DELETE FROM contents WHERE id = ? AND NOT EXISTS (SELECT 1 FROM items WHERE content = contents.id)"
            " AND NOT EXISTS (SELECT 1 FROM outcomes WHERE content = contents.id)"
            " AND NOT EXISTS (SELECT 1 FROM runs WHERE content = contents.id)",
            content,
        )

    def delete_unused_roots(self) -> None:
        """Delete the roots that have no items."""
        self._roots.clear()
        self._transaction.execute("DELETE FROM roots WHERE NOT EXISTS (SELECT 1 FROM items WHERE root = roots.id)")

    def relocate(self, old: str, new: str) -> int:
        """Move every root at or below a folder.

        Parameters
        ----------
        old, new : str
            Absolute paths of the folder, before and after.

        Returns
        -------
        int
            The number of items below the roots that moved.

        Raises
        ------
        LibraryError
            If no root is at or below `old`, or if a root is already at the new place.
        """
        moved = 0
        self.clear_cache()
        roots = self._transaction.execute("SELECT id, path FROM roots").fetchall()
        for id_, path in roots:
            root = Path(os.fsdecode(path))
            if not root.is_relative_to(old):
                continue
            target = os.fsencode(Path(new, root.relative_to(old)))
            if self._transaction.execute("SELECT 1 FROM roots WHERE path = ?", target).fetchone():
                raise LibraryError(f"{os.fsdecode(target)}: is in the library already; forget one of the two first")
            self._transaction.execute("UPDATE roots SET path = ? WHERE id = ?", target, id_)
            moved += self._transaction.execute("SELECT count(*) FROM items WHERE root = ?", id_).fetchone()[0]
        if not moved:
            there = ", ".join(os.fsdecode(path) for _, path in roots) or "none"
            raise LibraryError(f"{old}: expected an indexed folder or one above it; there are {there}")
        return moved

    def root_id(self, path: str) -> int:
        """Return the number of a root, which is added if the library does not have it."""
        if path not in self._roots:
            self._transaction.execute("INSERT OR IGNORE INTO roots (path) VALUES (?)", os.fsencode(path))
            found = self._transaction.execute("SELECT id FROM roots WHERE path = ?", os.fsencode(path))
            self._roots[path] = int(found.fetchone()[0])
        return self._roots[path]

    def _content_id(self, content: bytes, modality: Modality | None) -> int:
        self._transaction.execute("INSERT OR IGNORE INTO contents (hash, modality) VALUES (?, ?)", content, modality)
        return int(self._transaction.execute("SELECT id FROM contents WHERE hash = ?", content).fetchone()[0])

    def _new_id(self, root: int, path: bytes) -> int:
        new = self._transaction.execute("INSERT INTO items (root, path) VALUES (?, ?) RETURNING id", root, path)
        ((id_,),) = new.fetchall()
        return int(id_)


def storable_stat(stat: tuple[int, int]) -> tuple[int, int]:
    """Return size and mtime_ns as 64-bit integers; a time after April 2262 has more digits, and wraps around."""
    size, mtime_ns = stat
    return size, (mtime_ns + 2**63) % 2**64 - 2**63
