"""Images and recordings with the metadata of cameras and recorders, made from the published specifications."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from made import RATE

XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4">'
    "<!-- mine -->{subject}</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end='w'?>"
)


def xmp(*keywords: str) -> bytes:
    """An XMP packet with a rating, a comment and these keywords, as XML."""
    items = "".join(f"<rdf:li>{each}</rdf:li>" for each in keywords)
    return XMP.format(subject=f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>" if keywords else "").encode()


def iptc(*keywords: bytes, utf8: bool = False) -> bytes:
    """Records of IPTC-IIM with these keywords."""
    sets = [(1, 90, b"\x1b%G")] if utf8 else []
    sets += [(2, 0, b"\0\4"), *((2, 25, each) for each in keywords)]
    return b"".join(struct.pack(">BBBH", 0x1C, record, number, len(data)) + data for record, number, data in sets)


def segment(marker: int, data: bytes) -> bytes:
    """A segment of JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def photoshop(records: bytes) -> bytes:
    """The segment APP13 of JPEG with IPTC records, behind another resource."""
    other = b"8BIM\x03\xed\0\0" + struct.pack(">I", 3) + b"abc\0"
    return segment(0xED, b"Photoshop 3.0\0" + other + b"8BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records)


def photo(
    path: Path,
    when: str | None = None,
    offset: str | None = None,
    place: tuple[float, float] | None = None,
    camera: tuple[str, str] | None = None,
    seed: int = 0,
    segments: bytes = b"",
    **options: Any,
) -> Path:
    """Write a picture of random pixels with EXIF; the ending of the name decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if camera:
        exif[0x010F], exif[0x0110] = camera
    fields = {0x9003: when, 0x9011: offset}
    exif._ifds[0x8769] = {tag: text for tag, text in fields.items() if text is not None}
    if place:
        signs = {1: "N" if place[0] >= 0 else "S", 3: "E" if place[1] >= 0 else "W"}
        exif._ifds[0x8825] = {**signs, 2: _parts(place[0]), 4: _parts(place[1]), 5: b"\0", 6: 34.5}
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(os.fspath(path), exif=exif.tobytes(), **options)
    if segments:
        data = path.read_bytes()
        path.write_bytes(data[:2] + segments + data[2:])
    return path


def _parts(degrees: float) -> tuple[float, float, float]:
    minutes = abs(degrees) % 1 * 60
    return float(int(abs(degrees))), float(int(minutes)), round(minutes % 1 * 60, 4)


def recording(path: Path, *chunks: tuple[bytes, bytes], seed: int = 0, seconds: float = 2.0) -> Path:
    """Write a WAV of 16 bits with some chunks before its samples (RIFF: name, size, content, filled up to even)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(-9000, 9000, round(seconds * RATE), np.int16).tobytes()
    form = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    parts = b"".join(chunk(*each) for each in [(b"fmt ", form), *chunks, (b"data", samples)])
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts)
    return path


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of RIFF."""
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def comment(text: str) -> tuple[bytes, bytes]:
    """The list `INFO` with a comment and an artist, as AudioMoth writes it."""
    return b"LIST", b"INFO" + chunk(b"ICMT", text.encode().ljust(384, b"\0")) + chunk(b"IART", b"AudioMoth".ljust(32))


def guano(**fields: str) -> tuple[bytes, bytes]:
    """A chunk of GUANO; underscores in the names stand for blanks."""
    lines = ["GUANO|Version: 1.0", *(f"{key.replace('_', ' ')}: {value}" for key, value in fields.items())]
    return b"guan", "\n".join(lines).encode()
