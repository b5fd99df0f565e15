"""The files in the folder of a library. A library may come from somebody else, so none of them may be a link."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import LIBRARY_FILE
from sightsound.library.store.index_files import find_index_files
from sightsound.library.store.segments import find_segment_files

_OTHERS = ("writer.json", "writer.lock")
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")  # https://www.sqlite.org/fileformat.html#the_rollback_journal
_UNFINISHED = ".part"


def require_ordinary_files(file: Path) -> None:
    """Raise `LibraryError` if a file of a library is not an ordinary file, or is a journal of two databases.

    SQLite and the writer write to these files, and through a link they would overwrite a file outside of the library.
    The journal of a change of two databases names a third file, which SQLite deletes; a library has no such journal.

    Parameters
    ----------
    file : pathlib.Path
        The database file. The files that SQLite and the writer keep beside it are examined too.
    """
    for name in (*(file.name + suffix for suffix in _SUFFIXES), *_OTHERS):
        path = file.with_name(name)
        with contextlib.suppress(OSError):  # what is absent, or in a folder that may not be searched, is no danger
            mode = os.lstat(path).st_mode
            if not stat.S_ISREG(mode):
                what = "a link" if stat.S_ISLNK(mode) else "not an ordinary file"
                raise LibraryError(f"{path}: {what}, expected a file of a library; remove it, or name another library")
    journal = file.with_name(file.name + "-journal")
    if _names_another_file(journal):
        raise LibraryError(f"{journal}: names another file, which SQLite would delete; restore the library from a copy")


def library_bytes(folder: Path) -> int:
    """Return the size of the database, of the files of rows and of the indexes."""
    found, others = 0, [*find_segment_files(folder), *find_index_files(folder)]
    for path in [*folder.glob(f"{LIBRARY_FILE}*"), *(path for _, path in others)]:
        with contextlib.suppress(FileNotFoundError):  # a writer may have deleted it meanwhile
            found += path.lstat().st_size
    return found


def _names_another_file(journal: Path) -> bool:
    """Return whether a rollback journal ends with the name of a super-journal."""
    try:
        with journal.open("rb") as opened:
            end = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, end - len(_JOURNAL_MAGIC)))
            return end > len(_JOURNAL_MAGIC) and opened.read() == _JOURNAL_MAGIC
    except OSError:  # absent, which is usual, or not readable for SQLite either
        return False


@contextlib.contextmanager
def new_file(folder: Path, prefix: str) -> Iterator[Path]:
    """Yield the path of a new empty file with a random name; the file is removed if it still has this name at the end.

    No link can be prepared under its name. Prefixes are `library.` and `writer.`, which `remove_unfinished` knows.
    """
    path = folder / f"{prefix}{secrets.token_hex(8)}{_UNFINISHED}"
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o666))
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def remove_unfinished(folder: Path) -> None:
    """Remove the files of `new_file` that a killed writer left; the caller holds the lock for writing."""
    for prefix in ("library.", "writer."):
        for path in folder.glob(f"{prefix}*{_UNFINISHED}*"):
            with contextlib.suppress(OSError):
                path.unlink()
