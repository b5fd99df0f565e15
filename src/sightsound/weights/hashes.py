"""How a weight file is identified: by its SHA-256, by its git blob id if only that is published, or by its name.

PyTorch's publishers put the first digits of the SHA-256 into the name (`resnet18-f37072fd.pth`), as torch.hub and
torchvision do. These digits reveal damage and mix-ups. They are too few against a forger, so the SHA-256 of the first
download is noted as for a file without any hash.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from sightsound.contract.card import WeightFile

SHA256 = re.compile("[0-9a-f]{64}")
SHA1 = re.compile("[0-9a-f]{40}")
_IN_NAME = re.compile(r".+-([0-9a-f]{8,64})\.(pth|pt|pth\.tar)")
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")


def is_published(file: WeightFile) -> bool:
    """Return whether a complete hash of the file is published."""
    return bool(file.sha256 or file.git_blob)


def identity(file: WeightFile) -> str:
    """Return what is known of the content: "SHA-256", "git blob", "digits in its name" or "taken on first use".

    A file of the last kind is accepted as it is when it is first fetched, and must be the same later.
    """
    if is_published(file):
        return "SHA-256" if file.sha256 else "git blob"
    return "digits in its name" if digits_in_name(file) else "taken on first use"


def digits_in_name(file: WeightFile) -> str:
    """Return the first digits of the SHA-256 that the name states, "" if it states none or a hash is published."""
    match = _IN_NAME.fullmatch(file.name)
    if is_published(file) or match is None or _DATE.fullmatch(match[1]):
        return ""
    return match[1]


def expected(file: WeightFile) -> str:
    """Return what the content must be, as `SHA-256 ...` or `git blob ...`; "" if nothing is known."""
    if file.sha256:
        return f"SHA-256 {file.sha256.lower()}"
    if file.git_blob:
        return f"git blob {file.git_blob.lower()}"
    digits = digits_in_name(file)
    return f"SHA-256 {digits}..." if digits else ""


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
    digest, digits = remembered_sha256(path), digits_in_name(file)
    return f"SHA-256 {digest[: len(digits)]}..." if digits else f"SHA-256 {digest}"


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
