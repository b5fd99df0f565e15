"""Which items the paths of a table mean, and whether the rows of each are one after the other."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence

import numpy as np

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.results import Item
from sightsound.library.incoming.row_source import RowSource
from sightsound.library.store.items import ItemTable
from sightsound.media import files


class Places:
    """Finds the item of each path of a table.

    An absolute path is below the nearest root of the library, else below the folder that all absolute paths of the
    table have in common. A relative one is below the root that the table states, else below a folder.

    Parameters
    ----------
    source : RowSource
        The table. Its paths are read once.
    root : path or None
        The folder that relative paths are below. None stands for the folder of the table.

    Raises
    ------
    SightsoundError
        If the rows of a file are not one after the other.
    """

    def __init__(self, source: RowSource, root: PathLike | None) -> None:
        self._folder = os.path.abspath(os.path.dirname(source.file) if root is None else root)
        self._known = [self._folder]
        self._roots = set[str]()  # of items that the library may have
        runs, last, common, hashes = 0, ("", ""), "", array("q")
        for paths, stated in source.places():
            for path, of in zip(paths, stated):
                if (path, of) == last or not path:
                    continue
                last, runs = (path, of), runs + 1
                hashes.append(hash(last))
                if not of and os.path.isabs(path) and not (common and path.startswith(common)):
                    common = _common(common, path)
        if len(np.unique(np.frombuffer(hashes, np.int64))) < runs:
            raise SightsoundError(
                f"{source.file}: expected the rows of each file one after the other, {self._apart(source)}; "
                "sort the table by path and start"
            )
        if common:
            self._known.append(common.rstrip(os.sep) or os.sep)

    def add_roots(self, roots: Sequence[str]) -> None:
        """Say which roots the library has."""
        self._known += roots
        self._roots.update(roots)

    @staticmethod
    def _apart(source: RowSource) -> str:
        """Return which file has rows in two places."""
        seen, last = set[int](), ("", "")
        for paths, stated in source.places():
            for each in zip(paths, stated):
                if each != last and each[0]:
                    if hash(each) in seen:
                        return f"got those of {printable(each[0])!r} in two places"
                    seen.add(hash(each))
                    last = each
        return "got some in two places"

    def item(self, path: str, root: str, items: ItemTable) -> Item:
        """Return the item of a path.

        Parameters
        ----------
        path, root : str
            As the table has them; the root is "" where it has none.
        items : ItemTable
            The items of the library.

        Raises
        ------
        ValueError
            If it cannot be the path of an item.
        """
        found = self._item(path, root, items)
        self._roots.add(found.root)
        return found

    def _item(self, path: str, root: str, items: ItemTable) -> Item:
        if "\0" in path + root:
            raise ValueError("a null character in the path")
        folder = os.path.join(self._folder, root) if root else self._folder
        whole = os.path.join(folder, path)
        if {".", ".."} & set(path.split("/")):
            whole = os.path.normpath(whole)
        if root and not os.path.isabs(path):
            found = Item(folder, os.path.relpath(whole, folder) if whole != os.path.join(folder, path) else path)
            known = self._is_there(found, items) or not self._is_there(self._below(whole), items)
            if known and not found.path.startswith(".."):
                return found
        return self._below(whole)

    def _is_there(self, item: Item, items: ItemTable) -> bool:
        return item.root in self._roots and items.find(item) is not None

    def _below(self, whole: str) -> Item:
        found = files.item_of(whole, self._known)
        if not found.path:
            raise ValueError("not the path of a file")
        return found


def _common(folder: str, path: str) -> str:
    """Return the folder that has another folder, if any, and a file in it; it ends with a separator."""
    above = os.path.dirname(os.path.abspath(path))
    return os.path.join(os.path.commonpath([folder, above]) if folder else above, "")
