"""Raw pictures and TIFF files as cameras write them, made from the published structures."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

import fact_files

BYTE, ASCII, SHORT, LONG, RATIONAL = 1, 2, 3, 4, 5


def jpeg(width: int, height: int, seed: int = 0) -> bytes:
    """A JPEG of smooth colours."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    made = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(made, "JPEG", quality=95)
    return made.getvalue()


class Written:
    """A TIFF file in the making: blobs first, directories behind them (TIFF 6.0, section 2)."""

    def __init__(self, order: str = "<", magic: int = 42, head: bytes = b"") -> None:
        self.order = order
        self.data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", magic, 0) + head)

    def add(self, blob: bytes) -> int:
        self.data += b"\0" * (len(self.data) % 2)
        self.data += blob
        return len(self.data) - len(blob)

    def directory(self, *fields: tuple[int, int, object], following: int = 0) -> int:
        entries = b""
        for tag, kind, value in sorted(fields):
            numbers = value if isinstance(value, tuple) else (value,)
            count = len(value) if isinstance(value, bytes) else len(numbers) // (2 if kind == RATIONAL else 1)
            code = {BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "I"}.get(kind)
            data = value if isinstance(value, bytes) else struct.pack(f"{self.order}{len(numbers)}{code}", *numbers)
            content = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(self.order + "I", self.add(data))
            entries += struct.pack(self.order + "HHI", tag, kind, count) + content
        return self.add(struct.pack(self.order + "H", len(fields)) + entries + struct.pack(self.order + "I", following))

    def save(self, path: Path, first: int) -> Path:
        struct.pack_into(self.order + "I", self.data, 4, first)
        path.write_bytes(self.data)
        return path


SENSOR = [(256, SHORT, 64), (257, SHORT, 48), (258, SHORT, 16), (259, SHORT, 1), (262, SHORT, 32803), (277, SHORT, 1)]
CAMERA = [(271, ASCII, b"Maker\0"), (272, ASCII, b"Maker One\0")]
BIG, SMALL = jpeg(120, 80), jpeg(32, 24, 1)


def exif_of(made: Written) -> tuple[int, int, object]:
    return 0x8769, LONG, made.directory((0x9003, ASCII, b"2026:05:01 04:12:09\0"))


def dng(path: Path, order: str = "<", orientation: int = 1) -> Path:
    """An RGB thumbnail, and below it the sensor and the preview as a strip."""
    made = Written(order)
    strip, preview = made.add(bytes(range(192))), made.add(BIG)
    sensor = made.directory(*SENSOR, (273, LONG, made.add(bytes(64 * 48 * 2))), (279, LONG, 64 * 48 * 2))
    shown = [(254, LONG, 1), (256, SHORT, 120), (257, SHORT, 80), (259, SHORT, 7), (262, SHORT, 6)]
    large = made.directory(*shown, (273, LONG, preview), (279, LONG, len(BIG)))
    main = [(254, LONG, 1), (256, SHORT, 8), (257, SHORT, 8), (259, SHORT, 1), (262, SHORT, 2), (273, LONG, strip)]
    more = [
        (279, LONG, 192),
        (274, SHORT, orientation),
        exif_of(made),
        (50706, LONG, 0x0401),
        (330, LONG, (sensor, large)),
    ]
    return made.save(path, made.directory(*main, *CAMERA, *more))


def nef(path: Path) -> Path:
    """The preview of a directory below, as JPEGInterchangeFormat, and a small one in the second directory."""
    made = Written(">")
    large = made.directory((259, SHORT, 6), (513, LONG, made.add(BIG)), (514, LONG, len(BIG)))
    small = made.directory((259, SHORT, 6), (513, LONG, made.add(SMALL)), (514, LONG, len(SMALL)))
    sensor = [(259, SHORT, 34713), (262, SHORT, 32803), *CAMERA]
    return made.save(path, made.directory(*sensor, exif_of(made), (330, LONG, large), following=small))


def cr2(path: Path) -> Path:
    """The preview as the strip of the first directory; the sensor as a lossless JPEG, which is larger."""
    made = Written(head=b"CR\2\0" + bytes(4))
    lossless = b"\xff\xd8" + fact_files.segment(0xC3, struct.pack(">BHHB", 14, 4000, 6000, 1) + b"\0" * 3) + bytes(99)
    sensor = made.directory((259, SHORT, 6), (273, LONG, made.add(lossless)), (279, LONG, len(lossless)))
    fields = [(259, SHORT, 6), *CAMERA, (273, LONG, made.add(BIG)), (279, LONG, len(BIG)), exif_of(made)]
    return made.save(path, made.directory(*fields, following=sensor))


def raf(path: Path) -> Path:
    picture = fact_files.photo(path.with_name("inner.jpg"), "2026:05:01 04:12:09", camera=("Maker", "Maker One"))
    data = picture.read_bytes()
    picture.unlink()
    path.write_bytes(b"FUJIFILMCCD-RAW 0201".ljust(84, b"\0") + struct.pack(">II", 200, len(data)) + bytes(108) + data)
    return path


def rw2(path: Path) -> Path:
    made = Written(magic=0x55)
    first = made.directory(*CAMERA, exif_of(made), (0x2E, ASCII, BIG))
    return made.save(path, first)


PLACE = (
    *((1, ASCII, b"S\0"), (2, RATIONAL, (33, 1, 51, 1, 4680, 100)), (3, ASCII, b"E\0")),
    *((4, RATIONAL, (151, 1, 12, 1, 3096, 100)), (5, BYTE, 0), (6, RATIONAL, (345, 10))),
)
"""33 degrees 51' 46.80" S, 151 degrees 12' 30.96" E, 34.5 m."""
MIDDLE = jpeg(60, 40, 2)
CANON = bytes.fromhex("85c0b687820f11e08111f4ce462b6a48")
"""The identifier of the box with Canon's own boxes."""


def arw(path: Path, orientation: int = 1) -> Path:
    """As Sony writes it: a preview in the first directory, a thumbnail in the second, a full picture in the third."""
    made = Written()

    def picture(blob: bytes) -> list[tuple[int, int, object]]:
        return [(259, SHORT, 6), (513, LONG, made.add(blob)), (514, LONG, len(blob))]

    full = made.directory((254, LONG, 0), *picture(BIG))
    thumbnail = made.directory((254, LONG, 1), *picture(SMALL), following=full)
    strip = [(273, LONG, made.add(bytes(999))), (279, LONG, 999)]
    sensor = made.directory((259, SHORT, 32767), (262, SHORT, 32803), *strip)
    camera = [(271, ASCII, b"SONY\0"), (272, ASCII, b"ILCE-7M3\0"), (274, SHORT, orientation)]
    when = made.directory((0x9003, ASCII, b"2026:05:01 04:12:09\0"), (0x9011, ASCII, b"+02:00\0"))
    parts = [(0x8769, LONG, when), (0x8825, LONG, made.directory(*PLACE)), (330, LONG, sensor)]
    first = made.directory((254, LONG, 1), *picture(MIDDLE), *camera, *parts, following=thumbnail)
    return made.save(path, first)


def box(name: bytes, *contents: bytes, large: bool = False) -> bytes:
    """A box of ISO/IEC 14496-12; `large` has its size in 64 bits."""
    content = b"".join(contents)
    if large:
        return struct.pack(">I4sQ", 1, name, 16 + len(content)) + content
    return struct.pack(">I4s", 8 + len(content), name) + content


def block(*fields: tuple[int, int, object]) -> bytes:
    """A TIFF block with one directory."""
    made = Written()
    first = made.directory(*fields)
    struct.pack_into("<I", made.data, 4, first)
    return bytes(made.data)


def track(offset: int, size: int, same: bool) -> bytes:
    """A track of one sample."""
    sizes = struct.pack(">III", 0, size, 1) if same else struct.pack(">IIII", 0, 0, 1, size)
    places = box(b"stsz", sizes), box(b"co64", struct.pack(">IIQ", 0, 1, offset))
    return box(b"trak", box(b"tkhd", bytes(84)), box(b"mdia", box(b"minf", box(b"stbl", *places))))


def cr3(path: Path, orientation: int = 1, full: bytes = BIG, preview: bytes = MIDDLE) -> Path:
    """As Canon writes it: EXIF in four blocks, a thumbnail and a preview in boxes, a full picture in a track."""
    camera = block((271, ASCII, b"Canon\0"), (272, ASCII, b"Canon EOS R6\0"), (274, SHORT, orientation))
    when = block((0x9003, ASCII, b"2026:05:01 04:12:09\0"), (0x9011, ASCII, b"+02:00\0"))
    blocks = [box(b"CMT1", camera), box(b"CMT2", when), box(b"CMT3", block((1, SHORT, 7))), box(b"CMT4", block(*PLACE))]
    head = struct.pack(">IHHIHH", 0, 32, 24, len(SMALL), 1, 0)
    own = box(b"uuid", CANON, box(b"CNCV", b"CanonCR3_001/00.09.00/00.00.00"), *blocks, box(b"THMB", head, SMALL))
    shown = box(b"PRVW", struct.pack(">IHHHHI", 0, 1, 60, 40, 1, len(preview)), preview)
    packets = [
        box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), fact_files.xmp("owl")),
        box(b"uuid", bytes.fromhex("eaf42b5e1c984b88b9fbb7dc406e4d16"), struct.pack(">II", 0, 1), shown),
    ]
    kind = box(b"ftyp", b"crx \0\0\0\1crx isom")

    def before(at: int) -> bytes:
        tracks = track(at, len(full), True), track(at + len(full), 400, False)
        return kind + box(b"moov", own, box(b"mvhd", bytes(100)), *tracks) + b"".join(packets)

    start = len(before(0)) + 16
    path.write_bytes(before(start) + box(b"mdat", full, bytes(range(200)) * 2, large=True))
    return path


THUMBNAIL = np.random.default_rng(3).integers(0, 256, (96, 128, 3), np.uint8)


def bitmap_dng(path: Path, orientation: int = 1) -> Path:
    """A DNG that LibRaw reads, whose only picture is RGB without compression: `THUMBNAIL`."""
    made, (width, height) = Written(), (256, 192)
    strip, data = made.add(THUMBNAIL.tobytes()), bytes(2 * width * height)
    grid = [(256, SHORT, width), (257, SHORT, height), (258, SHORT, 16), (259, SHORT, 1), (262, SHORT, 32803)]
    rows = [(273, LONG, made.add(data)), (277, SHORT, 1), (278, SHORT, height), (279, LONG, len(data))]
    pattern = [(33421, SHORT, (2, 2)), (33422, BYTE, (0, 1, 1, 2)), (50714, LONG, 0), (50717, LONG, 65535)]
    sensor = made.directory((254, LONG, 0), *grid, *rows, *pattern)
    main = [(254, LONG, 1), (256, SHORT, 128), (257, SHORT, 96), (258, SHORT, (8, 8, 8)), (259, SHORT, 1)]
    main += [(262, SHORT, 2), (273, LONG, strip), (277, SHORT, 3), (278, SHORT, 96), (279, LONG, THUMBNAIL.nbytes)]
    more = [(274, SHORT, orientation), exif_of(made), (50706, BYTE, (1, 4, 0, 0)), (50708, ASCII, b"Maker One\0")]
    return made.save(path, made.directory(*main, *CAMERA, *more, (330, LONG, sensor)))


def without_preview(path: Path) -> Path:
    made = Written()
    return made.save(path, made.directory(*SENSOR, *CAMERA, (273, LONG, 8), (279, LONG, 99)))
