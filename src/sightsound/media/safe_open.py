"""Open a file that a user named: ordinary files only, without waiting."""

from __future__ import annotations

import io
import os
import stat

from sightsound.contract.errors import MediaError
from sightsound.contract.paths import PathLike, printable

_SPECIAL = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def error_line(error: BaseException) -> str:
    """Return the text of an exception on one line, or its class if it has no text."""
    return " ".join(printable(str(error).replace("\n", " ")).split()) or type(error).__name__


def open_file(path: PathLike) -> io.FileIO:
    """Open an ordinary file for reading, unbuffered because decoders in C share its descriptor.

    Raises `MediaError` if it cannot be opened, and for folders, pipes, sockets and devices. It never waits for a
    writer.
    """
    try:
        _check_ordinary(path, os.stat(path).st_mode)  # first: opening alone has effects on some devices
        file = io.FileIO(path, "rb", opener=_open_without_waiting)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        why = getattr(error, "strerror", None) or error_line(error)
        raise MediaError(f"{printable(path)}: cannot open, {why}; check that it is there and may be read") from error
    try:
        _check_ordinary(path, os.fstat(file.fileno()).st_mode)  # again: the name may mean another file by now
    except MediaError:
        file.close()
        raise
    return file


def read_head(file: io.FileIO, name: str, size: int) -> bytes:
    """Return the first bytes of a file. Raises `MediaError` where the system cannot read them, as from a bad sector."""
    try:
        return file.read(size)
    except OSError as error:
        raise MediaError(f"{name}: cannot be read, {error.strerror}; copy it anew, or leave it out") from error


def _check_ordinary(path: PathLike, mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = _SPECIAL.get(stat.S_IFMT(mode), "not an ordinary file")
        raise MediaError(f"{printable(path)}: {what}, expected a file; name the files themselves")


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
