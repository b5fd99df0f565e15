"""The files that a path stands for, each with its root and its path relative to the root."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sightsound.contract.errors import MediaError, SightsoundError
from sightsound.contract.paths import LIBRARY_FILE, LIBRARY_FILES, PathLike, printable
from sightsound.contract.results import Item, Outcome
from sightsound.media.safe_open import open_file

LIBRARY_ID = 0x73736C62
"""The `application_id` of the database of a library: "sslb"."""

SIDECAR = ".xmp"
"""How the names of sidecar files end, which belong to other files: these have what they say as facts."""

log = logging.getLogger(__name__)


def find_items(paths: Sequence[PathLike], roots: Sequence[str] = ()) -> Iterator[Item | Outcome]:
    """Find the files under these paths, folders in the order of their names.

    Hidden files and folders, links to folders, XMP sidecar files, and libraries inside a folder are skipped and counted
    in the log.

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
        If a path is empty or does not exist; before anything is read.
    """
    return _find(existing_paths(paths), [*roots])


def unique_items(found: Iterable[Item | Outcome]) -> list[Item | Outcome]:
    """Return each file once, even if paths overlap; the first item of a file is kept."""
    kept: dict[object, Item | Outcome] = {}
    for each in found:
        kept.setdefault(os.path.join(each.root, each.path) if isinstance(each, Item) else id(each), each)
    return list(kept.values())


def existing_paths(paths: Sequence[PathLike]) -> list[Path]:
    """Return the absolute paths. Raises `SightsoundError` if one is empty or does not exist."""
    if any(
        os.fspath(path) == "" for path in paths
    ):  # often an unset variable of a script; it does not mean the working folder
        raise SightsoundError('"": an empty path; name a file or a folder, or "." for the working folder')
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
        for file in _walk(path) if top else iter([str(path)]):
            yield file if isinstance(file, Outcome) else _item(file, known, top)


def _item(file: str, roots: set[str], folder: str | None) -> Item:
    """Return the item below the nearest root above the file. It works on strings, since it runs for every file."""
    root = os.path.dirname(file)
    while root not in roots:
        parent = os.path.dirname(root)
        if parent == root:
            root = folder or os.path.dirname(file)
            break
        root = parent
    return Item(root, file[len(root) :].lstrip(os.sep).replace(os.sep, "/"))


def _walk(top: Path) -> Iterator[str | Outcome]:
    """Yield the files below a folder. Folders wait on a stack of our own, so that any depth is walked."""
    skipped = 0
    waiting = [str(top)]
    while waiting:
        folder = waiting.pop()
        folders, files, error = _entries(folder)
        if error is not None:
            yield _unreadable(top, folder, error)
        if LIBRARY_FILE in files and _is_passed_library(folder, [*folders, *files]):
            skipped += len(folders) + len(files)
            continue
        kept = sorted((name for name, link in folders.items() if not _is_skipped(folder, name, link)), reverse=True)
        waiting += (os.path.join(folder, name) for name in kept)
        visible = sorted(name for name in files if not name.startswith(".") and not name.lower().endswith(SIDECAR))
        skipped += len(folders) - len(kept) + len(files) - len(visible)
        yield from (os.path.join(folder, name) for name in visible)
    if skipped:
        log.info(
            "%s: passed over %d hidden files and folders, links to folders, sidecar files, and libraries", top, skipped
        )


def is_library(file: PathLike) -> bool:
    """Return whether a file is the database of a library, and not another file of this name.

    Parameters
    ----------
    file : path-like
        The file.

    Returns
    -------
    bool
        False also if it cannot be read.
    """
    try:
        with open_file(file) as opened:
            head = opened.read(72)
    except (MediaError, OSError):
        return False
    # offsets 0 and 68 of SQLite's file format, see https://www.sqlite.org/fileformat.html
    return head.startswith(b"SQLite format 3\0") and head[68:72] == LIBRARY_ID.to_bytes(4, "big")


def _is_passed_library(folder: str, names: Iterable[str]) -> bool:
    """Return whether a folder is a library, which is passed over. Warn if that may surprise the user."""
    if not is_library(os.path.join(folder, LIBRARY_FILE)):
        log.warning(
            "%s: its file %s is not a library of sightsound; the folder is searched like any other",
            printable(folder),
            LIBRARY_FILE,
        )
        return False
    others = [name for name in names if not name.startswith((*LIBRARY_FILES, "."))]
    if others:
        log.warning(
            "%s: a library; its %d other files and folders are not searched, move them out of it (the first: %s)",
            *(printable(folder), len(others), printable(min(others))),
        )
    return True


def _entries(folder: str) -> tuple[dict[str, bool], list[str], OSError | None]:
    """Return the folders in a folder, each with whether it is a link, the other files, and what ended the listing."""
    folders: dict[str, bool] = {}
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _leads_to_folder(entry):
                    folders[entry.name] = entry.is_symlink()
                else:
                    files.append(entry.name)
    except OSError as error:  # what was listed before is kept
        return folders, files, error
    return folders, files, None


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or a link to one. One that cannot be examined counts as a file."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_skipped(folder: str, name: str, link: bool) -> bool:
    if link:
        log.warning("%s: a link to a folder is not followed; index its target by name", os.path.join(folder, name))
    return link or name.startswith(".")


def _unreadable(top: Path, folder: str, error: OSError) -> Outcome:
    name = os.path.relpath(folder, top)
    return Outcome(Item(str(top), name), "failed", f"{name}: cannot read folder ({error.strerror})")
