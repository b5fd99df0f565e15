"""Where the formats of images keep their EXIF, XMP and IPTC blocks."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sightsound.media.tiff import Tiff

MAX_BLOCK = 2**24
"""Bytes of a block that is read."""

_MAX_STEPS = 10_000  # segments or chunks that are passed over
_XMP_TAG, _IPTC_TAG, _PHOTOSHOP_TAG = 700, 33723, 34377
_EXIF_HEAD, _XMP_HEAD, _PHOTOSHOP_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0"
_PNG_XMP = b"XML:com.adobe.xmp"


@dataclass
class Blocks:
    """The blocks of metadata in an image.

    Attributes
    ----------
    exif : Tiff or None
        The EXIF block.
    xmp : bytes
        The XMP packet, empty without one.
    iptc : bytes
        The records of IPTC-IIM, empty without them.
    """

    exif: Tiff | None = None
    xmp: bytes = b""
    iptc: bytes = b""


def find_blocks(file: io.FileIO, kind: str) -> Blocks:
    """Return the blocks of metadata in an image.

    Parameters
    ----------
    file : io.FileIO
        The file. Its position moves.
    kind : str
        The name of its kind.

    Raises
    ------
    ValueError, struct.error, OSError
        If they are damaged.
    """
    found = Blocks()
    _READERS.get(kind, _nothing)(file, found)
    return found


def _nothing(file: io.FileIO, found: Blocks) -> None:
    pass


def _read(file: io.FileIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size) or b""


def _jpeg(file: io.FileIO, found: Blocks) -> None:
    """Look into the segments before the first scan (ITU-T T.81, B.1)."""
    offset, photoshop = 2, b""
    for _ in range(_MAX_STEPS):
        head = _read(file, offset, 4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xDA, 0xD9):
            break
        if head[1] == 0xFF:  # filled up
            offset += 1
            continue
        size = int.from_bytes(head[2:], "big")
        if head[1] in (0xE1, 0xED):
            data = _read(file, offset + 4, size - 2)
            if data.startswith(_EXIF_HEAD) and found.exif is None:
                found.exif = Tiff(data[len(_EXIF_HEAD) :])
            elif data.startswith(_XMP_HEAD):
                found.xmp = found.xmp or data[len(_XMP_HEAD) :]
            elif data.startswith(_PHOTOSHOP_HEAD):
                photoshop += data[len(_PHOTOSHOP_HEAD) :]
        offset += 2 + size
    found.iptc = _of_photoshop(photoshop)


def _of_photoshop(data: bytes) -> bytes:
    """Return the IPTC records among the resources of Photoshop: those of number 0x0404."""
    offset = 0
    while data[offset : offset + 4] == b"8BIM" and len(data) >= offset + 8:
        (number,) = struct.unpack(">H", data[offset + 4 : offset + 6])
        name = data[offset + 6] + 1
        at = offset + 6 + name + name % 2
        size = int.from_bytes(data[at : at + 4], "big")
        if number == 0x0404:
            return data[at + 4 : at + 4 + size]
        offset = at + 4 + size + size % 2
    return b""


def _png(file: io.FileIO, found: Blocks) -> None:
    """Look into the chunks `eXIf` and `iTXt`, which may stand behind the pixels (PNG 3, section 11.3)."""
    offset = 8
    for _ in range(_MAX_STEPS):
        head = _read(file, offset, 8)
        if len(head) < 8:
            return
        size, name = struct.unpack(">I4s", head)
        if name == b"eXIf" and size <= MAX_BLOCK:
            found.exif = Tiff(_read(file, offset + 8, size))
        elif name == b"iTXt" and size <= MAX_BLOCK and (data := _read(file, offset + 8, size)).startswith(_PNG_XMP):
            found.xmp = _text_of_png(data)
        offset += 12 + size


def _text_of_png(data: bytes) -> bytes:
    compressed = data[len(_PNG_XMP) + 1 : len(_PNG_XMP) + 2] == b"\1"
    text = data[len(_PNG_XMP) + 3 :].split(b"\0", 2)[-1]  # behind the language and the translated keyword
    if not compressed:
        return text
    try:
        return zlib.decompressobj().decompress(text, MAX_BLOCK)
    except zlib.error as error:
        raise ValueError("XMP that is not compressed as it says") from error


def riff_chunks(file: io.FileIO, offset: int = 12, end: int = 2**62) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the size and the offset of the content of each chunk of a RIFF file."""
    for _ in range(_MAX_STEPS):
        head = _read(file, offset, 8) if offset < end else b""
        if len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        yield name, size, offset + 8
        offset += 8 + size + size % 2


def _webp(file: io.FileIO, found: Blocks) -> None:
    for name, size, offset in riff_chunks(file):
        if name in (b"EXIF", b"XMP ") and size <= MAX_BLOCK:
            data = _read(file, offset, size)
            if name == b"EXIF":
                found.exif = Tiff(data.removeprefix(_EXIF_HEAD))  # some programs write the head of JPEG
            else:
                found.xmp = data


def _tiff(file: io.FileIO, found: Blocks) -> None:
    found.exif = tiff = Tiff(file)
    main = tiff.first()
    found.xmp = tiff.data(main, _XMP_TAG, MAX_BLOCK)
    found.iptc = tiff.data(main, _IPTC_TAG, MAX_BLOCK) or _of_photoshop(tiff.data(main, _PHOTOSHOP_TAG, MAX_BLOCK))
    entry = main.get(_IPTC_TAG)
    if not found.iptc and entry is not None and 0 < entry.size <= MAX_BLOCK:  # it is often written as type LONG
        found.iptc = tiff.read(entry.offset, entry.size)


_READERS: dict[str, Callable[[io.FileIO, Blocks], None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
}
