"""Looking up items and labels one by one, in a library that is open for reading or by its writer."""

from __future__ import annotations

import itertools
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
        """Return the item of a file, None if there is none.

        Parameters
        ----------
        root, path : bytes
            Its folder and its path in it. An item of the same file below another root is found, too.
        """
        query, places = f"{self._ITEMS} WHERE r.path = ? AND i.path = ?", [(root, path)]
        for place in itertools.chain(places, self._other_places(root, path)):
            for row in self._read(query, *place):
                return FoundItem(*row)
        return None

    def _other_places(self, root: bytes, path: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield where the file of an item is below other roots."""
        separator = os.fsencode(os.sep)
        whole = os.path.join(root, path).replace(b"/", separator)
        for (other,) in self._read("SELECT path FROM roots WHERE path <> ?", root):
            above = os.path.join(other, b"")
            if whole.startswith(above):
                yield other, whole[len(above) :].replace(separator, b"/")

    def items_of(self, hash_: bytes | None) -> list[FoundItem]:
        """Return the items of a content, known by its SHA-256; none for None."""
        return [FoundItem(*row) for row in self._read(f"{self._ITEMS} WHERE c.hash = ? ORDER BY i.id", hash_)]

    def labels(self, id_: int) -> dict[str, frozenset[str]]:
        """Return the labels of an item: column -> values."""
        found: dict[str, frozenset[str]] = {}
        for column, value in self._read('SELECT "column", value FROM labels WHERE item = ? ORDER BY 1, 2', id_):
            found[column] = found.get(column, frozenset()) | {value}
        return found
