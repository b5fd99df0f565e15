"""Copies of a library, which are sound at any moment, also while another process writes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from sightsound import _atomic
from sightsound._progress import bar
from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import LIBRARY_FILE, PathLike
from sightsound.library.library import Library, open_library
from sightsound.library.store.database import Database, new_library, sqlite_errors
from sightsound.library.store.files import new_file
from sightsound.library.store.queries import read_segments, read_spaces
from sightsound.library.store.segments import SegmentFacts, SegmentGone, find_segment_files, open_file

_BYTES = 2**23  # that are copied at once
_ATTEMPTS = 5  # where `compact` replaces files meanwhile


def copy_library(library: PathLike | Library, to: PathLike, *, progress: bool | None = None) -> None:
    """Copy a library as of its last commit, in the present format.

    Parameters
    ----------
    library : path-like or Library
        The library, of any format. It is not changed, and may be on a medium that cannot be written.
    to : path-like
        The folder of the copy, which is new or empty.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Raises
    ------
    LibraryError
        If the library is damaged, if the folder has files, or if it cannot be written.
    """
    with open_library(library) as opened:
        copy_folder(opened.path, to, progress=progress)


def copy_folder(
    folder: Path, to: PathLike, *, settings: Mapping[str, str] = MappingProxyType({}), progress: bool | None = None
) -> None:
    """Copy the library of a folder, as `copy_library`, with more values in the table of settings."""
    file = Path(os.path.abspath(to), LIBRARY_FILE)
    database = Database(folder / LIBRARY_FILE)
    with contextlib.closing(database), new_library(file):
        if file.exists():
            raise LibraryError(f"{file.parent}: is a library already; name a new folder")
        for attempt in range(_ATTEMPTS):
            try:
                _copy(database, file, settings, progress)
                return
            except SegmentGone:
                if attempt == _ATTEMPTS - 1:
                    raise
            except OSError as error:
                raise LibraryError(
                    f"{file.parent}: cannot be written ({error.strerror}); name another place"
                ) from error


def _copy(database: Database, file: Path, settings: Mapping[str, str], progress: bool | None) -> None:
    """Copy the rows, then the database, which makes the folder a library."""
    for _, left in find_segment_files(file.parent):  # of a copy that was broken off
        left.unlink()
    with new_file(file.parent, "library.copy-") as part:
        with database.snapshot():
            segments = [
                facts
                for id_, space in read_spaces(database).items()
                for facts in read_segments(database, id_, space.dim)
            ]
            database.back_up(part)
            with bar(sum(facts.rows for facts in segments), "copy", progress, unit="row") as shown:
                inodes = {}
                for facts in segments:
                    inodes[facts.id] = _copy_segment(database.folder, file.parent, facts)
                    shown.update(facts.rows)
        with sqlite_errors(file), contextlib.closing(sqlite3.connect(part, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = OFF")
            db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", settings.items())
            db.execute("DELETE FROM indexes")  # their files are not copied: a signature fits one file alone
            db.executemany("UPDATE segments SET inode = ? WHERE id = ?", [(i, id_) for id_, i in inodes.items()])
        _atomic.replace(part, file)


def _copy_segment(source: Path, target: Path, facts: SegmentFacts) -> int:
    """Copy the committed rows of a segment; return the inode of the vectors."""
    inodes = []
    columns = facts.layout.columns.values()
    for old, new, dtype in zip(facts.files(source), facts.files(target), columns):
        with (
            open(open_file(old, os.O_RDONLY), "rb") as reading,
            open(open_file(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as writing,
        ):
            left = facts.rows * dtype.itemsize
            while left:
                data = reading.read(min(_BYTES, left))
                if not data:
                    raise LibraryError(f"{old}: damaged, it is too short; run `sightsound check`")
                writing.write(data)
                left -= len(data)
            writing.flush()
            os.fsync(writing.fileno())
            inodes.append(os.fstat(writing.fileno()).st_ino)
    return inodes[0]
