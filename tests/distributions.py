"""Installing the distributions of tests/dists, and others: once for each content."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import filelock

DISTS = Path(__file__).parent / "dists"
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
BUILT = ("build", "*.egg-info", "__pycache__")


def installed(source: Path, cache: Path) -> Path:
    """Return a folder for `sys.path` where the distribution in `source` is installed.

    It is kept in `cache` under the hash of its files, and shared by the processes that run the tests.
    """
    folder = cache / f"{source.name}-{_hash(source)}"
    with filelock.FileLock(cache / "lock"):
        if not folder.exists():
            _install(source, folder)
    return folder


def together(folders: Sequence[Path], place: Path) -> Path:
    """Return one folder for `sys.path` with what is in all of `folders`: itself where it is one, else `place`."""
    if len(folders) == 1:
        return folders[0]
    place.mkdir(parents=True)
    for folder in folders:
        for entry in (entry for entry in folder.iterdir() if entry.name != "__pycache__"):
            (place / entry.name).symlink_to(entry)
    return place


def _hash(source: Path) -> str:
    content = hashlib.sha256(repr((sys.version, sys.executable)).encode())
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if name not in BUILT and not name.endswith(".egg-info"))
        for name in sorted(files):
            path = Path(folder, name)
            content.update(f"{path.relative_to(source)}\n".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def _install(source: Path, folder: Path) -> None:
    """Build a wheel of a copy, since setuptools builds in the source, and unpack it: a third of the time of pip.

    `folder` appears when it is whole.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
        copy, target = Path(draft, "source"), Path(draft, "site")
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns(*BUILT))
        words = [sys.executable, "-c", BUILD, draft]
        done = subprocess.run(words, cwd=copy, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (wheel,) = Path(draft).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(target)
        target.rename(folder)
