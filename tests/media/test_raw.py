"""HEIC, and the previews of raw pictures."""

from __future__ import annotations

import io
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fact_files
from raw_files import (
    BIG,
    CAMERA,
    CANON,
    LONG,
    MIDDLE,
    RATIONAL,
    SENSOR,
    SHORT,
    THUMBNAIL,
    Written,
    arw,
    bitmap_dng,
    box,
    cr2,
    cr3,
    dng,
    jpeg,
    nef,
    raf,
    rw2,
    without_preview,
)
from sightsound import media
from sightsound.contract.errors import MediaError
from sightsound.contract.results import Item
from sightsound.media.facts.read import read_file_facts
from sightsound.media.facts.times import TimeRules


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def refusal(file: Path) -> str:
    """Why an image is not read; empty if it is."""
    try:
        media.read_image(file)
    except MediaError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("write", [dng, nef, cr2, rw2])
def test_the_largest_preview_of_a_raw_picture_is_read(tmp_path, write):
    file = write(tmp_path / f"a.{write.__name__}")
    assert media.identify(file) == "image"
    image = media.read_image(file)
    np.testing.assert_array_equal(image.pixels, decoded(BIG))
    assert [image.facts[key] for key in ("format", "width", "height")] == ["raw", 120, 80]
    facts = read_file_facts(Item(str(tmp_path), file.name), TimeRules("Europe/Berlin"))
    assert (facts["recorded"], facts["camera"]) == ("2026-05-01T04:12:09+02:00", "Maker One")


@pytest.mark.parametrize(("write", "camera"), [(arw, "SONY ILCE-7M3"), (cr3, "Canon EOS R6")])
def test_pixels_and_facts_of_cameras_of_today(tmp_path, write, camera):
    file = write(tmp_path / f"a.{write.__name__}")
    image = media.read_image(file)
    np.testing.assert_array_equal(image.pixels, decoded(BIG))
    facts = read_file_facts(Item(str(tmp_path), file.name))
    assert (facts["recorded"], facts["time_zone"]) == ("2026-05-01T04:12:09+02:00", "+02:00")
    assert (facts["camera"], facts["altitude"]) == (camera, 34.5)
    assert (facts["latitude"], facts["longitude"]) == (-33.863, 151.2086)
    assert facts.get("keywords") == (["owl"] if write is cr3 else None) and "fact_notes" not in facts
    turned = media.read_image(write(tmp_path / "b.raw", orientation=8))
    np.testing.assert_array_equal(turned.pixels, decoded(BIG).transpose(1, 0, 2)[::-1])


def test_the_preview_of_a_cr3_without_a_full_picture(tmp_path):
    lossless = b"\xff\xd8" + fact_files.segment(0xC3, struct.pack(">BHHB", 14, 4000, 6000, 1) + b"\0" * 3) + bytes(99)
    image = media.read_image(cr3(tmp_path / "a.cr3", full=lossless))
    np.testing.assert_array_equal(image.pixels, decoded(MIDDLE))
    small = media.read_image(cr3(tmp_path / "b.cr3", full=b"no picture", preview=b"nor this"))
    assert small.pixels.shape == (24, 32, 3), "the thumbnail"


@pytest.mark.parametrize("write", [arw, cr3])
def test_raw_pictures_are_indexed_and_their_facts_are_filters(tmp_path, command, write):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.raw")
    whole = (tmp_path / "in" / "a.raw").read_bytes()
    (tmp_path / "in" / "cut.raw").write_bytes(whole[:200])
    done = command("index", tmp_path / "in", "-l", tmp_path / "lib", "-m", "colours.tiny")
    assert done.returncode == 1 and len(done.stderr.splitlines()) <= 2, done.stderr
    found = command("list", "-l", tmp_path / "lib", "--near", "-33.86,151.2,5km", "--hour", "4-5", "--json").stdout
    assert [each["path"] for each in json.loads(found)] == ["a.raw"]
    shown = command("facts", "-l", tmp_path / "lib", "--json")
    assert shown.returncode == 0 and "camera" in shown.stdout


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


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_picture_that_rawpy_finds_is_turned_as_the_file_says(tmp_path, orientation, turns):
    pytest.importorskip("rawpy", reason="rawpy is not installed (the extra raw)")
    image = media.read_image(bitmap_dng(tmp_path / "a.dng", orientation))
    np.testing.assert_array_equal(image.pixels, np.rot90(THUMBNAIL, turns))
    assert image.facts["format"] == "raw"
    facts = read_file_facts(Item(str(tmp_path), "a.dng"))
    assert (facts["recorded"], facts["camera"]) == ("2026-05-01T04:12:09", "Maker One")


@pytest.mark.parametrize("write", [dng, nef, cr2, raf, rw2, arw, cr3])
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


def hostile_tiffs():
    """Name -> the bytes of a TIFF-based raw picture whose structure is hostile."""
    found = {}

    def made(name, *fields, patches=()):
        """`patches` are a tag, the place in its field and a number; None stands for the offset of the directory."""
        file = Written()
        first = file.directory(*SENSOR, *CAMERA, *fields)
        struct.pack_into("<I", file.data, 4, first)
        for tag, place, number in patches:
            wanted, field = struct.pack("<H", tag), first + 2
            while file.data[field : field + 2] != wanted:
                field += 12
            struct.pack_into("<I", file.data, field + place, first if number is None else number)
        found[name] = bytes(file.data), first

    own = [(330, 8, None), (0x8769, 8, None)]
    made("sub-directory is the first one", (330, LONG, 0), (0x8769, LONG, 0), patches=own)
    made("sub-directory behind the end", (330, LONG, 2**32 - 1), (0x8825, LONG, 2**32 - 2))
    made("size of 4 GB", (513, LONG, 8), (514, LONG, 2**32 - 1))
    made("offset of 4 GB", (513, LONG, 2**32 - 1), (514, LONG, 1000))
    made("place that is no number", (330, RATIONAL, (1, 0)), (0x8769, RATIONAL, (1, 0)))
    made("orientation out of range", (274, SHORT, 65535), (513, LONG, 8), (514, LONG, 0))
    many = [(330, 4, 2**32 - 1), (0x8769, 4, 2**32 - 1), (271, 4, 2**32 - 1)]
    made("fields of 4 GB", (330, LONG, 0), (0x8769, LONG, 0), patches=many)
    made("next is the first")
    data, first = found["next is the first"]
    after = first + 2 + 12 * struct.unpack_from("<H", data, first)[0]
    found["next is the first"] = data[:after] + struct.pack("<I", first) + data[after + 4 :], first
    return {name: data for name, (data, _) in found.items()}


def hostile_cr3s(folder):
    """Name -> the bytes of a CR3 whose boxes are hostile."""
    whole = cr3(folder / "whole.cr3").read_bytes()
    kind, rest = whole[:24], whole[24:]
    assert rest[4:8] == b"moov"
    nested = box(b"moov")
    for _ in range(300):
        nested = box(b"moov", nested)
    return {
        "size 0": kind + struct.pack(">I4s", 0, b"moov"),
        "size 1, and no more": kind + struct.pack(">I4s", 1, b"moov"),
        "size 1, and one of 64 bits that is too large": kind + struct.pack(">I4sQ", 1, b"moov", 2**64 - 1),
        "size 1, and one of 64 bits that is too small": kind + struct.pack(">I4sQ", 1, b"moov", 3) + rest[8:],
        "size 4": kind + struct.pack(">I4s", 4, b"moov") + rest[8:],
        "size of 4 GB": kind + struct.pack(">I4s", 2**32 - 1, b"moov"),
        "deep boxes": kind + nested,
        "very many boxes": kind + box(b"free") * 20_000 + rest,
        "an identifier that is cut off": kind + box(b"uuid", CANON[:5]),
        "no blocks": kind + box(b"moov", box(b"uuid", CANON)),
        "blocks that are none": kind + box(b"moov", box(b"uuid", CANON, box(b"CMT1", b"II"), box(b"CMT2"))),
    }


@pytest.mark.parametrize("kind", ["TIFF", "CR3"])
def test_a_hostile_structure_is_one_line(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for name, data in (hostile_tiffs() if kind == "TIFF" else hostile_cr3s(tmp_path)).items():
        file = tmp_path / "a.raw"
        file.write_bytes(data)
        why = refusal(file)
        assert why.startswith(str(file)) and "\n" not in why and "; " in why, (name, why)
        facts = read_file_facts(Item(str(tmp_path), file.name))
        assert all("\n" not in note for note in facts.get("fact_notes", ())), name


def test_places_of_a_cr3_that_cannot_be_leave_the_preview(tmp_path):
    """Of its two pictures in tracks and its preview, those that stand beyond the end of the file are passed over."""
    whole = cr3(tmp_path / "a.cr3").read_bytes()
    for number in (2**32, 2**63, 2**64 - 1):
        at = whole.index(b"co64") + 12
        (tmp_path / "b.cr3").write_bytes(whole[:at] + struct.pack(">Q", number) + whole[at + 8 :])
        np.testing.assert_array_equal(media.read_image(tmp_path / "b.cr3").pixels, decoded(MIDDLE))
    at = whole.index(b"PRVW") - 4
    cut = whole[:at] + struct.pack(">I", 2**32 - 1) + whole[at + 4 :]
    (tmp_path / "c.cr3").write_bytes(cut)
    np.testing.assert_array_equal(media.read_image(tmp_path / "c.cr3").pixels, decoded(BIG))


def test_the_last_box_may_reach_to_the_end_of_the_file(tmp_path):
    whole = cr3(tmp_path / "a.cr3").read_bytes()
    at = whole.index(b"mdat") - 4
    (tmp_path / "b.cr3").write_bytes(whole[:at] + struct.pack(">I", 0) + whole[at + 4 :])
    np.testing.assert_array_equal(media.read_image(tmp_path / "b.cr3").pixels, decoded(BIG))


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


@pytest.mark.parametrize("name", [b"meta", b"iinf", b"iloc", b"mdat", b"ftyp"])
def test_heic_with_sizes_of_boxes_that_cannot_be_is_one_line(tmp_path, name):
    heic(tmp_path / "a.heic")
    whole = (tmp_path / "a.heic").read_bytes()
    at = whole.index(name) - 4
    for size in (0, 1, 4, 2**31, 2**32 - 1):
        (tmp_path / "b.heic").write_bytes(whole[:at] + struct.pack(">I", size) + whole[at + 4 :])
        assert "\n" not in refusal(tmp_path / "b.heic")
        facts = read_file_facts(Item(str(tmp_path), "b.heic"))
        assert all("\n" not in note for note in facts.get("fact_notes", ())), size
    assert read_file_facts(Item(str(tmp_path), "a.heic"))["camera"] == "Phone"
