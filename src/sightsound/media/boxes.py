"""The boxes of ISO base media files, which HEIC and CR3 are too (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

_MAX_BOXES = 10_000  # in one place

BinaryFile = io.FileIO | io.BytesIO


class Stretch(NamedTuple):
    """Where boxes stand: the offset of the first, and the one behind the last."""

    start: int
    stop: int


def boxes(file: BinaryFile, inside: Stretch | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each box, the offset of its content and the size of it.

    A box that would reach beyond the end of what it stands in is the last one, and cut off there; so is one of the size
    0, which says this of itself. One that is smaller than its own head ends it.

    Parameters
    ----------
    file : binary file
        Its position moves.
    inside : Stretch or None
        Where to look; None for the whole file.

    Yields
    ------
    name : bytes
        Four bytes.
    offset, size : int
        Where the content is.
    """
    end = file.seek(0, io.SEEK_END)
    offset, stop = inside or Stretch(0, end)
    stop = min(stop, end)
    for _ in range(_MAX_BOXES):
        file.seek(offset)
        head = (file.read(16) or b"") if offset + 8 <= stop else b""
        if len(head) < 8:
            return
        (size, name), skipped = struct.unpack(">I4s", head[:8]), 8
        if size == 1 and len(head) == 16:
            (size,), skipped = struct.unpack(">Q", head[8:]), 16
        if size == 0:
            size = stop - offset
        if size < skipped:
            return
        size = min(size, stop - offset)
        yield name, offset + skipped, max(0, size - skipped)
        offset += size
