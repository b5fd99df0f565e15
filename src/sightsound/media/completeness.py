"""Whether a recording is as long as its container says. Decoders return what is there without a word.

Only containers whose lengths are reliable are examined. A length that a program writes before it knows it, as into a
pipe, says nothing.
"""

from __future__ import annotations

import io
import itertools
import os
import struct
from collections.abc import Callable, Iterator

from sightsound.media.decoders import Decoder

MARGIN = 0.01
"""The part that may be missing: programs round lengths, and encoders add and remove a little silence."""

_UNKNOWN_SIZES = range(0x7FFF_0000, 2**32)  # written by programs that cannot go back to the header
_OGG_PAGE = struct.Struct(
    "<4sBBqIIIB"
)  # RFC 3533: capture pattern, version, flags, granule position, serial number, ...
_OGG_LARGEST_PAGE = 65_307
_OGG_FIRST, _OGG_LAST = 2, 4  # flags of the first and the last page of a stream
_GUID_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"  # of Sony Wave64


def is_cut(file: io.FileIO, kind: str, decoder: Decoder) -> bool:
    """Return whether a file ends, or its decoder ended, before the end that the file announces.

    Parameters
    ----------
    file : io.FileIO
        The file. Its position moves.
    kind : str
        The name of its kind.
    decoder : Decoder
        It has decoded the file to the end.

    Returns
    -------
    bool
        False also where nothing is known.
    """
    try:
        size = os.fstat(file.fileno()).st_size
        if kind in _ENDS:
            end = _ENDS[kind](file)
            return end is not None and size < end * (1 - MARGIN)
        if kind == "Ogg":
            return _is_ogg_cut(file, size, decoder)
        return kind == "MP3" and _counts_frames(file) and decoder.decoded < decoder.announced * (1 - MARGIN)
    except (OSError, ValueError, ArithmeticError, struct.error):  # damage that the decoder did not mind
        return False


def _read(file: io.FileIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def _chunks(file: io.FileIO, offset: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the size and the offset of the content of each chunk of a RIFF or IFF file."""
    for _ in range(1000):
        head = _read(file, offset, 8)
        if len(head) < 8:
            return
        name, size = struct.unpack(order + "4sI", head)
        yield name, size, offset + 8
        offset += 8 + size + size % 2


def _end_of_wav(file: io.FileIO) -> int | None:
    size64 = 0
    order = ">" if _read(file, 0, 4) == b"RIFX" else "<"
    for name, size, offset in _chunks(file, 12, order):
        if name == b"ds64":
            (size64,) = struct.unpack("<8xQ", _read(file, offset, 16))
        if name == b"data" and size == 0xFFFFFFFF and size64:
            return offset + size64 if size64 < 2**62 else None
        if name == b"data":
            return None if size in _UNKNOWN_SIZES else offset + size
    return None


def _end_of_iff(file: io.FileIO) -> int | None:
    for name, size, offset in _chunks(file, 12, ">"):
        if name in (b"SSND", b"BODY"):
            return None if size in _UNKNOWN_SIZES else offset + size
    return None


def _end_of_wave64(file: io.FileIO) -> int | None:
    offset = 40
    for _ in range(1000):
        head = _read(file, offset, 24)
        if len(head) < 24:
            return None
        name, size = struct.unpack("<16sQ", head)  # the size has the header in it
        if name == _GUID_DATA:
            return offset + size if size < 2**62 else None
        offset += max(24, size + -size % 8)
    return None


def _end_of_au(file: io.FileIO) -> int | None:
    magic, offset, size = struct.unpack(">4sII", _read(file, 0, 12))
    if magic != b".snd":
        offset, size = struct.unpack("<II", struct.pack(">II", offset, size))
    return None if size in _UNKNOWN_SIZES else offset + size


_ENDS: dict[str, Callable[[io.FileIO], int | None]] = {
    "WAV": _end_of_wav,
    "AIFF": _end_of_iff,
    "IFF": _end_of_iff,
    "Wave64": _end_of_wave64,
    "AU": _end_of_au,
}
"""Where the samples end by the header, as an offset in the file; None if the header does not know."""


def _counts_frames(file: io.FileIO) -> bool:
    """Return whether an MP3 has a header that counts its frames; else their number is an estimate."""
    start = 0
    head = _read(file, 0, 10)
    if head[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << 7 * i for i, byte in enumerate(reversed(head[6:10])))
    first = _read(file, start, 256)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def _is_ogg_cut(file: io.FileIO, size: int, decoder: Decoder) -> bool:
    """Return whether the last page is not the last of its stream, belongs to a later stream, or counts more frames."""
    head = _read(file, 0, 4 * _OGG_LARGEST_PAGE)
    beginning = list(_ogg_pages(head))
    pages = list(_ogg_pages(_read(file, max(0, size - 2 * _OGG_LARGEST_PAGE), 2 * _OGG_LARGEST_PAGE)))
    if not beginning or not pages:
        return bool(beginning)
    group = list(itertools.takewhile(lambda page: page[0] & _OGG_FIRST, beginning))  # first pages of all streams
    streams, later = {serial for _, _, serial in group}, beginning[len(group) :]
    flags, last, serial = pages[-1]
    if serial not in streams or not flags & _OGG_LAST or any(page[0] & _OGG_FIRST for page in later):
        return True
    first = next((granule for _, granule, of in beginning if of == serial and granule > 0), last)
    rate = 48_000 if b"OpusHead" in head[:100] else decoder.sample_rate  # Opus counts at 48 kHz (RFC 7845)
    return len(streams) == 1 and decoder.decoded / decoder.sample_rate < (last - first) / rate * (1 - MARGIN)


def _ogg_pages(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield flags, granule position and serial number of the pages in a part of an Ogg file."""
    at = content.find(b"OggS")
    while at >= 0 and len(content) - at >= _OGG_PAGE.size:
        _, version, flags, granule, serial, *_ = _OGG_PAGE.unpack_from(content, at)
        if version == 0:
            yield flags, granule, serial
        at = content.find(b"OggS", at + 4)
