"""The folder where fetched weight files are kept, by what they are: `<sha256>/<file name>`.

Files of one name stay apart, and a copy of the folder serves in SIGHTSOUND_WEIGHTS on another machine. `first-seen/`
notes the hash of files for which nobody published one; `.fetching/` holds locks and what is on its way.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sightsound.contract.card import WeightFile

log = logging.getLogger(__name__)
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Kept:
    """A file of the cache: the SHA-256 that it was kept under and the one that it has now ("" where unreadable)."""

    path: Path
    sha256: str
    got: str

    @property
    def ok(self) -> bool:
        return self.sha256 == self.got


class Cache:
    """`folder` need not exist: nothing is made before something is fetched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def candidates(self, file: WeightFile) -> list[tuple[Path, str]]:
        """Files that could be this one, with what each must be, as `got` says it."""
        if file.git_blob and not file.sha256:
            return [(path, wanted(file)) for path in inside(self.folder, file.name)]
        digest = file.sha256.lower() or self.first_seen(file)
        path = self.folder / digest / file.name
        return [(path, f"SHA-256 {digest}")] if digest and path.is_file() else []

    def note(self, file: WeightFile) -> Path:
        """Where the hash of a file stands for which nobody published one."""
        return self.folder / "first-seen" / _key(file)

    def first_seen(self, file: WeightFile) -> str:
        """The SHA-256 that such a file had when it was first fetched, or ""."""
        try:
            digest = self.note(file).read_text().partition(" ")[0]
        except OSError:
            return ""
        return digest if SHA256.fullmatch(digest) else ""

    def keep(self, part: Path, file: WeightFile) -> Path:
        """Moves a checked and synced file under its final name, at once or not at all."""
        digest = remembered_sha256(part)
        path = self.folder / digest / file.name
        _move(part, path)
        if not wanted(file):
            part.write_text(f"{digest}  {file.name}\n")
            _move(part, self.note(file))
        return path

    def verify(self) -> Iterator[Kept]:
        """Hashes every file anew."""
        for path in sorted(self.folder.glob("*/*")):
            if SHA256.fullmatch(path.parent.name):
                try:
                    yield Kept(path, path.parent.name, sha256(path))
                except OSError:
                    yield Kept(path, path.parent.name, "")

    @contextlib.contextmanager
    def fetching(self, file: WeightFile) -> Iterator[Path]:
        """An empty folder for a file on its way. One process has it; others wait, with a warning that says so.

        The lock goes with its process however that ends, and the next to fetch removes what it left behind.
        """
        from filelock import FileLock, Timeout

        work = self.folder / ".fetching" / _key(file)
        work.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{work}.lock")
        try:
            lock.acquire(timeout=1)
        except Timeout:
            log.warning("%s: another process is fetching it; waiting", file.name)
            lock.acquire()
        try:
            _sweep(work)
            work.mkdir(exist_ok=True)
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            lock.release()


# -- what a file is --------------------------------------------------------------------------------------------------


def wanted(file: WeightFile) -> str:
    """What the file must be, in words that `got` uses too; "" where nothing is known."""
    if file.sha256:
        return f"SHA-256 {file.sha256.lower()}"
    return f"git blob {file.git_blob.lower()}" if file.git_blob else ""


def got(path: Path, file: WeightFile) -> str:
    """What the file at `path` is, in the terms in which it is known."""
    if file.git_blob and not file.sha256:
        return f"git blob {_remembered(git_blob, path)}"
    return f"SHA-256 {remembered_sha256(path)}"


def sha256(path: Path) -> str:
    """64 hexadecimal digits of the file as it is now."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob(path: Path) -> str:
    """The name that git gives to this content: SHA-1 over `blob <size>`, a zero byte, and the bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def remembered_sha256(path: Path) -> str:
    """`sha256`, worked out once in a process unless the file changes on disk."""
    return _remembered(sha256, path)


def _remembered(hashing: Callable[[Path], str], path: Path) -> str:
    stat = path.stat()
    return _hash(hashing, path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


@functools.lru_cache(maxsize=1024)
def _hash(hashing: Callable[[Path], str], path: Path, state: tuple[int, ...]) -> str:
    return hashing(path)


def _key(file: WeightFile) -> str:
    """A file name for what the card knows of the file."""
    sources = hashlib.sha256("\n".join((file.name, *file.sources)).encode()).hexdigest()
    return file.sha256.lower() or file.git_blob.lower() or sources


# -- folders ---------------------------------------------------------------------------------------------------------


def inside(folder: Path, name: str) -> list[Path]:
    """Files of this name in a folder and one level below it."""
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
    return [path / name for path in (folder, *below) if (path / name).is_file()]


def _sweep(work: Path) -> None:
    """Removes what killed processes left behind: `work`, and every folder beside it that nobody has locked."""
    from filelock import FileLock, Timeout

    shutil.rmtree(work, ignore_errors=True)
    for folder in (path for path in work.parent.iterdir() if path.is_dir()):
        with contextlib.suppress(Timeout), FileLock(f"{folder}.lock", timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


def _move(part: Path, path: Path) -> None:
    """Whole or not at all, and there after a power cut."""
    path.parent.mkdir(exist_ok=True)
    os.replace(part, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
