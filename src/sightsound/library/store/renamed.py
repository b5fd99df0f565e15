"""Which item a new file may be that was renamed."""

from __future__ import annotations

import os
from collections import deque

from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item
from sightsound.library.store.transaction import Transaction

_TIME_STEP = 2.0  # seconds; the coarsest file times, those of FAT


class RenamedItems:
    """Finds the items whose files are gone, by their content.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._unexamined: dict[int, deque[tuple[int, bytes, bytes]]] = {}  # by content, where it is not new
        self._last_id: int | None = None  # of the items that were there before this writer
        self._roots_with_files: dict[str, bool] = {}

    def clear_cache(self) -> None:
        """Forget what was looked at, after a rollback."""
        self._unexamined.clear()
        self._last_id = None
        self._roots_with_files.clear()

    def find(self, content: int | None, new: Item) -> int | None:
        """Return an item of this content whose file is gone, so that a new file may be it; None if none is.

        Each item is examined once, so that many files of one content do not take quadratic time. Files that were
        recorded by this writer exist.

        Parameters
        ----------
        content : int or None
            Number of the content of the new file; None if it could not be read.
        new : Item
            The new file.
        """
        if content is None:
            return None
        if self._last_id is None:
            ((self._last_id,),) = self._transaction.execute("SELECT coalesce(max(id), 0) FROM items").fetchall()
        query = (
            "SELECT i.id, r.path, i.path FROM items i JOIN roots r ON r.id = i.root WHERE i.content = ? AND i.id <= ?"
            " AND typeof(r.path) = 'blob' AND typeof(i.path) = 'blob' ORDER BY i.id"
        )
        others = self._unexamined.get(content)
        if others is None:
            others = deque(self._transaction.execute(query, content, self._last_id).fetchall())
            if others:
                self._unexamined[content] = others
        while others:
            id_, old_root, path = others.popleft()
            if self._is_renamed(os.fsdecode(old_root), path, new) and self._has_content(id_, content):
                return int(id_)
        return None

    def _is_renamed(self, old_root: str, path: bytes, new: Item) -> bool:
        """Return whether a new file may be one that is gone from a root, and not because a drive is unplugged.

        The mount point of an unplugged drive is an empty folder. A file that was renamed into another root must leave
        other files of the library behind.
        """
        old = os.path.join(os.fsencode(old_root), path)
        if not os.path.isdir(old_root) or not is_missing(old) or not _may_have_left(old, new):
            return False
        return old_root == new.root or self._has_files(old_root)

    def _has_files(self, root: str) -> bool:
        """Return whether any file of a root exists."""
        if root not in self._roots_with_files:
            folder = os.fsencode(root)
            rows = self._transaction.execute(
                "SELECT i.path FROM items i JOIN roots r ON r.id = i.root WHERE r.path = ? AND typeof(i.path) = 'blob'",
                folder,
            )
            self._roots_with_files[root] = any(os.path.lexists(os.path.join(folder, path)) for (path,) in rows)
        return self._roots_with_files[root]

    def _has_content(self, id_: int, content: int) -> bool:
        return bool(
            self._transaction.execute("SELECT 1 FROM items WHERE id = ? AND content = ?", id_, content).fetchone()
        )


def _may_have_left(old: bytes, new: Item) -> bool:
    """Return whether a file may have been renamed: the nearest folder that is left is no unused mount point.

    A folder changes when a file leaves it, which is not before the new file is there. An empty folder that has not
    changed since then has not lost the file.
    """
    folder = os.path.dirname(old)
    while is_missing(folder):
        folder = os.path.dirname(folder)
    try:
        with os.scandir(folder) as entries:
            if next(entries, None) is not None:
                return True
        return os.stat(folder).st_mtime + _TIME_STEP >= os.stat(new.file).st_ctime
    except OSError:
        return False


def is_missing(path: PathLike | bytes) -> bool:
    """Return whether a file does not exist; one that may not be examined is not missing."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # ValueError: a null character, in a library that somebody made up
        return False
    return False
