"""Which item of a library a row of a table means."""

from __future__ import annotations

import ntpath
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sightsound.library.label_cells import bytes_of_escapes
from sightsound.library.label_rows import LabelRow
from sightsound.media import files

Read = Callable[..., list[tuple[Any, ...]]]
"""Returns the rows of an SQL query with these values."""


@dataclass(frozen=True)
class Found:
    """An item that a row means.

    Parameters
    ----------
    id : int
        The id of the item.
    modality : str or None
        The modality of its content.
    """

    id: int
    modality: str | None


class ItemFinder:
    """Finds the items that rows mean.

    Parameters
    ----------
    read : callable
        Returns the rows of an SQL query with these values.
    roots : sequence of str
        The roots of the library.
    folders : sequence of str
        The folders that a path without a root may be relative to.
    names : callable or None
        Returns the ids and absolute paths of the items with this name, whatever their folder, for rows that have only
        a name, or a path on another machine. Of several the one counts that has most folders above it in common.
    first : bool
        Whether the first folder that has the file counts; else a path that means several items means none.
    """

    def __init__(
        self,
        read: Read,
        roots: Sequence[str],
        folders: Sequence[str],
        *,
        names: Callable[[bytes], list[tuple[int, bytes]]] | None = None,
        first: bool = False,
    ) -> None:
        self._read, self._roots, self._names, self._first = read, list(roots), names, first
        self._folders = list(dict.fromkeys(folders))
        self._last: tuple[object, Found | str] | None = None

    def find(self, row: LabelRow) -> Found | str:
        """Return the item of a row, or what to tell the user about a row that means none."""
        key = (row.paths, row.root)
        if not row.paths:
            return f"row {row.number}, which has no path"
        if self._last is None or self._last[0] != key:
            self._last = key, self._find(row.paths, row.root)
        return self._last[1]

    def _find(self, paths: Sequence[str], root: str) -> Found | str:
        for path in paths:
            for spelt, above in dict.fromkeys([(path, root), (bytes_of_escapes(path), bytes_of_escapes(root))]):
                found = self._at(spelt, [above] if above else self._folders)
                if len(found) > 1 and not self._first:
                    return f"{path}: {len(found)} files of this path; say which in a column 'root'"
                if found:
                    return next(iter(found.values()))
        ids = [] if root else self._named(*(bytes_of_escapes(path) for path in (paths[0], paths[-1])))
        if len(ids) > 1:
            return f"{paths[-1]}: {len(ids)} files of this name; write their paths"
        return self._of_id(ids[0]) if ids else (os.path.join(root, paths[0]) if root else paths[0])

    def _named(self, path: str, name: str) -> list[int]:
        """Return the ids of the items with the name that have most folders above it in common with the path."""
        for base in dict.fromkeys([os.path.basename(name), ntpath.basename(name)]):
            common: dict[int, list[int]] = {}
            for id_, other in self._names(os.fsencode(base)) if self._names and base else ():
                common.setdefault(names_in_common(path, os.fsdecode(other)), []).append(id_)
            if common:
                return common[max(common)]
        return []

    def _at(self, path: str, folders: Sequence[str]) -> dict[int, Found]:
        """Return the items at a path below these folders."""
        found: dict[int, Found] = {}
        if "\0" in path:
            return found
        for folder in [os.sep] if os.path.isabs(path) else folders:
            item = files.item_of(os.path.join(folder, path), self._roots)
            if item.root in self._roots:
                rows = self._read(_AT, os.fsencode(item.root), os.fsencode(item.path))
                found |= {id_: Found(id_, modality) for id_, modality in rows}
        return found

    def _of_id(self, id_: int) -> Found:
        ((modality,),) = self._read(_OF_ID, id_)
        return Found(id_, modality)


def names_in_common(path: str, other: str) -> int:
    """Return how many names two paths have in common at their ends: that of the file, and of folders above it."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(_parts(path), _parts(other))))


def _parts(path: str) -> list[str]:
    """Return the name of a file of any system and the folders above it, from the name on."""
    return path.replace("\\", "/").split("/")[::-1]


_OF = "FROM items i LEFT JOIN contents c ON c.id = i.content"
_AT = f"SELECT i.id, c.modality {_OF} JOIN roots r ON r.id = i.root WHERE r.path = ? AND i.path = ?"
_OF_ID = f"SELECT c.modality {_OF} WHERE i.id = ?"
