"""Merge two libraries into a third, or into one of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import get_args

from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import LIBRARY_FILE, PathLike
from sightsound.library.copying import copy_folder
from sightsound.library.library import Library, open_library
from sightsound.library.merging.labels import Prefer
from sightsound.library.merging.merge import MergeReport
from sightsound.library.merging.take import require_agreement, take_in

_MARK = "merged"  # the setting that names the libraries that one was merged from


def merge_libraries(
    a: PathLike | Library,
    b: PathLike | Library,
    into: PathLike,
    *,
    prefer: Prefer | None = None,
    progress: bool | None = None,
) -> MergeReport:
    """Merge two libraries: items, labels, rows and scores of both, without embedding anything.

    Rows are the same if content and fingerprint of the space are. Nothing is lost if it breaks off: the same call goes
    on from there, and once more changes nothing.

    Parameters
    ----------
    a, b : path or Library
        The libraries. They are not changed, but for one that is named as `into`.
    into : path
        A new folder; or that of `a` or `b`, which takes in the other one then.
    prefer : {"a", "b", "both"} or None
        Whose labels count where they differ for a file of the same path or content: those of one library, or all.
        Where contents of a path differ, "b" takes that of `b`. None refuses what differs.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    MergeReport

    Raises
    ------
    LibraryError
        If a library is damaged, or `into` is another library; a `MergeConflict` if labels or contents differ, and
        `prefer` is None. Nothing was changed then.
    """
    if prefer is not None and prefer not in get_args(Prefer):
        raise SightsoundError(f"prefer: expected one of {', '.join(get_args(Prefer))}, got {prefer!r}")
    with open_library(a) as first, open_library(b) as second:
        if _is_same(first.path, second.path):
            raise LibraryError(f"{first.path}: expected two libraries, got one twice")
        for library in (first, second):
            if _is_same(library.path, into):
                other = second if library is first else first
                flipped: dict[Prefer, Prefer] = {"a": "b", "b": "a"}
                turned = prefer if library is first or prefer is None else flipped.get(prefer, prefer)
                return library.merge(other, prefer=turned, progress=progress)
        return _merge_into_new(first, second, Path(os.path.abspath(into)), prefer, progress)


def _merge_into_new(
    first: Library, second: Library, into: Path, prefer: Prefer | None, progress: bool | None
) -> MergeReport:
    mark, report = json.dumps([os.fspath(each.path) for each in (first, second)]), MergeReport()
    if _is_library(into) and _mark(into) != mark:
        raise LibraryError(
            f"{into}: is a library already; name a new folder, or one of the two that are merged, which takes in the "
            "other then"
        )
    if prefer is None:
        require_agreement(first.path, second.path)
    if not _is_library(into):
        copy_folder(first.path, into, settings={_MARK: mark}, progress=progress)
    else:
        with Library(into) as library, library.writing() as writer:  # what came to it since it was copied
            take_in(writer, first.path, "a", MergeReport(), progress)
    report.copied = len(first)
    with Library(into) as library, library.writing() as writer:
        take_in(writer, second.path, prefer or "a", report, progress)
    return report


def _is_same(folder: PathLike, other: PathLike) -> bool:
    try:
        return os.path.samefile(folder, other)
    except OSError:
        return os.path.abspath(folder) == os.path.abspath(other)


def _is_library(folder: Path) -> bool:
    return (folder / LIBRARY_FILE).exists()


def _mark(folder: Path) -> str | None:
    with Library(folder) as library:
        found = library.rows("SELECT value FROM settings WHERE name = ?", _MARK)
    return str(found[0][0]) if found else None
