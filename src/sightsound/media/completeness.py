"""Whether a recording is as long as its container says. Decoders return what is there without a word.

Only containers whose lengths are reliable are examined. A length that a program writes before it knows it, as into a
pipe, says nothing.
"""

from __future__ import annotations

import io
import itertools
import math
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sightsound.media.decoders import Decoder

MARGIN = 0.01
"""The part that may be missing, up to 16 KiB or a second: programs round lengths, and encoders add a little silence."""

_MARGIN_BYTES, _MARGIN_SECONDS, _SILENCE = 2**14, 1.0, 0.1  # silence: what encoders add at the start, in seconds
_UNKNOWN_SIZES = range(0x7FFF_0000, 2**32)  # written by programs that cannot go back to the header
# RFC 3533: capture pattern, version, flags, granule position, serial number, page number, checksum, segments
_OGG_PAGE = struct.Struct("<4sBBqIIIB")
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
            return end is not None and end - size > min(MARGIN * end, _MARGIN_BYTES)
        if kind == "Ogg":
            return _is_ogg_cut(file, size, decoder)
        counts = _COUNTS.get(kind)
        return counts is not None and counts(file) and _lacks(decoder, decoder.announced / decoder.sample_rate)
    except (OSError, ValueError, ArithmeticError, struct.error):  # damage that the decoder did not mind
        return False


def _lacks(decoder: Decoder, seconds: float, margin: float = MARGIN) -> bool:
    """Return whether less was decoded than so many seconds."""
    return seconds - decoder.decoded / decoder.sample_rate > min(margin * seconds, _MARGIN_SECONDS) + _SILENCE


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


def _end_of_caf(file: io.FileIO) -> int | None:
    offset = 8
    for _ in range(1000):
        head = _read(file, offset, 12)
        if len(head) < 12:
            return None
        name, size = head[:4], int.from_bytes(head[4:], "big", signed=True)
        if name == b"data":  # -1: the data reach to the end of the file
            return offset + 12 + size if size >= 0 else None
        offset += 12 + max(0, size)
    return None


def _end_of_voc(file: io.FileIO) -> int | None:
    """Return the end of the last block that the file names. A complete file ends with a block of type 0."""
    offset = int.from_bytes(_read(file, 20, 2), "little")
    for _ in range(1000):
        head = _read(file, offset, 4)
        if len(head) < 4 or head[0] == 0:
            return offset + len(head[:1])
        offset += 4 + int.from_bytes(head[1:], "little")
    return None


def _end_of_nist(file: io.FileIO) -> int | None:
    head = _read(file, 0, 1024)
    numbers: list[tuple[bytes, bytes]] = re.findall(rb"(?m)^(sample_count|sample_n_bytes|channel_count) -i (\d+)", head)
    if len(numbers) != 3 or b"sample_coding -s3 pcm" not in head:  # other codings are compressed
        return None
    size: int = math.prod(int(number) for _, number in numbers)
    return int(head[8:16]) + size


def _end_of_avr(file: io.FileIO) -> int | None:
    stereo, bits, frames = struct.unpack(">12xHH10xI", _read(file, 0, 30))
    samples: int = frames * (2 if stereo else 1) * bits // 8
    return 128 + samples


def _end_of_avi(file: io.FileIO) -> int | None:
    size = int.from_bytes(_read(file, 4, 4), "little")
    return None if size in _UNKNOWN_SIZES else 8 + size


def _end_of_mpeg4(file: io.FileIO) -> int | None:
    """Return the end of the last box at the top level that begins in the file."""
    offset = 0
    for _ in range(100_000):
        head = _read(file, offset, 16)
        if len(head) < 8:
            return offset
        (size,) = struct.unpack(">I", head[:4])
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">8xQ", head)
        if size < 8:  # 0: it reaches to the end of the file
            return None
        offset += size
        if offset > 2**62:
            return None
    return None


_ENDS: dict[str, Callable[[io.FileIO], int | None]] = {
    "WAV": _end_of_wav,
    "AIFF": _end_of_iff,
    "IFF": _end_of_iff,
    "Wave64": _end_of_wave64,
    "AU": _end_of_au,
    "CAF": _end_of_caf,
    "VOC": _end_of_voc,
    "NIST": _end_of_nist,
    "AVR": _end_of_avr,
    "AVI": _end_of_avi,
    "MPEG-4": _end_of_mpeg4,
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


def _has_duration(file: io.FileIO) -> bool:
    """Return whether a Matroska file states its duration, as a number of 4 or 8 bytes; a live recording does not."""
    return re.search(rb"\x44\x89[\x84\x88]", _read(file, 0, 4096)) is not None


_COUNTS: dict[str, Callable[[io.FileIO], bool]] = {"MP3": _counts_frames, "Matroska/WebM": _has_duration}
"""Whether what the decoder announces comes from the header, and is not an estimate."""


def _is_ogg_cut(file: io.FileIO, size: int, decoder: Decoder) -> bool:
    """Return whether a page is missing, is not of the streams that begin the file, or counts more than was decoded."""
    pages = _ogg_pages(file, size)
    beginning = list(itertools.islice(pages, 64))
    group = list(itertools.takewhile(lambda page: page.flags & _OGG_FIRST, beginning))  # first pages of all streams
    if not group:
        return False
    numbers, last = {page.serial: page.number for page in group}, group[-1]
    for page in itertools.chain(beginning[len(group) :], pages):
        if page.serial not in numbers or page.flags & _OGG_FIRST or page.number != numbers[page.serial] + 1:
            return True
        numbers[page.serial], last = page.number, page
    if last.end != size or not last.flags & _OGG_LAST or len(group) > 1:
        return last.end != size or not last.flags & _OGG_LAST
    first = next((page for page in beginning if page.granule > 0), last)
    head = _read(file, 0, 64)
    rate = 48_000 if b"OpusHead" in head else decoder.sample_rate  # Opus counts at 48 kHz (RFC 7845)
    skipped = 0 if first.granule <= first.packets * _longest_packet(head) else first.granule
    return _lacks(decoder, (last.granule - skipped) / rate, 0)


def _longest_packet(head: bytes) -> int:
    """Return how many samples a packet of an Ogg stream has at most; 0 for a codec that is not known."""
    if b"OpusHead" in head:
        return 5760
    at = head.find(b"\x01vorbis")
    return 1 << (head[at + 28] >> 4) - 1 if at >= 0 else 0  # half of the larger block: blocks overlap


@dataclass(frozen=True)
class _OggPage:
    """The header of a page. `granule` counts the samples until its end; a stream numbers its pages."""

    flags: int
    granule: int
    serial: int
    number: int
    packets: int
    end: int


def _ogg_pages(file: io.FileIO, size: int) -> Iterator[_OggPage]:
    """Yield the pages of an Ogg file until the first byte that belongs to no page."""
    offset = 0
    while offset < size:
        head = _read(file, offset, _OGG_PAGE.size + 255)
        if len(head) < _OGG_PAGE.size or not head.startswith(b"OggS\0"):
            return
        _, _, flags, granule, serial, number, _, segments = _OGG_PAGE.unpack_from(head)
        lengths = head[_OGG_PAGE.size : _OGG_PAGE.size + segments]
        offset += _OGG_PAGE.size + segments + sum(lengths)
        yield _OggPage(flags, granule, serial, number, segments - lengths.count(255), offset)
