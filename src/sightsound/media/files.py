"""Which files a path stands for, and which root and relative path each has."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item, Outcome

LIBRARY_FILE = "library.sqlite"
"""A folder that holds a file of this name is a library, and is not searched for media."""

log = logging.getLogger(__name__)


def find_items(paths: Sequence[str | os.PathLike[str]], roots: Sequence[str] = ()) -> Iterator[Item | Outcome]:
    """The files under these paths, folders in the order of their names.

    A folder is its own root and a file has its folder as root, unless one of the known `roots` holds it. Hidden files
    and folders, links to folders and libraries inside a folder are passed over and counted in the log; a folder that
    cannot be read comes as a failed `Outcome`. Raises as `existing` does, before anything is read.
    """
    return _items(existing_paths(paths), [*roots])


def unique_items(found: Iterable[Item | Outcome]) -> list[Item | Outcome]:
    """Each file once, though the paths may overlap; the path that was named first is its root."""
    kept: dict[object, Item | Outcome] = {}
    for one in found:
        kept.setdefault(one.file if isinstance(one, Item) else id(one), one)
    return list(kept.values())


def existing_paths(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """The absolute paths. Raises `SightsoundError` for one that does not exist."""
    absolute = [Path(os.path.abspath(path)) for path in paths]
    for path, given in zip(absolute, paths):
        if not os.path.lexists(path):
            raise SightsoundError(f"{os.fspath(given)}: no such file or folder")
    return absolute


def item_of(path: str | os.PathLike[str], roots: Sequence[str] = ()) -> Item:
    """The item that one file is: below the nearest of the known roots, else below its own folder."""
    return _item(os.path.abspath(path), set(roots), None)


def _items(paths: list[Path], roots: list[str]) -> Iterator[Item | Outcome]:
    known = set(roots)
    for path in paths:
        top = str(path) if path.is_dir() else None
        for file in _folder(path) if top else iter([path]):
            yield file if isinstance(file, Outcome) else _item(str(file), known, top)


def _item(file: str, roots: set[str], folder: str | None) -> Item:
    """Looks upwards from the file for a root; text instead of paths, as this is done for every file of every run."""
    at = os.path.dirname(file)
    while at not in roots:
        above = os.path.dirname(at)
        if above == at:
            at = folder or os.path.dirname(file)
            break
        at = above
    return Item(at, os.path.relpath(file, at).replace(os.sep, "/"))


def _folder(top: Path) -> Iterator[Path | Outcome]:
    unread: list[OSError] = []
    passed = 0
    for folder, folders, files in os.walk(top, onerror=unread.append):
        while unread:
            yield _unreadable(top, unread.pop())
        if LIBRARY_FILE in files:
            passed += len(files)
            folders.clear()
            continue
        kept = sorted(name for name in folders if not _passed(Path(folder, name)))
        passed += len(folders) - len(kept)
        folders[:] = kept
        shown = sorted(name for name in files if not name.startswith("."))
        passed += len(files) - len(shown)
        yield from (Path(folder, name) for name in shown)
    for error in unread:
        yield _unreadable(top, error)
    if passed:
        log.info("%s: passed over %d hidden files and folders, links to folders, and libraries", top, passed)


def _passed(folder: Path) -> bool:
    if folder.is_symlink():
        log.warning("%s: a link to a folder is not followed; index its target by name", folder)
        return True
    return folder.name.startswith(".")


def _unreadable(top: Path, error: OSError) -> Outcome:
    name = os.path.relpath(error.filename, top)
    return Outcome(Item(str(top), name), "failed", f"{name}: cannot read folder ({error.strerror})")
