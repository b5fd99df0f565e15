"""The files in the folder of a library. A library may come from somebody else, so none of them may be a link."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from sightsound.contract.errors import LibraryError

_OTHERS = ("writer.json", "writer.lock")
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_UNFINISHED = ".part"


def require_ordinary_files(file: Path) -> None:
    """Raise `LibraryError` if a file of a library is a link, a folder, a pipe or a device.

    SQLite and the writer write to these files, and through a link they would overwrite a file outside of the library.

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
