"""The files that a path stands for, each with its root and its path relative to the root."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item, Outcome

LIBRARY_FILE = "library.sqlite"
"""A folder that contains a file of this name is a library. It is not searched for media."""

log = logging.getLogger(__name__)


def find_items(paths: Sequence[PathLike], roots: Sequence[str] = ()) -> Iterator[Item | Outcome]:
    """Find the files under these paths, folders in the order of their names.

    Hidden files and folders, links to folders, and libraries inside a folder are skipped and counted in the log.

    Parameters
    ----------
    paths : sequence of path-like
        Files and folders.
    roots : sequence of str
        Known roots. The root of a file is the nearest of them above it; else the folder in `paths` that contains it;
        else its own folder.

    Returns
    -------
    iterator of Item or Outcome
        An item for each file, and a failed outcome for each folder that cannot be read.

    Raises
    ------
    SightsoundError
        If a path does not exist; before anything is read.
    """
    return _find(existing_paths(paths), [*roots])


def unique_items(found: Iterable[Item | Outcome]) -> list[Item | Outcome]:
    """Return each file once, even if paths overlap; the first item of a file is kept."""
    kept: dict[object, Item | Outcome] = {}
    for each in found:
        kept.setdefault(each.file if isinstance(each, Item) else id(each), each)
    return list(kept.values())


def existing_paths(paths: Sequence[PathLike]) -> list[Path]:
    """Return the absolute paths. Raises `SightsoundError` if one does not exist."""
    absolute = [Path(os.path.abspath(path)) for path in paths]
    for path, given in zip(absolute, paths):
        if not os.path.lexists(path):
            raise SightsoundError(f"{os.fspath(given)}: no such file or folder")
    return absolute


def item_of(path: PathLike, roots: Sequence[str] = ()) -> Item:
    """Return the item of one file: below the nearest of the known roots, else below its own folder."""
    return _item(os.path.abspath(path), set(roots), None)


def _find(paths: list[Path], roots: list[str]) -> Iterator[Item | Outcome]:
    known = set(roots)
    for path in paths:
        top = str(path) if path.is_dir() else None
        for file in _walk(path) if top else iter([path]):
            yield file if isinstance(file, Outcome) else _item(str(file), known, top)


def _item(file: str, roots: set[str], folder: str | None) -> Item:
    """Return the item below the nearest root above the file. It works on strings, since it runs for every file."""
    root = os.path.dirname(file)
    while root not in roots:
        parent = os.path.dirname(root)
        if parent == root:
            root = folder or os.path.dirname(file)
            break
        root = parent
    return Item(root, os.path.relpath(file, root).replace(os.sep, "/"))


def _walk(top: Path) -> Iterator[Path | Outcome]:
    errors: list[OSError] = []
    skipped = 0
    for folder, folders, files in os.walk(top, onerror=errors.append):
        while errors:
            yield _unreadable(top, errors.pop())
        if LIBRARY_FILE in files:
            skipped += len(files)
            folders.clear()
            continue
        kept = sorted(name for name in folders if not _is_skipped(Path(folder, name)))
        skipped += len(folders) - len(kept)
        folders[:] = kept
        visible = sorted(name for name in files if not name.startswith("."))
        skipped += len(files) - len(visible)
        yield from (Path(folder, name) for name in visible)
    for error in errors:
        yield _unreadable(top, error)
    if skipped:
        log.info("%s: passed over %d hidden files and folders, links to folders, and libraries", top, skipped)


def _is_skipped(folder: Path) -> bool:
    if folder.is_symlink():
        log.warning("%s: a link to a folder is not followed; index its target by name", folder)
        return True
    return folder.name.startswith(".")


def _unreadable(top: Path, error: OSError) -> Outcome:
    name = os.path.relpath(error.filename, top)
    return Outcome(Item(str(top), name), "failed", f"{name}: cannot read folder ({error.strerror})")
