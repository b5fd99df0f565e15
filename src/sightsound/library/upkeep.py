"""What leaves a library or moves: forget by path, forget what is gone from disk, relocate a root."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Item
from sightsound.library.library import Library

PathLike = str | os.PathLike[str]


def forget(library: Library, paths: Sequence[PathLike]) -> list[Item]:
    """Forgets the items at or below these paths, on disk or not; the files stay. Returns them.

    Raises `LibraryError` for a path that no item has, before anything is forgotten.
    """
    items = list(library.items())
    chosen: dict[int | None, Item] = {}
    for path in paths:
        top = Path(os.path.abspath(path))
        below = [item for item in items if item.file.is_relative_to(top)]
        if not below:
            raise LibraryError(
                f"{os.fspath(path)}: nothing of this path is in {library.path.name}; see `sightsound stats`"
            )
        chosen |= {item.id: item for item in below}
    return _forget(library, list(chosen.values()))


def forget_missing(library: Library, *, yes: bool = False) -> list[Item]:
    """Forgets the items whose files are gone from disk, and returns them.

    Raises `LibraryError` without `yes` where a whole root is absent, or where more than half of a root's items are
    missing: an unplugged drive is not a deletion.
    """
    by_root: dict[str, list[Item]] = {}
    for item in library.items():
        by_root.setdefault(item.root, []).append(item)
    missing: list[Item] = []
    for root, items in by_root.items():
        gone = [item for item in items if not os.path.lexists(item.file)]
        if not yes and not os.path.isdir(root):
            raise LibraryError(
                f"{root}: the folder is not there (an unplugged drive?); plug it in, `sightsound relocate` it, "
                f"or forget its {len(items)} items with --yes"
            )
        if not yes and 2 * len(gone) > len(items):
            raise LibraryError(
                f"{root}: {len(gone)} of {len(items)} items are missing, more than half; "
                "see that the drive is mounted, or forget them with --yes"
            )
        missing += gone
    return _forget(library, missing)


def forget_space(library: Library, name: str) -> int:
    """Forgets all vectors of a space, named by its model or by the first digits of its fingerprint; the items stay.

    Returns how many vectors went. Raises `LibraryError` where not exactly one space is meant.
    """
    meant = [space for space in library.spaces if name == space.name or space.fingerprint.startswith(name)]
    if len(meant) != 1:
        have = ", ".join(f"{space.name} ({space.fingerprint[:12]})" for space in library.spaces) or "none"
        raise LibraryError(f"space {name!r}: expected to mean one of the spaces, meant {len(meant)}; there are {have}")
    with library.writing() as writer:
        return writer.forget_space(meant[0])


def relocate(library: Library, old: PathLike, new: PathLike) -> int:
    """Items that were indexed at or below the folder `old` are below `new` from now on; returns how many.

    Raises `LibraryError` where `new` is no folder, or nothing was indexed at `old`.
    """
    target = os.path.abspath(new)
    if not os.path.isdir(target):
        raise LibraryError(f"{os.fspath(new)}: expected the folder that the files are in now; no such folder")
    with library.writing() as writer:
        return writer.relocate(os.path.abspath(old), target)


def _forget(library: Library, items: list[Item]) -> list[Item]:
    with library.writing() as writer:
        writer.forget(item.id for item in items if item.id is not None)
    return items
