"""What runtimes have compiled: the folder in the cache, which is listed, cleared, and kept below a size."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 4 * 2**30
"""Bytes of compiled networks that are kept; beyond them, those that were not used for the longest time are removed."""
ABOUT = "about.json"
"""The file that says of which network a folder is. Its time is that of the last use."""


@dataclass(frozen=True)
class CompiledFiles:
    """A network that a runtime has compiled.

    Parameters
    ----------
    network : str
        The name of its space, "" if it is not known.
    runtime : str
        The runtime, its version, and for what it was compiled.
    size : int
        Bytes.
    used : float
        Time of the last use, in seconds since 1970.
    folder : pathlib.Path
        Where it is.
    """

    network: str
    runtime: str
    size: int
    used: float
    folder: Path


def compiled_files(folder: Path) -> list[CompiledFiles]:
    """Return the networks that runtimes have compiled, the last used one first.

    Parameters
    ----------
    folder : pathlib.Path
        Where they are: `Host().weights.compiled_folder`.

    Returns
    -------
    list of CompiledFiles
    """
    found = [_described(place) for space in _folders(folder) for place in _folders(space)]
    return sorted(found, key=lambda each: -each.used)


def note_use(place: Path, network: str) -> None:
    """Note that a compiled network is used now; where that cannot be written, nothing is noted."""
    file = place / ABOUT
    with contextlib.suppress(OSError):
        if file.exists():
            os.utime(file)
        else:
            file.write_text(json.dumps({"network": network}), encoding="utf-8")


def trim(folder: Path, kept: Path, most: int = MOST_BYTES) -> None:
    """Remove the networks that were not used for the longest time, until the rest has at most so many bytes.

    Parameters
    ----------
    folder : pathlib.Path
        The folder with all compiled networks.
    kept : pathlib.Path
        That of a network that stays.
    most : int
        Bytes.
    """
    total = 0
    for each in compiled_files(folder):
        total += each.size
        if total > most and each.folder != kept:
            remove_compiled(each)


def remove_compiled(files: CompiledFiles) -> bool:
    """Remove a compiled network, which is compiled again when it is needed.

    Parameters
    ----------
    files : CompiledFiles
        One of `compiled_files`.

    Returns
    -------
    bool
        Whether it is gone. It stays while it is being compiled.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(f"{files.folder}.lock", timeout=0)
    try:
        with lock:
            shutil.rmtree(files.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.unlink(lock.lock_file)
    except (Timeout, OSError):
        return False
    with contextlib.suppress(OSError):
        files.folder.parent.rmdir()  # if it was the last of its space
    return not files.folder.exists()


def _described(place: Path) -> CompiledFiles:
    network, used = "", 0.0
    with contextlib.suppress(OSError, ValueError, AttributeError):
        about = place / ABOUT
        used = about.stat().st_mtime
        network = str(json.loads(about.read_text(encoding="utf-8")).get("network", ""))
    return CompiledFiles(network, place.name, sum(_sizes(place)), used, place)


def _sizes(place: Path) -> Iterator[int]:
    for root, _, names in os.walk(place):
        for name in names:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(root, name)).st_size


def _folders(place: Path) -> list[Path]:
    try:
        return [each for each in sorted(place.iterdir()) if each.is_dir() and not each.is_symlink()]
    except OSError:
        return []
