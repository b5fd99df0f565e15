"""Opening a file that a user named: an ordinary one only, without waiting, under a name that can be printed."""

from __future__ import annotations

import io
import os
import stat

from sightsound.contract.errors import MediaError
from sightsound.contract.paths import printable

_STRANGE = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def error_line(error: BaseException) -> str:
    """What an exception of a decoder says, on one line; its class where it says nothing."""
    return " ".join(printable(str(error).replace("\n", " ")).split()) or type(error).__name__


def open_file(path: str | os.PathLike[str]) -> io.FileIO:
    """An ordinary file, open for reading and unbuffered, since decoders in C share its descriptor.

    Raises `MediaError` for what cannot be opened, and for folders, pipes, sockets and devices, without waiting for
    anybody to write to them.
    """
    try:
        _check(path, os.stat(path).st_mode)  # first: opening alone already has effects on some devices
        file = io.FileIO(path, "rb", opener=_without_waiting)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        why = getattr(error, "strerror", None) or error_line(error)
        raise MediaError(f"{printable(path)}: cannot open, {why}; check that it is there and may be read") from error
    try:
        _check(path, os.fstat(file.fileno()).st_mode)  # again: the name may mean another file by now
    except MediaError:
        file.close()
        raise
    return file


def _check(path: str | os.PathLike[str], mode: int) -> None:
    if not stat.S_ISREG(mode):
        what = _STRANGE.get(stat.S_IFMT(mode), "not an ordinary file")
        raise MediaError(f"{printable(path)}: {what}, expected a file; name the files themselves")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
