"""Looking up items and labels one by one, in a library that is open for reading or by its writer."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_SEPARATOR = os.fsencode(os.sep)
_BLOB = "typeof(path) = 'blob'"
_AT_ONCE = 500  # values of a query


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
        query = f"{self._ITEMS} WHERE r.path = ? AND i.path = ?"
        others = (other for (other,) in self._read(f"SELECT path FROM roots WHERE path <> ? AND {_BLOB}", root))
        for place in itertools.chain([(root, path)], _places(root, path, others)):
            for row in self._read(query, *place):
                return FoundItem(*row)
        return None

    def known(self, items: Sequence[FoundItem]) -> list[bool]:
        """Return for each item of another library whether the library has its file, or its content.

        Many are looked up at once, in the order of the indexes.
        """
        roots = dict(self._read(f"SELECT path, id FROM roots WHERE {_BLOB}"))
        near = {
            root: [other for other in roots if other != root and are_nested(other, root)]
            for root in {item.root for item in items}
        }
        places = [
            [(item.root, item.path), *(_places(item.root, item.path, near[item.root]) if near[item.root] else ())]
            for item in items
        ]
        wanted: dict[bytes, list[bytes]] = {}
        for root, path in itertools.chain.from_iterable(places):
            wanted.setdefault(root, []).append(path)
        files = {
            root: self._present("SELECT path FROM items WHERE root = ? AND path", paths, roots[root])
            for root, paths in wanted.items()
            if root in roots
        }
        hashes = self._present("SELECT hash FROM contents WHERE hash", [item.hash for item in items if item.hash])
        return [
            item.hash in hashes or any(path in files.get(root, ()) for root, path in each)
            for item, each in zip(items, places)
        ]

    def _present(self, condition: str, values: Iterable[bytes], *before: object) -> set[bytes]:
        """Return those of some values that the rows have for which a condition, which they follow, is true."""
        found, ordered = set[bytes](), sorted(values)
        for first in range(0, len(ordered), _AT_ONCE):
            some = ordered[first : first + _AT_ONCE]
            found.update(row[0] for row in self._read(f"{condition} IN ({', '.join('?' * len(some))})", *before, *some))
        return found

    def items_of(self, hash_: bytes | None) -> list[FoundItem]:
        """Return the items of a content, known by its SHA-256; none for None."""
        return [FoundItem(*row) for row in self._read(f"{self._ITEMS} WHERE c.hash = ? ORDER BY i.id", hash_)]

    def labels(self, id_: int) -> dict[str, frozenset[str]]:
        """Return the labels of an item: column -> values."""
        found: dict[str, frozenset[str]] = {}
        for column, value in self._read('SELECT "column", value FROM labels WHERE item = ? ORDER BY 1, 2', id_):
            found[column] = found.get(column, frozenset()) | {value}
        return found


def are_nested(root: bytes, other: bytes) -> bool:
    """Return whether a folder is in another one, or the other way round, or they are the same."""
    first, second = os.path.join(root, b""), os.path.join(other, b"")
    return first.startswith(second) or second.startswith(first)


def _places(root: bytes, path: bytes, others: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield where the file of an item is below other roots."""
    whole = os.path.join(root, path).replace(b"/", _SEPARATOR)
    for other in others:
        above = os.path.join(other, b"")
        if whole.startswith(above):
            yield other, whole[len(above) :].replace(_SEPARATOR, b"/")
