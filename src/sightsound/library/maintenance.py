"""Removing items and spaces from a library, and telling it that files have moved."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence

from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike, as_list
from sightsound.contract.results import Item
from sightsound.library.copying import copy_library
from sightsound.library.library import Library, open_library
from sightsound.library.space_names import meant_space
from sightsound.library.store.files import library_bytes
from sightsound.library.store.renamed import is_missing
from sightsound.library.store.validation import decode_item

_PAGE = 1000  # items that are read at once


def forget(paths: PathLike | Sequence[PathLike], library: PathLike | Library) -> list[Item]:
    """Remove the items at or below some paths from a library; the files stay.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        Files and folders, which need not exist any more.
    library : path-like or Library
        The library.

    Returns
    -------
    list of Item
        The items that were removed, with their labels and with the vectors that no other item has.

    Raises
    ------
    LibraryError
        If no item is at or below one of the paths, or a path is empty; nothing is removed then.
    """
    with open_library(library) as opened:
        given = as_list(paths)
        return _forget(opened, _items_of(opened, opened.chosen_items(given).tolist()) if given else [])


def _items_of(library: Library, ids: Sequence[int]) -> list[Item]:
    """Return the items of some ids."""
    query = (
        "SELECT r.path, i.path, i.id FROM items i JOIN roots r ON r.id = i.root"
        " WHERE i.id IN (SELECT value FROM json_each(?)) ORDER BY i.id"
    )
    pages = (json.dumps(ids[first : first + _PAGE]) for first in range(0, len(ids), _PAGE))
    return [item for page in pages for item in library.decoded(query, decode_item, page)]


def forget_missing(library: PathLike | Library, *, yes: bool = False) -> list[Item]:
    """Remove the items whose files do not exist any more.

    Parameters
    ----------
    library : path-like or Library
        The library.
    yes : bool, default=False
        Whether to remove them also if a root does not exist, if more than half of the items of a root are missing, or
        if a folder that had some of them is empty, as for a drive that is not mounted.

    Returns
    -------
    list of Item
        The items that were removed.

    Raises
    ------
    LibraryError
        If `yes` would be needed; nothing is removed then.
    """
    with open_library(library) as opened:
        counts, missing = Counter[str](), dict[str, list[Item]]()
        for item in opened.each_item():
            counts[item.root] += 1
            if is_missing(item.file):
                missing.setdefault(item.root, []).append(item)
        if not yes:
            for root, items in missing.items():
                _require_plugged_in(root, items, counts[root])
        return _forget(opened, [item for items in missing.values() for item in items])


def _require_plugged_in(root: str, missing: Sequence[Item], count: int) -> None:
    """Raise `LibraryError` if the missing items of a root, of so many in all, may be on an unplugged drive."""
    if not os.path.isdir(root):
        raise LibraryError(
            f"{root}: the folder is not there (an unplugged drive?); plug it in, `sightsound relocate` it, "
            f"or forget its {count} items all the same (--yes)"
        )
    if 2 * len(missing) > count:
        raise LibraryError(
            f"{root}: {len(missing)} of {count} items are missing, more than half; "
            "see that the drive is mounted, or forget them all the same (--yes)"
        )
    if empty := _empty_folder(root, missing):
        raise LibraryError(
            f"{empty}: the folder is empty now (an unplugged drive?); plug it in, delete the folder, "
            "or forget its items all the same (--yes)"
        )


def _forget(library: Library, items: list[Item]) -> list[Item]:
    with library.writing() as writer:
        writer.forget(item.id for item in items if item.id is not None)
    return items


def forget_space(space: str, library: PathLike | Library) -> int:
    """Remove all vectors of a space from a library; the items stay.

    Parameters
    ----------
    space : str
        The name of its model, or at least the first 8 digits of its fingerprint.
    library : path-like or Library
        The library.

    Returns
    -------
    int
        The number of vectors that were removed.

    Raises
    ------
    LibraryError
        If `space` does not mean exactly one space.
    """
    with open_library(library) as opened:
        meant = meant_space(space, opened.spaces)
        with opened.writing() as writer:
            return writer.forget_space(meant)


def _empty_folder(root: str, missing: Sequence[Item]) -> str | None:
    """Return a folder below a root that had some of these files and is empty, as the mount point of a drive is."""
    examined = {root}
    for folder in sorted({os.path.dirname(item.file) for item in missing}):
        while folder not in examined:
            examined.add(folder)
            if is_missing(folder):
                folder = os.path.dirname(folder)
                continue
            with contextlib.suppress(OSError), os.scandir(folder) as entries:  # OSError: one that cannot be listed
                if next(entries, None) is None:
                    return folder
    return None


def require_names(paths: Iterable[PathLike]) -> None:
    """Raise `LibraryError` for an empty path, which would stand for the working folder: often an unset variable."""
    if any(not os.fspath(path) for path in paths):
        raise LibraryError('"": an empty path; name a file or a folder, or "." for the working folder')


def compact(library: PathLike | Library) -> int:
    """Give back the room of what was removed from a library.

    What is left is written into new files, one after the other, so that it can be broken off at any moment. Readers
    may be open.

    Parameters
    ----------
    library : path-like or Library
        The library.

    Returns
    -------
    int
        How many bytes smaller the library is.

    Raises
    ------
    LibraryError
        If another process writes to the library, or the disk is full.
    """
    with open_library(library) as opened:
        with opened.writing():
            before = library_bytes(opened.path)
        with opened.writing() as writer:
            writer.compact()
        return before - library_bytes(opened.path)


def migrate(library: PathLike, to: PathLike | None = None, *, progress: bool | None = None) -> None:
    """Bring a library of an older version of sightsound to the present format.

    Every command that writes to a library does this, too; those that read it make a temporary copy.

    Parameters
    ----------
    library : path-like
        The library.
    to : path-like or None
        A new folder, for a library that cannot be written. None changes the library itself, after a copy of its
        database was made beside it.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Raises
    ------
    LibraryError
        If the library is damaged, or the folder cannot be written.
    """
    if to is not None:
        copy_library(library, to, progress=progress)
        return
    with open_library(library) as opened, opened.writing():
        pass


def relocate(old: PathLike, new: PathLike, library: PathLike | Library) -> int:
    """Tell a library that a folder has moved, so that its items keep their ids, vectors and labels.

    Parameters
    ----------
    old : path-like
        The folder that was indexed, or one above it, at its former place.
    new : path-like
        Its present place.
    library : path-like or Library
        The library.

    Returns
    -------
    int
        The number of items that are below `new` now.

    Raises
    ------
    LibraryError
        If a path is empty, if `new` is not a folder, if nothing was indexed at or below `old`, or if the new place was
        indexed too.
    """
    require_names([old, new])
    target = os.path.abspath(new)
    if not os.path.isdir(target):
        raise LibraryError(f"{os.fspath(new)}: expected the folder that the files are in now; no such folder")
    with open_library(library) as opened, opened.writing() as writer:
        for _ in opened.each_item():  # raises LibraryError for paths that cannot be decoded
            pass
        return writer.items.relocate(os.path.abspath(old), target)
