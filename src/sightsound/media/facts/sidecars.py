"""Sidecar files: XMP beside a file, named `photo.jpg.xmp` or `photo.xmp`, which other programs read and write too."""

from __future__ import annotations

import os
from pathlib import Path

from sightsound.contract.errors import MediaError
from sightsound.contract.paths import PathLike, printable
from sightsound.media.facts import xmp
from sightsound.media.safe_open import open_file

MAX_BYTES = 2**24
"""The size of a sidecar file that is read."""

ENDINGS = (".xmp", ".XMP")


def existing(file: PathLike) -> list[Path]:
    """Return the sidecar files that a file has: that of its whole name, then that of its name without the ending."""
    path = Path(file)
    if path.suffix.lower() == ".xmp":
        return []
    names = [path.with_name(stem + ending) for stem in (path.name, path.stem) for ending in ENDINGS]
    found: list[Path] = []
    for name in names:
        if os.path.isfile(name) and not any(os.path.samefile(name, other) for other in found):
            found.append(name)
    return found


def read_packet(sidecar: PathLike) -> bytes:
    """Return the XML of a sidecar file; raise `MediaError` if it cannot be read or is too large."""
    with open_file(sidecar) as file:
        data = file.read(MAX_BYTES + 1) or b""
    if len(data) > MAX_BYTES:
        raise MediaError(f"{printable(sidecar)}: expected a sidecar file of at most 16 MiB, got more; leave it out")
    return data


def keywords(sidecar: PathLike) -> list[str]:
    """Return the keywords of a sidecar file.

    Raises
    ------
    MediaError
        If it cannot be read.
    XmpError
        If it is no XMP.
    """
    return xmp.keywords(read_packet(sidecar))
