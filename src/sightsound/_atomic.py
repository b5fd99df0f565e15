"""Atomic writes: a file or a folder appears under its name when it is complete, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import LIBRARY_FILE, LIBRARY_FILES, PathLike

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FOLDERS = 100
"""How many processes can write the same file at once, each in a folder whose name is found again."""


def check_writable(file: PathLike) -> None:
    """Raise `SightsoundError` if `atomic_path` would not write this file.

    Call it before a long computation, so that a wrong path is reported at once.
    """
    _require_no_library_file(file)
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


def _require_no_library_file(file: PathLike) -> None:
    """Raise `SightsoundError` if a file is, or would be, one of the files of a library, which only it may write."""
    for path in (os.path.abspath(file), os.path.realpath(file)):
        folder, name = os.path.split(path)
        if name.lower().startswith(LIBRARY_FILES) and os.path.lexists(os.path.join(folder, LIBRARY_FILE)):
            what = f"has the name of a file of the library {os.path.basename(folder)}"
            raise SightsoundError(f"{os.fspath(file)}: {what}, and would damage it; name another place")


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
        A path with the same file name in a private folder beside `file`. The folder is removed in any case; what a
        killed process left of it is removed when the same file is written again.

    Raises
    ------
    SightsoundError
        If the file cannot be written, or is one of a library. An existing `file` is unchanged then.
    """
    _require_no_library_file(file)
    target = Path(file)
    try:
        if target.exists() and not target.is_file():
            yield target
            return
        with _private_folder(target.absolute()) as folder:
            part = folder / target.name
            yield part
            replace(part, target)
    except OSError as error:
        raise _refused(file, error.strerror or str(error)) from error


@contextlib.contextmanager
def atomic_folder(folder: PathLike) -> Iterator[Path]:
    """Yield a new folder to write to, and rename it to `folder` when the block ends without an error.

    Parameters
    ----------
    folder : path-like
        The folder to create.

    Yields
    ------
    pathlib.Path
        A folder of the same name in a private folder beside it. Both are removed in any other case; what a killed
        process left of them is removed when the same folder is written again.

    Raises
    ------
    SightsoundError
        If `folder` has files, which are left as they are, or cannot be written.
    """
    target = Path(folder)
    try:
        with _private_folder(target.absolute()) as private:
            if target.exists() and (not target.is_dir() or any(target.iterdir())):
                raise SightsoundError(f"{target}: expected a new or empty folder; name another place")
            part = private / target.absolute().name
            part.mkdir()
            yield part
            os.replace(part, target)
            sync_folder(target.absolute().parent)
    except OSError as error:
        raise _refused(folder, error.strerror or str(error)) from error


@contextlib.contextmanager
def _private_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target` that no other process uses, and remove it at the end.

    Its name follows from that of `target`, so that one left by a killed process is found again. It is locked while it
    is used; the lock ends with its process.
    """
    digest = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
    for number in range(_FOLDERS):
        folder = target.with_name(f".sightsound-{digest}-{number}")
        with _lock(folder, target.name) as ours:
            if ours:
                try:
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                return
    with tempfile.TemporaryDirectory(prefix=".sightsound-", dir=target.parent, ignore_cleanup_errors=True) as random:
        yield Path(random)


@contextlib.contextmanager
def _lock(folder: Path, name: str) -> Iterator[bool]:
    """Create a folder, or take one that a killed process left, and yield whether this process may use it."""
    if fcntl is None:
        yield False
        return
    created = True
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        created = False
    with contextlib.ExitStack() as opened:
        try:
            number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # removed since, a link, or not ours
            yield False
            return
        opened.callback(os.close, number)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            ours = False
        except OSError:  # some network file systems cannot lock a folder
            ours = created
        else:
            ours = _is_emptied(number, folder, name)
        yield ours


def _is_emptied(number: int, folder: Path, name: str) -> bool:
    """Remove the unfinished file or folder `name` from a locked folder; return whether that is ours, and now empty."""
    opened = os.fstat(number)
    try:
        if not os.path.samestat(opened, os.lstat(folder)):
            return False  # another process removed it before it was locked here
        if opened.st_uid != os.geteuid() or opened.st_mode & 0o077 or not {name}.issuperset(os.listdir(number)):
            return False
        for left in os.listdir(number):
            if stat.S_ISDIR(os.lstat(left, dir_fd=number).st_mode):
                shutil.rmtree(left, dir_fd=number)
            else:
                os.unlink(left, dir_fd=number)
    except OSError:
        return False
    return True


def replace(part: Path, target: Path) -> None:
    """Rename `part` to `target` on the same file system; the content survives a power failure from then on."""
    with part.open("r+b") as written:
        os.fsync(written.fileno())
    os.replace(part, target)
    sync_folder(target.absolute().parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power failure, where the system and the medium can."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems cannot sync a folder
            os.fsync(number)
    finally:
        os.close(number)


def _refused(file: PathLike, why: str) -> SightsoundError:
    return SightsoundError(f"{os.fspath(file)}: cannot be written ({why}); name another place")
