"""HEIC, and the previews of raw pictures."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fact_files
from sightsound import media
from sightsound.contract.errors import MediaError
from sightsound.contract.results import Item
from sightsound.media.facts.read import read_file_facts
from sightsound.media.facts.times import TimeRules

SHORT, LONG, ASCII = 3, 4, 2


def jpeg(width: int, height: int, seed: int = 0) -> bytes:
    """A JPEG of smooth colours."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    made = io.BytesIO()
    Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(made, "JPEG", quality=95)
    return made.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def refusal(file: Path) -> str:
    """Why an image is not read; empty if it is."""
    try:
        media.read_image(file)
    except MediaError as error:
        return str(error)
    return ""


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
            data = value if isinstance(value, bytes) else struct.pack(self.order + "HHI"[kind - 2], value)
            count = len(data) if kind == ASCII else 1
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
    both = made.add(struct.pack(order + "II", sensor, large))
    main = [(254, LONG, 1), (256, SHORT, 8), (257, SHORT, 8), (259, SHORT, 1), (262, SHORT, 2), (273, LONG, strip)]
    more = [(279, LONG, 192), (274, SHORT, orientation), exif_of(made), (50706, LONG, 0x0401), (330, LONG, both)]
    first = made.directory(*main, *CAMERA, *more)
    at = made.data.index(struct.pack(order + "HHI", 330, LONG, 1))
    struct.pack_into(order + "I", made.data, at + 4, 2)  # two offsets, which stand elsewhere
    return made.save(path, first)


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


@pytest.mark.parametrize("write", [dng, nef, cr2, rw2])
def test_the_largest_preview_of_a_raw_picture_is_read(tmp_path, write):
    file = write(tmp_path / f"a.{write.__name__}")
    assert media.identify(file) == "image"
    image = media.read_image(file)
    np.testing.assert_array_equal(image.pixels, decoded(BIG))
    assert [image.facts[key] for key in ("format", "width", "height")] == ["raw", 120, 80]
    facts = read_file_facts(Item(str(tmp_path), file.name), TimeRules("Europe/Berlin"))
    assert (facts["recorded"], facts["camera"]) == ("2026-05-01T04:12:09+02:00", "Maker One")


def test_the_preview_of_a_raf(tmp_path):
    file = raf(tmp_path / "a.raf")
    assert media.read_image(file).pixels.shape == (20, 24, 3)
    assert read_file_facts(Item(str(tmp_path), "a.raf"))["recorded"] == "2026-05-01T04:12:09"


def test_a_preview_is_turned_as_the_raw_picture_says(tmp_path):
    image = media.read_image(dng(tmp_path / "a.dng", ">", orientation=6))
    np.testing.assert_array_equal(image.pixels, decoded(BIG).transpose(1, 0, 2)[:, ::-1])


def test_a_preview_may_be_decoded_at_a_part_of_its_size(tmp_path):
    image = media.read_image(dng(tmp_path / "a.dng"), shortest=40)
    assert image.pixels.shape == (40, 60, 3) and image.facts["width"] == 120


def test_other_tiff_files_are_no_raw_pictures(tmp_path):
    file = fact_files.photo(tmp_path / "a.tif", camera=("Canon", "Canon Scan"))
    image = media.read_image(file)
    assert image.facts["format"] == "TIFF" and image.pixels.shape == (20, 24, 3)


def without_preview(path: Path) -> Path:
    made = Written()
    return made.save(path, made.directory(*SENSOR, *CAMERA, (273, LONG, 8), (279, LONG, 99)))


@pytest.mark.parametrize("head", [b"\0\0\0\x18ftypcrx ", b"IIRO\x08\0\0\0", b"IIU\0\x18\0\0\0", b"FUJIFILMCCD-RAW "])
def test_a_raw_picture_without_a_preview_names_the_package(tmp_path, monkeypatch, head):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "a.raw").write_bytes(head + bytes(200))
    without_preview(tmp_path / "b.dng")
    for name in ("a.raw", "b.dng"):
        assert media.identify(tmp_path / name) == "image"
        with pytest.raises(MediaError, match=r"rawpy alone; run `pip install sightsound\[raw\]`"):
            media.read_image(tmp_path / name)


def test_rawpy_is_asked_where_there_is_no_preview(tmp_path):
    pytest.importorskip("rawpy", reason="rawpy is not installed (the extra raw)")
    with pytest.raises(MediaError, match="without a preview that can be read"):
        media.read_image(without_preview(tmp_path / "a.dng"))


@pytest.mark.parametrize("write", [dng, nef, cr2, raf, rw2])
def test_damage_is_one_line(tmp_path, monkeypatch, write):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    file = write(tmp_path / "a.raw")
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    for at in [*range(8, 300, 13), *range(len(whole) - 400, len(whole), 31)]:
        for damaged in (whole[:at], whole[:at] + random.bytes(6) + whole[at + 6 :]):
            file.write_bytes(damaged)
            read_file_facts(Item(str(tmp_path), file.name))
            assert "\n" not in refusal(file)


# -- HEIC --------------------------------------------------------------------------------------------------------


def heic(path: Path, orientation: int = 1) -> np.ndarray:
    """Write a HEIC file with EXIF and XMP, and return the pixels that it was made of."""
    package = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed (the extra heic)")
    pixels = decoded(jpeg(96, 64))
    exif = Image.Exif()
    exif[0x0112], exif[0x0110] = orientation, "Phone"
    exif._ifds[0x8769] = {0x9003: "2026:05:01 04:12:09", 0x9011: "+02:00"}
    made = package.from_pillow(Image.fromarray(pixels))
    made.save(path, quality=-1, exif=exif.tobytes(), xmp=fact_files.xmp("owl"), chroma=444)
    return pixels


def test_heic_is_read_with_its_facts(tmp_path):
    pixels = heic(tmp_path / "a.heic")
    assert media.identify(tmp_path / "a.heic") == "image"
    image = media.read_image(tmp_path / "a.heic")
    assert image.pixels.shape == pixels.shape and image.facts["format"] == "HEIF"
    assert np.abs(image.pixels.astype(int) - pixels).mean() < 3
    facts = read_file_facts(Item(str(tmp_path), "a.heic"))
    assert (facts["recorded"], facts["camera"], facts["keywords"]) == ("2026-05-01T04:12:09+02:00", "Phone", ["owl"])


def test_avif_has_facts(tmp_path):
    file = fact_files.photo(tmp_path / "a.avif", "2026:05:01 04:12:09", place=(52.5, 13.4))
    facts = read_file_facts(Item(str(tmp_path), file.name))
    assert (facts["recorded"], facts["latitude"]) == ("2026-05-01T04:12:09", 52.5)


def test_damaged_heic_is_one_line(tmp_path):
    heic(tmp_path / "a.heic")
    whole = (tmp_path / "a.heic").read_bytes()
    for at in range(24, min(len(whole), 900), 37):
        for damaged in (whole[:at], whole[:at] + bytes([255] * 4) + whole[at + 4 :]):
            (tmp_path / "a.heic").write_bytes(damaged)
            read_file_facts(Item(str(tmp_path), "a.heic"))
            assert "\n" not in refusal(tmp_path / "a.heic")
