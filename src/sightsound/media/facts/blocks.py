"""Where the formats of images keep their EXIF, XMP and IPTC blocks."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from sightsound.media.boxes import Stretch, boxes
from sightsound.media.cr3 import Cr3, is_cr3
from sightsound.media.raw import RAF
from sightsound.media.tiff import Tiff

BinaryFile = io.FileIO | io.BytesIO

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
    apart : mapping of int to Tiff
        Parts of EXIF that stand in blocks of their own, by the tags that point to them elsewhere.
    xmp : bytes
        The XMP packet, empty without one.
    iptc : bytes
        The records of IPTC-IIM, empty without them.
    """

    exif: Tiff | None = None
    apart: Mapping[int, Tiff] = field(default_factory=dict)
    xmp: bytes = b""
    iptc: bytes = b""


def find_blocks(file: BinaryFile, kind: str) -> Blocks:
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


def _nothing(file: BinaryFile, found: Blocks) -> None:
    pass


def _read(file: BinaryFile, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size) or b""


def _jpeg(file: BinaryFile, found: Blocks) -> None:
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


def _png(file: BinaryFile, found: Blocks) -> None:
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


def riff_chunks(file: BinaryFile, offset: int = 12, end: int = 2**62) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the size and the offset of the content of each chunk of a RIFF file."""
    for _ in range(_MAX_STEPS):
        head = _read(file, offset, 8) if offset < end else b""
        if len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        yield name, size, offset + 8
        offset += 8 + size + size % 2


def _webp(file: BinaryFile, found: Blocks) -> None:
    for name, size, offset in riff_chunks(file):
        if name in (b"EXIF", b"XMP ") and size <= MAX_BLOCK:
            data = _read(file, offset, size)
            if name == b"EXIF":
                found.exif = Tiff(data.removeprefix(_EXIF_HEAD))  # some programs write the head of JPEG
            else:
                found.xmp = data


def _tiff(file: BinaryFile, found: Blocks) -> None:
    found.exif = tiff = Tiff(file)
    main = tiff.first()
    found.xmp = tiff.data(main, _XMP_TAG, MAX_BLOCK)
    found.iptc = tiff.data(main, _IPTC_TAG, MAX_BLOCK) or _of_photoshop(tiff.data(main, _PHOTOSHOP_TAG, MAX_BLOCK))
    entry = main.get(_IPTC_TAG)
    if not found.iptc and entry is not None and 0 < entry.size <= MAX_BLOCK:  # it is often written as type LONG
        found.iptc = tiff.read(entry.offset, entry.size)


def _raw(file: BinaryFile, found: Blocks) -> None:
    head = _read(file, 0, 92)
    if is_cr3(head):
        picture = Cr3(file)
        found.exif, found.xmp = picture.exif, picture.xmp(MAX_BLOCK)
        found.apart = picture.parts
        return
    if not head.startswith(RAF):
        _tiff(file, found)
        return
    data = _read(file, int.from_bytes(head[84:88], "big"), min(int.from_bytes(head[88:92], "big"), MAX_BLOCK))
    if data.startswith(b"\xff\xd8"):
        _jpeg(io.BytesIO(data), found)


def _heif(file: BinaryFile, found: Blocks) -> None:
    """Look for the items `Exif` and `mime` (ISO/IEC 14496-12, 8.11, and 23008-12, annex A)."""
    for name, offset, size in boxes(file):
        if name == b"meta" and size <= MAX_BLOCK:
            kinds, places = dict[int, bytes](), dict[int, list[tuple[int, int]]]()
            for inner, start, length in boxes(file, Stretch(offset + 4, offset + size)):
                data = _read(file, start, length)
                if inner == b"iinf":
                    kinds = _item_kinds(data)
                elif inner == b"iloc":
                    places = _item_places(data)
            for item, kind in kinds.items():
                if sum(length for _, length in places.get(item, [])) <= MAX_BLOCK:
                    content = b"".join(_read(file, start, length) for start, length in places.get(item, []))
                    if kind == b"Exif" and len(content) > 4:
                        found.exif = Tiff(content[4 + int.from_bytes(content[:4], "big") :])
                    elif kind == b"mime" and b"<x:xmpmeta" in content:
                        found.xmp = content
            return


def _item_kinds(data: bytes) -> dict[int, bytes]:
    """Return the kind of each item, of entries of version 2 and 3."""
    found = {}
    inside = io.BytesIO(data)
    first = 6 if data[:1] == b"\0" else 8
    for name, start, size in boxes(inside, Stretch(first, len(data))):
        entry = data[start : start + size]
        if name == b"infe" and entry[:1] in (b"\2", b"\3"):
            width = 2 if entry[0] == 2 else 4
            found[int.from_bytes(entry[4 : 4 + width], "big")] = entry[6 + width : 10 + width]
    return found


def _item_places(data: bytes) -> dict[int, list[tuple[int, int]]]:
    """Return the offsets and sizes of the parts of each item that stand in the file itself."""
    version, sizes = data[0], data[4:6]
    widths = [sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4, sizes[1] & 15 if version else 0]
    at, found = 6, dict[int, list[tuple[int, int]]]()

    def number(width: int) -> int:
        nonlocal at
        if at + width > len(data):
            raise ValueError("expected more in a list of places")
        at += width
        return int.from_bytes(data[at - width : at], "big")

    for _ in range(min(number(4 if version == 2 else 2), _MAX_STEPS)):
        item = number(4 if version == 2 else 2)
        method = number(2) & 15 if version else 0
        number(2)  # of another file; 0 is this one
        base = number(widths[2])
        parts = []
        for _ in range(min(number(2), _MAX_STEPS)):
            number(widths[3])
            start = base + number(widths[0])
            parts.append((start, number(widths[1])))
        if method == 0:
            found[item] = parts
    return found


_READERS: dict[str, Callable[[BinaryFile, Blocks], None]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "TIFF": _tiff,
    "raw": _raw,
    "HEIC": _heif,
    "AVIF": _heif,
}
