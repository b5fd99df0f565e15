"""Files of a library with what decides which of them to keep, read in parts."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item
from sightsound.library.duplicates.keep import Keep, quality
from sightsound.library.duplicates.rows import Ints
from sightsound.library.library import Library
from sightsound.library.maintenance import require_names
from sightsound.library.store.validation import decode_item, json_object, number

_AT_ONCE = 500  # values of a query


@dataclass(frozen=True)
class FileFacts:
    """A file of a library.

    Parameters
    ----------
    item : Item
        The file.
    content : int
        The number of its content.
    key : tuple of float
        How good it is, see `Quality`.
    text : str
        The same in words.
    """

    item: Item
    content: int
    key: tuple[float, float, float]
    text: str


def read_files(library: Library, fingerprint: str, space: str, ids: Ints, rule: Keep) -> dict[int, FileFacts]:
    """Return the files of some ids that have rows in a space: id -> file.

    Parameters
    ----------
    library : Library
        The library.
    fingerprint, space : str
        The space.
    ids : ndarray of int64 (n,)
        Ids of items.
    rule : {"best", "largest", "oldest"}
        What the files are judged by.

    Returns
    -------
    dict of int to FileFacts
    """
    found = {}
    for first in range(0, len(ids), _AT_ONCE):
        part = ids[first : first + _AT_ONCE].tolist()
        rows = library.rows(
            "SELECT r.path, i.path, i.id, o.content, i.size, i.mtime_ns, o.seconds, o.facts FROM items i"
            " JOIN roots r ON r.id = i.root JOIN outcomes o ON o.item = i.id JOIN spaces s ON s.id = o.space"
            f" WHERE i.id IN ({', '.join('?' * len(part))}) AND s.name = ? AND s.fingerprint = ? AND o.status = 'ok'",
            *(*part, space, fingerprint),
        )
        with library.decoding():
            for root, path, id_, content, size, mtime_ns, seconds, facts in rows:
                length = None if seconds is None else float(seconds)
                what = quality(rule, json_object(facts), length, number(size or 0), number(mtime_ns or 0))
                item = decode_item(root, path, id_)
                found[number(id_)] = FileFacts(item, number(content), what.key, what.text)
    return found


def items_of_contents(library: Library, fingerprint: str, space: str) -> tuple[Ints, Ints]:
    """Return the ids of the items that have rows in a space, int64 (n,), and the numbers of their contents.

    They are sorted by content, and then by id.
    """
    query = (
        "SELECT o.item, o.content FROM outcomes o JOIN spaces s ON s.id = o.space"
        " WHERE s.name = ? AND s.fingerprint = ? AND o.status = 'ok'"
    )
    found = array("q")
    for item, content in library.iterate(query, space, fingerprint):
        with library.decoding():
            found.extend((content, item))
    both = np.frombuffer(found, np.int64).reshape(-1, 2)
    order = np.lexsort((both[:, 1], both[:, 0]))
    return both[order, 1], both[order, 0]


def ids_below(library: Library, paths: Sequence[PathLike]) -> Ints:
    """Return the ids of the items at or below some paths, sorted.

    Raises
    ------
    LibraryError
        If a path is empty, or no item of the library is at or below one of them.
    """
    require_names(paths)
    tops = [os.path.normcase(os.path.abspath(path)) for path in paths]
    found, reached = array("q"), set[str]()
    for top, item in _tops_of_items(tops, library.each_item()):
        reached.add(top)
        found.append(item.id or 0)
    for path, top in zip(paths, tops):
        if top not in reached:
            raise LibraryError(
                f"{os.fspath(path)}: nothing of this path is in {library.path.name}; "
                f"index it first: sightsound index {os.fspath(path)} --library {library.path.name}"
            )
    return np.unique(np.frombuffer(found, np.int64))


def _tops_of_items(tops: Sequence[str], items: Iterable[Item]) -> Iterator[tuple[str, Item]]:
    """Yield each path that an item is at or below, with the item. Many of both take linear time."""
    wanted, sizes = set(tops), sorted({len(top) for top in tops})
    for item in items:
        file = os.path.normcase(os.path.normpath(os.path.join(item.root, item.path)))
        for size in sizes:
            top = file[:size]
            if top in wanted and (top == file or top.endswith(os.sep) or file[size] == os.sep):
                yield top, item
