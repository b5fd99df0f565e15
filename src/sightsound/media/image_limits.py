"""Bounds on what a small file can cost: memory of concurrent decoders, scans of a JPEG, frames that are counted."""

from __future__ import annotations

import contextlib
import io
import re
import struct
import threading
from collections.abc import Callable, Iterator

import numpy as np

DECODING_BYTES = 1_500_000_000
"""Memory that images under way share over all threads; one alone may take more."""

MAX_SCANS = 100
"""Scans of a JPEG that is read. Programs write about 10. An empty one has 100 bytes and takes 1 ms a megapixel."""

MAX_FRAMES = 10_000
"""Frames that are counted."""

_MAX_STEPS = 1_000_000  # blocks of a GIF that are passed over: 250 MB

_BYTES_PER_PIXEL = {"WEBP": 20, "JPEG2000": 20}
"""Memory at the peak of a decoder of Pillow, with our own copy of the pixels."""

_OTHER_BYTES_PER_PIXEL = 12

_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
"""The start of a scan in JPEG (ITU-T T.81, B.2.3): marker, length, number of components."""

_CHUNK = 2**18  # small enough for the cache of a core


class DecodingMemory:
    """Memory that the threads of the process share.

    Parameters
    ----------
    size : int
        In bytes.
    """

    def __init__(self, size: int) -> None:
        self._size, self._used, self._changed = size, 0, threading.Condition()

    @contextlib.contextmanager
    def reserved(self, kind: str, pixels: int) -> Iterator[None]:
        """Wait until there is room to decode an image; one that alone takes more waits until it is alone."""
        count = pixels * _BYTES_PER_PIXEL.get(kind, _OTHER_BYTES_PER_PIXEL)
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + count <= self._size)
            self._used += count
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()


def scan_sizes(file: io.BufferedIOBase) -> list[int]:
    """Return the number of components in each scan of a JPEG, also of a small image inside its metadata."""
    file.seek(0)
    sizes: list[int] = []
    kept = b""
    while chunk := file.read(_CHUNK):
        text = kept + chunk
        if _has_marker(text):
            sizes += [start[-1] for start in _SCAN.findall(text)]
        kept = chunk[-4:]  # the start of a scan has five bytes
    return sizes


def _has_marker(text: bytes) -> bool:
    """Return whether FF DA is in a text; on the bytes of a JPEG a third of the time of `in`, and far less than `re`."""
    values = np.frombuffer(text, np.uint8)
    return bool(((values[:-1] == 0xFF) & (values[1:] == 0xDA)).any())


def count_gif_frames(file: io.BufferedIOBase, most: int = MAX_FRAMES) -> int:
    """Return the number of frames of a GIF, at most `most`."""
    file.seek(0)
    head = file.read(13)
    _skip_colours(file, head[10])
    frames = 0
    for _ in range(_MAX_STEPS):
        block = file.read(1)
        if block == b"," and len(descriptor := file.read(9)) == 9:  # an image
            frames += 1
            _skip_colours(file, descriptor[8])
            file.seek(1, io.SEEK_CUR)
            _skip_blocks(file)
        elif block == b"!":  # an extension
            file.seek(1, io.SEEK_CUR)
            _skip_blocks(file)
        if block in (b"", b";") or frames >= most:
            break
    return max(1, frames)


def _skip_colours(file: io.BufferedIOBase, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << ((flags & 7) + 1), io.SEEK_CUR)


def _skip_blocks(file: io.BufferedIOBase) -> None:
    for _ in range(_MAX_STEPS):
        size = file.read(1)
        if size in (b"", b"\0"):
            return
        file.seek(size[0], io.SEEK_CUR)


def count_tiff_frames(file: io.BufferedIOBase, most: int = MAX_FRAMES) -> int:
    """Return the number of pages of a TIFF or BigTIFF, at most `most`."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(order + "H", head[2:4]) == (43,)
    counts, entry, offsets = (order + "Q", 20, order + "Q") if big else (order + "H", 12, order + "I")
    offset = struct.unpack_from(offsets, head, 8 if big else 4)[0]
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < most:
        file.seek(offset)
        count = _number(file, counts)
        if count is None:
            break
        seen.add(offset)
        file.seek(offset + struct.calcsize(counts) + count * entry)
        offset = _number(file, offsets) or 0
    return max(1, len(seen))


def _number(file: io.BufferedIOBase, form: str) -> int | None:
    """Return the next number of a file, or None at its end."""
    read = file.read(struct.calcsize(form))
    return int(struct.unpack(form, read)[0]) if len(read) == struct.calcsize(form) else None


COUNT_FRAMES: dict[str, Callable[[io.BufferedIOBase], int]] = {"GIF": count_gif_frames, "TIFF": count_tiff_frames}
"""Formats whose frames Pillow counts one by one, in minutes where there are very many."""
