"""The library: one folder for the vectors of every model and both modalities, open for reading."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import LIBRARY_FILE, PathLike
from sightsound.library.library_search import LibrarySearch
from sightsound.library.merging.labels import Prefer
from sightsound.library.merging.merge import MergeReport
from sightsound.library.merging.take import require_agreement, take_in
from sightsound.library.notebook import library_html
from sightsound.library.space_reader import SpaceReader
from sightsound.library.store import database
from sightsound.library.store.writer import Writer, open_writer
from sightsound.library.vector_search import VectorSearch


class Library(LibrarySearch, contextlib.AbstractContextManager["Library"]):
    """A library, open for reading.

    Readers see what was committed last, also while another process writes. Changes are made by the functions of
    `sightsound`, such as `index` and `forget`, or in a `writing` block. `with Library("zoo") as zoo:` closes it.

    Parameters
    ----------
    path : path-like
        The folder of the library.
    create : bool, default=False
        Make an empty library if the folder does not exist or is empty.

    Raises
    ------
    LibraryError
        If there is no library at `path`, if it cannot be read, is damaged, or has a newer format.
    """

    def __init__(self, path: PathLike, *, create: bool = False) -> None:
        folder = _absolute(path)
        self._file = folder / LIBRARY_FILE
        _require_library(self._file, create=create)
        super().__init__(folder, database.Database(self._file))

    def __bool__(self) -> bool:  # an empty library is one too
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return library_html(str(self.path), len(self), self.spaces, self.label_columns(ranges=False))

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the library; every later read raises `LibraryError`."""
        self._database.close()

    @contextlib.contextmanager
    def writing(self, *, max_bytes: int | None = None) -> Iterator[Writer]:
        """Yield the writer of this library, commit at the end, and roll back to the last commit after an error.

        Parameters
        ----------
        max_bytes : int or None
            Largest size of the library; None for no limit.

        Raises
        ------
        LibraryError
            If another process is writing, if the folder cannot be written, or if the disk is full.
        """
        with open_writer(self._file, max_bytes=max_bytes) as writer:
            self._reopen_after_migration()
            yield writer

    def _reopen_after_migration(self) -> None:
        if self._database.reopen_after_migration():
            self._reader = SpaceReader(self._database)
            self._vector_search = VectorSearch(self._database, self._reader)

    def merge(self, other: Library, *, prefer: Prefer | None = None, progress: bool | None = None) -> MergeReport:
        """Take in the items, labels, rows and scores of another library, which stays as it is.

        Parameters
        ----------
        other : Library
            The other one.
        prefer : {"a", "b", "both"} or None
            Whose labels count where they differ: those of this library ("a"), of the other one, or all. None refuses.
        progress : bool or None
            Whether to show a progress bar. None stands for "on a terminal".

        Returns
        -------
        MergeReport

        Raises
        ------
        LibraryError
            A `MergeConflict` if labels or contents differ, and `prefer` is None; nothing is changed then.
        """
        if prefer is None:
            require_agreement(self.path, other.path)
        report = MergeReport()
        with self.writing() as writer:
            take_in(writer, other.path, prefer or "a", report, progress)
        return report


@contextlib.contextmanager
def open_library(library: PathLike | Library, *, create: bool = False) -> Iterator[Library]:
    """Yield an open library, and close it at the end if it was given by its path.

    Parameters
    ----------
    library : path-like or Library
        The folder of a library, or one that is open already and stays so.
    create : bool, default=False
        Make an empty library if there is none at the path.
    """
    if isinstance(library, Library):
        yield library
    else:
        with Library(library, create=create) as opened:
            yield opened


def _absolute(path: PathLike) -> Path:
    """Return the absolute path of a library; raise `LibraryError` for an empty one, often an unset variable."""
    if not os.fspath(path):
        raise LibraryError('library "": an empty path; name a folder, or "." for the working folder')
    return Path(os.path.abspath(path))


def _require_library(file: Path, *, create: bool) -> None:
    """Raise `LibraryError` if there is no library, or make an empty one."""
    if not database.exists(file):
        if not create:
            raise LibraryError(f"no library at {file.parent}; make one: sightsound index PATH --library {file.parent}")
        database.create(file)
