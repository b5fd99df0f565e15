"""How a weight file is identified: by its SHA-256, or by its git blob id if only that is published."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from sightsound.contract.card import WeightFile

SHA256 = re.compile("[0-9a-f]{64}")
SHA1 = re.compile("[0-9a-f]{40}")


def expected(file: WeightFile) -> str:
    """Return what the content must be, as `SHA-256 ...` or `git blob ...`; "" if nothing is published."""
    if file.sha256:
        return f"SHA-256 {file.sha256.lower()}"
    return f"git blob {file.git_blob.lower()}" if file.git_blob else ""


def actual(path: Path, file: WeightFile) -> str:
    """Return what the content is, in the terms of `expected`.

    Parameters
    ----------
    path : pathlib.Path
        A local file.
    file : WeightFile
        Its published hash decides which one is computed.
    """
    if file.git_blob and not file.sha256:
        return f"git blob {_remembered(git_blob, path)}"
    return f"SHA-256 {remembered_sha256(path)}"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob(path: Path) -> str:
    """Return the git blob id of a file: the SHA-1 of `blob <size>`, a zero byte and the content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def remembered_sha256(path: Path) -> str:
    """Return `sha256(path)`; a process computes it again only if the file changes on disk."""
    return _remembered(sha256, path)


def _remembered(hashing: Callable[[Path], str], path: Path) -> str:
    stat = path.stat()
    return _hash(hashing, path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))


@functools.lru_cache(maxsize=1024)
def _hash(hashing: Callable[[Path], str], path: Path, state: tuple[int, ...]) -> str:
    return hashing(path)
