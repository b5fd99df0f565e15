"""Looking up items and labels one by one, in a library that is open for reading or by its writer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_SEPARATOR = os.fsencode(os.sep)


@dataclass(frozen=True)
class FoundItem:
    """An item of a library.

    Parameters
    ----------
    id : int
        Its id.
    root, path : bytes
        As they are stored.
    hash : bytes or None
        SHA-256 of its content; None if it could not be read.
    """

    id: int
    root: bytes
    path: bytes
    hash: bytes | None


class Lookup:
    """Looks up items and labels.

    Parameters
    ----------
    read : callable
        Returns all rows of an SQL query, whose values follow it.
    """

    _ITEMS = (
        "SELECT i.id, r.path, i.path, c.hash FROM items i JOIN roots r ON r.id = i.root"
        " LEFT JOIN contents c ON c.id = i.content"
    )

    def __init__(self, read: Callable[..., Iterable[tuple[Any, ...]]]) -> None:
        self._read = read

    def item(self, root: bytes, path: bytes) -> FoundItem | None:
        """Return the item of a file, also where it is below another root here; None if there is none."""
        for each in ((root, path), *self._below_other_roots(root, path)):
            rows = self._read(f"{self._ITEMS} WHERE r.path = ? AND i.path = ?", *each)
            if found := next((FoundItem(*row) for row in rows), None):
                return found
        return None

    def _below_other_roots(self, root: bytes, path: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield each other root that is above a file, and the path of the file below it."""
        file = os.path.join(root, path.replace(b"/", _SEPARATOR))
        for (other,) in self._read("SELECT path FROM roots"):
            above = os.path.join(other, b"")
            if other != root and file.startswith(above):
                yield other, file[len(above) :].replace(_SEPARATOR, b"/")

    def items_of(self, hash_: bytes | None) -> list[FoundItem]:
        """Return the items of a content, known by its SHA-256; none for None."""
        return [FoundItem(*row) for row in self._read(f"{self._ITEMS} WHERE c.hash = ? ORDER BY i.id", hash_)]

    def labels(self, id_: int) -> dict[str, frozenset[str]]:
        """Return the labels of an item: column -> values."""
        found: dict[str, frozenset[str]] = {}
        for column, value in self._read('SELECT "column", value FROM labels WHERE item = ? ORDER BY 1, 2', id_):
            found[column] = found.get(column, frozenset()) | {value}
        return found
