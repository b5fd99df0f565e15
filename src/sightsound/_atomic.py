"""Atomic writes: a file appears under its name when it is complete, or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike


def check_writable(file: PathLike) -> None:
    """Raise `SightsoundError` if `atomic_path` could not write this file.

    Call it before a long computation, so that a wrong path is reported at once.
    """
    target = Path(file)
    if target.is_dir():
        raise _refused(file, "Is a directory")
    if target.exists() and not target.is_file():
        return  # a device or a pipe, which is written directly
    folder = target.absolute().parent
    if not folder.is_dir():
        raise _refused(file, "No such file or directory")
    if not os.access(folder, os.W_OK):
        raise _refused(file, "Permission denied")


def check_not_input(file: PathLike, inputs: Iterable[PathLike]) -> None:
    """Raise `SightsoundError` if writing a file would replace one that is read.

    Call it before a long computation.

    Parameters
    ----------
    file : path-like
        The file to write.
    inputs : iterable of path-like
        The files that are read. They are compared as files, so links and other spellings of a name are found.
    """
    for path in inputs:
        try:
            same = os.path.isfile(path) and os.path.samefile(file, path)
        except OSError:  # one of them does not exist
            same = False
        if same:
            raise SightsoundError(f"{os.fspath(file)}: is also read, and would be overwritten; name another place")


@contextlib.contextmanager
def atomic_path(file: PathLike) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `file` when the block ends without an error.

    Parameters
    ----------
    file : path-like
        The file to create or replace. A device or a pipe such as `/dev/stdout` is written directly, since it must not
        be replaced.

    Yields
    ------
    pathlib.Path
        A path with the same file name in a new private folder beside `file`. The folder has a random name, so that no
        other user can prepare a link there. It is removed in any case.

    Raises
    ------
    SightsoundError
        If the file cannot be written. An existing `file` is unchanged then.
    """
    target = Path(file)
    try:
        if target.exists() and not target.is_file():
            yield target
            return
        with tempfile.TemporaryDirectory(
            prefix=".sightsound-", dir=target.absolute().parent, ignore_cleanup_errors=True
        ) as folder:
            part = Path(folder, target.name)
            yield part
            replace(part, target)
    except OSError as error:
        raise _refused(file, error.strerror or str(error)) from error


def replace(part: Path, target: Path) -> None:
    """Rename `part` to `target` on the same file system; the content survives a power failure from then on."""
    with part.open("r+b") as written:
        os.fsync(written.fileno())
    os.replace(part, target)
    if os.name == "posix":
        folder = os.open(target.absolute().parent, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some network file systems cannot sync a folder
                os.fsync(folder)
        finally:
            os.close(folder)


def _refused(file: PathLike, why: str) -> SightsoundError:
    return SightsoundError(f"{os.fspath(file)}: cannot be written ({why}); name another place")
