"""The folder of fetched weight files, each stored as `<SHA-256>/<file name>`.

Files with the same name do not collide, and a copy of the folder can be used in SIGHTSOUND_WEIGHTS on another machine.
`first-seen/` holds the hashes of files for which none is published, `.fetching/` the locks and unfinished downloads.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sightsound import _atomic
from sightsound.contract.card import WeightFile
from sightsound.weights.hashes import SHA256, digits_in_name, expected, is_published, remembered_sha256, sha256

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedFile:
    """A file of the cache.

    Parameters
    ----------
    path : pathlib.Path
        Where it is.
    sha256 : str
        The SHA-256 that it had when it was stored.
    got : str
        The SHA-256 that it has now, "" if it cannot be read.
    """

    path: Path
    sha256: str
    got: str

    @property
    def ok(self) -> bool:
        """Whether the content is unchanged."""
        return self.sha256 == self.got


class Cache:
    """The cache in a folder, which is created when the first file is fetched.

    Parameters
    ----------
    folder : pathlib.Path
        The folder; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def candidates(self, file: WeightFile) -> list[tuple[Path, str]]:
        """Return the paths where the file may be, each with what its content must be as in `hashes.expected`."""
        if file.git_blob and not file.sha256:
            return [(path, expected(file)) for path in files_named(file.name, self.folder)]
        digest = file.sha256.lower() or self.first_seen(file)
        path = self.folder / digest / file.name
        return [(path, f"SHA-256 {digest}")] if digest and path.is_file() else []

    def note(self, file: WeightFile) -> Path:
        """Return the path of the note with the hash of a file for which none is published."""
        return self.folder / "first-seen" / _key(file)

    def first_seen(self, file: WeightFile) -> str:
        """Return the SHA-256 that such a file had when it was first fetched, "" if it was not fetched yet.

        A note that contradicts the digits in the file's name is ignored.
        """
        try:
            digest = self.note(file).read_text().partition(" ")[0]
        except OSError:
            return ""
        return digest if SHA256.fullmatch(digest) and digest.startswith(digits_in_name(file)) else ""

    def store(self, part: Path, file: WeightFile) -> Path:
        """Move a verified download to its final place and return that path.

        Parameters
        ----------
        part : pathlib.Path
            The download, in the folder that `fetching` gave.
        file : WeightFile
            What it is. If no hash is published, the hash of the download is noted.

        Raises
        ------
        OSError
            If the cache cannot be written.
        """
        digest = remembered_sha256(part)
        path = self.folder / digest / file.name
        _move(part, path)
        if not is_published(file):
            part.write_text(f"{digest}  {file.name}\n")
            _move(part, self.note(file))
        return path

    def verify(self) -> Iterator[CachedFile]:
        """Yield every file of the cache with its hash computed anew."""
        for path in sorted(self.folder.glob("*/*")):
            if SHA256.fullmatch(path.parent.name):
                try:
                    yield CachedFile(path, path.parent.name, sha256(path))
                except OSError:
                    yield CachedFile(path, path.parent.name, "")

    @contextlib.contextmanager
    def fetching(self, file: WeightFile) -> Iterator[Path]:
        """Yield an empty folder for the download of a file, to one process at a time.

        Other processes wait, after a warning. The lock ends with its process; what a killed process left in the folder
        is removed by the next one.
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
            _remove_leftovers(work)
            work.mkdir(exist_ok=True)
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            lock.release()


def files_named(name: str, folder: Path) -> list[Path]:
    """Return the files of a name in a folder and in its subfolders, one level deep."""
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []
    return [path / name for path in (folder, *below) if (path / name).is_file()]


def _key(file: WeightFile) -> str:
    """Return a file name that identifies a weight file: a published hash, or a hash of its name and sources."""
    sources = hashlib.sha256("\n".join((file.name, *file.sources)).encode()).hexdigest()
    return file.sha256.lower() or file.git_blob.lower() or sources


def _remove_leftovers(work: Path) -> None:
    """Remove `work` and all folders beside it that no process has locked."""
    from filelock import FileLock, Timeout

    shutil.rmtree(work, ignore_errors=True)
    for folder in (path for path in work.parent.iterdir() if path.is_dir()):
        with contextlib.suppress(Timeout), FileLock(f"{folder}.lock", timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


def _move(part: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    _atomic.replace(part, path)
