"""What files say of themselves: EXIF, recorders, the names of files, time zones, keywords."""

from __future__ import annotations

import datetime as dt
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fact_files
from fact_files import comment, guano, photo, recording
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.media.facts.read import FILE_FACTS, read_file_facts
from sightsound.media.facts.times import TimeRules, changed_rules

BERLIN = TimeRules("Europe/Berlin")


def facts(path: Path, rules: TimeRules | None = None) -> dict[str, object]:
    found = read_file_facts(Item(str(path.parent), path.name), rules)
    assert set(found) <= set(FILE_FACTS)
    return found


# -- pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
def test_exif_gives_time_place_and_camera(tmp_path, ending):
    file = photo(tmp_path / f"a.{ending}", "2026:05:01 04:12:09", "+02:00", (52.52, -13.405), ("Canon", "Canon EOS R5"))
    found = facts(file)
    assert (found["recorded"], found["time_zone"], found["time_source"]) == (
        "2026-05-01T04:12:09+02:00",
        "+02:00",
        "exif",
    )
    assert found["latitude"] == pytest.approx(52.52, abs=1e-6) and found["longitude"] == pytest.approx(
        -13.405, abs=1e-6
    )
    assert found["altitude"] == 34.5 and found["camera"] == "Canon EOS R5"


def test_pillow_agrees_with_what_is_read(tmp_path):
    file = photo(tmp_path / "a.jpg", "2026:05:01 04:12:09", place=(-33.9, 18.4), camera=("NIKON", "D850"))
    with Image.open(file) as image:
        exif = image.getexif()
    gps, found = exif.get_ifd(0x8825), facts(file)
    assert gps[1] == "S" and found["latitude"] == pytest.approx(-sum(float(v) / 60**i for i, v in enumerate(gps[2])))
    assert found["recorded"] == dt.datetime.strptime(exif.get_ifd(0x8769)[0x9003], "%Y:%m:%d %H:%M:%S").isoformat()
    assert found["camera"] == f"{exif[0x10F]} {exif[0x110]}"


@pytest.mark.parametrize(
    "when", ["0000:00:00 00:00:00", "    :  :     :  :  ", "2026:13:01 00:00:00", "soon", "0001:01:01 00:00:00"]
)
def test_a_camera_without_a_clock_has_no_time(tmp_path, when):
    found = facts(photo(tmp_path / "a.jpg", when))
    assert "recorded" not in found
    noted = [f"EXIF: {when!r} is no time"] if set(when) & {"1", "2"} else []  # zeros and blanks stand for no clock
    assert found.get("fact_notes", []) == noted


def test_a_place_that_is_none_is_left_out(tmp_path):
    found = facts(photo(tmp_path / "a.jpg", place=(91.0, 13.0)))
    assert found == {"fact_notes": ["EXIF: its latitude and longitude are no place"]}
    file = photo(tmp_path / "b.jpg", place=(52.5, 13.5))
    data, degrees = file.read_bytes(), struct.pack(">II", 52, 1)
    assert data.count(degrees) == 1
    file.write_bytes(data.replace(degrees, bytes(8)))  # 0/0: no fix
    assert facts(file) == {}


def test_damaged_exif_is_noted_and_nothing_else_is_lost(tmp_path):
    file = photo(
        tmp_path / "a.jpg",
        "2026:05:01 04:12:09",
        camera=("Canon", "EOS"),
        segments=fact_files.photoshop(fact_files.iptc(b"owl")),
    )
    whole = file.read_bytes()
    at = whole.index(b"Exif\0\0") + 6
    file.write_bytes(whole[:at] + b"XX" + whole[at + 2 :])
    assert "damaged" in facts(file)["fact_notes"][0]
    for cut in range(at + 8, at + 120, 3):  # directories that lead beyond the end, or anywhere
        file.write_bytes(
            whole[:cut] + bytes(np.random.default_rng(cut).integers(0, 256, 8, np.uint8)) + whole[cut + 8 :]
        )
        facts(file)
    for cut in range(0, len(whole), 7):
        file.write_bytes(whole[:cut])
        facts(file)


def test_directories_in_a_circle_end(tmp_path):
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)  # the EXIF directory is the first one itself
    data = b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 8)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8" + fact_files.segment(0xE1, b"Exif\0\0" + data) + b"\xff\xd9")
    assert facts(tmp_path / "a.jpg") == {}


# -- recorders ---------------------------------------------------------------------------------------------------

MOTH = "Recorded at 19:00:00 21/02/2018 (UTC{}) by AudioMoth 24F319055FDF2F5B at {} while battery {} 3.9V{}."


@pytest.mark.parametrize(
    ("text", "recorded", "zone"),
    [
        (MOTH.format("", "gain setting 2", "state was", ""), "2018-02-21T19:00:00+00:00", "UTC"),
        (MOTH.format("-3:30", "medium gain", "was greater than", ""), "2018-02-21T19:00:00-03:30", "-03:30"),
        (
            MOTH.format("+1", "gain setting 2", "was less than", " and temperature was -3.5C"),
            "2018-02-21T19:00:00+01:00",
            "+01:00",
        ),
    ],
)
def test_audiomoths_comment(tmp_path, text, recorded, zone):
    found = facts(recording(tmp_path / "20200101_000000.WAV", comment(text)))
    assert (found["recorded"], found["time_zone"], found["time_source"]) == (recorded, zone, "audiomoth")
    assert found["recorder"] == "AudioMoth 24F319055FDF2F5B" and found["battery"] == 3.9
    assert found["gain"] in ("2", "medium")
    assert found.get("temperature") == (-3.5 if "temperature" in text else None)


def test_an_offset_in_a_name_stays_where_a_zone_is_named_and_utc_is_converted_to_it(tmp_path):
    rules = TimeRules("America/Los_Angeles")
    here = facts(recording(tmp_path / "20230601T060000-0700_REC.wav"), rules)
    assert (here["recorded"], here["time_zone"]) == ("2023-06-01T06:00:00-07:00", "-07:00")
    utc = facts(recording(tmp_path / "20230601T060000Z.wav"), rules)
    assert (utc["recorded"], utc["time_zone"]) == ("2023-05-31T23:00:00-07:00", "America/Los_Angeles")


def test_audiomoths_utc_is_shown_in_the_zone_that_is_named(tmp_path):
    found = facts(recording(tmp_path / "a.WAV", comment(MOTH.format("", "gain setting 2", "state was", ""))), BERLIN)
    assert (found["recorded"], found["time_zone"]) == ("2018-02-21T20:00:00+01:00", "Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "recorded", "source"),
    [
        ("20180221_190000.WAV", "2018-02-21T19:00:00+00:00", "audiomoth-name"),
        ("20180221_190000T.WAV", "2018-02-21T19:00:00+00:00", "audiomoth-name"),
        ("5A8DC1B0.WAV", "2018-02-21T19:00:00+00:00", "audiomoth-name"),
        ("SITE-4_20180221_190000.wav", "2018-02-21T19:00:00", "song-meter-name"),
        ("S4A01234_20180221_190000_000.wav", "2018-02-21T19:00:00", "song-meter-name"),
        ("SM3_0+1_20180221$190000.wav", "2018-02-21T19:00:00", "song-meter-name"),
        ("20230601T060000-0700_REC.wav", "2023-06-01T06:00:00-07:00", "name"),
        ("20230601T060000+1000_REC.flac", "2023-06-01T06:00:00+10:00", "name"),
        ("SITE_20230601_060000+0930.wav", "2023-06-01T06:00:00+09:30", "name"),
        ("20230601_060000-03:30.wav", "2023-06-01T06:00:00-03:30", "name"),
        ("SITE_20230601T060000Z.wav", "2023-06-01T06:00:00+00:00", "name"),
        ("20230601T060000+10.wav", "2023-06-01T06:00:00+10:00", "name"),
        ("20230601T060000+0000.wav", "2023-06-01T06:00:00+00:00", "name"),
        ("SITE_20180221_190000-0001.wav", "2018-02-21T19:00:00", "song-meter-name"),
        ("SITE_20180221_190000-0030.wav", "2018-02-21T19:00:00", "song-meter-name"),
        ("20180221_190000-0000.wav", "2018-02-21T19:00:00+00:00", "audiomoth-name"),
        ("20180221_190000-07.wav", "2018-02-21T19:00:00+00:00", "audiomoth-name"),
    ],
)
def test_names_of_recorders(tmp_path, name, recorded, source):
    found = facts(recording(tmp_path / name))
    assert (found["recorded"], found["time_source"]) == (recorded, source)


@pytest.mark.parametrize(
    "name",
    ["20180221.wav", "DEADBEEF.WAV", "x_20181321_190000.wav", "120180221_190000.wav", "owl.wav", "12345678_123456.wav"],
)
def test_names_that_are_no_times(tmp_path, name):
    assert facts(recording(tmp_path / name)) == {}


def test_guano(tmp_path):
    fields = {
        "Timestamp": "2026-05-29T03:12:01-07:00",
        "Loc_Position": "37.74 -119.57",
        "Loc_Elevation": "1200",
        "Make": "Wildlife Acoustics",
    }
    chunk = guano(**fields, Model="Song Meter Mini Bat", Serial="SMU01234", Temperature_Int="12.25", Note="a: b\xe9")
    found = facts(recording(tmp_path / "A_20260529_031201.wav", chunk), BERLIN)
    assert (found["recorded"], found["time_source"]) == ("2026-05-29T03:12:01-07:00", "guano")
    assert (found["latitude"], found["longitude"], found["altitude"], found["temperature"]) == (
        37.74,
        -119.57,
        1200,
        12.25,
    )
    assert found["recorder"] == "Wildlife Acoustics Song Meter Mini Bat SMU01234"
    local = facts(recording(tmp_path / "b.wav", guano(Timestamp="2026-05-29T03:12:01")), BERLIN)
    assert local["recorded"] == "2026-05-29T03:12:01+02:00"
    bad = facts(recording(tmp_path / "c.wav", guano(Timestamp="never", Loc_Position="x y", Temperature_Int="nan")))
    assert bad == {
        "fact_notes": [
            "GUANO says 'never', which is no time",
            "GUANO says 'x y', which is no latitude and longitude in degrees",
        ]
    }


def test_a_broadcast_extension_counts_where_nothing_else_has_a_time(tmp_path):
    bext = b"bext", b"\0" * 320 + b"2026-05-0104:12:09" + b"\0" * 264
    assert facts(recording(tmp_path / "a.wav", bext))["recorded"] == "2026-05-01T04:12:09"
    named = facts(recording(tmp_path / "20180221_190000.wav", bext))
    assert (named["recorded"], named["time_source"]) == ("2018-02-21T19:00:00+00:00", "audiomoth-name")


def test_damaged_recordings_have_the_facts_of_their_names(tmp_path):
    whole = recording(
        tmp_path / "a.wav", comment(MOTH.format("", "gain setting 2", "state was", "")), guano(Make="A")
    ).read_bytes()
    for cut in range(12, 700, 11):
        file = tmp_path / "20180221_190000.wav"
        file.write_bytes(whole[:cut])
        assert facts(file)["recorded"] == "2018-02-21T19:00:00+00:00"
    (tmp_path / "b.wav").write_bytes(whole.replace(b"21/02/2018", b"00/00/1970"))
    assert "no time" in facts(tmp_path / "b.wav")["fact_notes"][0]


# -- zones and patterns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "recorded", "note"),
    [
        ("2026:07:01 12:00:00", "2026-07-01T12:00:00+02:00", None),
        ("2026:01:01 12:00:00", "2026-01-01T12:00:00+01:00", None),
        ("2026:10:25 02:30:00", "2026-10-25T02:30:00+02:00", "exists twice in Europe/Berlin"),
        ("2026:03:29 02:30:00", "2026-03-29T02:30:00", "does not exist in Europe/Berlin"),
        ("2026:03:29 03:00:00", "2026-03-29T03:00:00+02:00", None),
        ("2026:03:29 01:59:59", "2026-03-29T01:59:59+01:00", None),
        ("2026:10:25 03:00:00", "2026-10-25T03:00:00+01:00", None),
    ],
)
def test_daylight_saving(tmp_path, when, recorded, note):
    found = facts(photo(tmp_path / "a.jpg", when), BERLIN)
    assert found["recorded"] == recorded
    assert found["time_zone"] == ("local" if "+" not in recorded else "Europe/Berlin")
    notes = found.get("fact_notes", [])
    assert len(notes) == bool(note) and all(note in each for each in notes)


def test_both_of_the_two_hours_are_told_apart_where_the_recorder_writes_utc(tmp_path):
    first = facts(recording(tmp_path / "20261025_003000.WAV"), BERLIN)["recorded"]
    second = facts(recording(tmp_path / "20261025_013000.WAV"), BERLIN)["recorded"]
    assert (first, second) == ("2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00")


def test_an_offset_of_the_camera_is_kept(tmp_path):
    assert (
        facts(photo(tmp_path / "a.jpg", "2026:05:01 04:12:09", "+09:00"), BERLIN)["recorded"]
        == "2026-05-01T04:12:09+09:00"
    )
    assert (
        facts(photo(tmp_path / "b.jpg", "2026:05:01 04:12:09", "+00:00"), BERLIN)["recorded"]
        == "2026-05-01T04:12:09+00:00"
    )
    assert (
        facts(photo(tmp_path / "c.jpg", "2026:05:01 04:12:09", "nine"), BERLIN)["recorded"]
        == "2026-05-01T04:12:09+02:00"
    )


@pytest.mark.parametrize(
    ("pattern", "path", "recorded"),
    [
        ("%Y-%m-%d_%H-%M", "cam 2026-05-01_04-12.jpg", "2026-05-01T04:12:00"),
        ("%Y-%m-%d_%H-%M", "0-2026-15-01_04-12 2026-05-01_04-12.jpg", "2026-05-01T04:12:00"),
        ("%d%b%Y", "01May2026.jpg", "2026-05-01T00:00:00"),
        ("%Y/%j/%H%M%S", "site/2026/121/041200.jpg", "2026-05-01T04:12:00"),
        ("%Y%m%dT%H%M%S%z", "20260501T041200+0200.jpg", "2026-05-01T04:12:00+02:00"),
        ("%Y%m%dT%H%M%S%z", "20260501T041200Z.jpg", "2026-05-01T04:12:00+00:00"),
    ],
)
def test_patterns_of_the_user(tmp_path, pattern, path, recorded):
    photo(tmp_path / path, "2000:01:01 00:00:00")
    found = read_file_facts(Item(str(tmp_path), path), TimeRules(patterns=("%Y-%m-%d-never", pattern)))
    assert (found["recorded"], found["time_source"]) == (recorded, "pattern")


def test_a_pattern_that_is_not_in_the_name_leaves_the_time_of_the_file(tmp_path):
    file = photo(tmp_path / "12026-05-01_04-12.jpg", "2000:01:01 00:00:00")
    assert facts(file, TimeRules(patterns=("%Y-%m-%d_%H-%M",)))["time_source"] == "exif"


@pytest.mark.parametrize(
    ("zone", "patterns", "error"),
    [
        ("Europe/Berln", (), "time zone 'Europe/Berln': .* did you mean 'Europe/Berlin'"),
        ("../../etc/passwd", (), "time zone"),
        ("", (), "time zone ''"),
        ("local", ("%H-%M",), "time pattern '%H-%M': expected a date"),
        ("local", ("%Y-%m-%d %Q",), "expected directives of .*, got %Q"),
        ("local", ("%Y-%m-%d%",), "time pattern"),
    ],
)
def test_rules_that_cannot_be(zone, patterns, error):
    with pytest.raises(SightsoundError, match=error):
        changed_rules(TimeRules(), zone, patterns)


# -- keywords ----------------------------------------------------------------------------------------------------


def test_keywords_of_iptc_xmp_and_sidecars_are_joined(tmp_path):
    packet = fact_files.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + fact_files.xmp("owl", "k\xe4uzchen &amp; co"))
    records = fact_files.photoshop(fact_files.iptc(b"owl", "Stra\xdfe".encode("latin-1")))
    file = photo(tmp_path / "a.jpg", segments=packet + records)
    (tmp_path / "a.jpg.xmp").write_bytes(fact_files.xmp("night", "owl"))
    (tmp_path / "a.xmp").write_bytes(fact_files.xmp("wood"))
    assert facts(file)["keywords"] == ["owl", "Stra\xdfe", "k\xe4uzchen & co", "night", "wood"]


def test_keywords_of_iptc_in_utf8(tmp_path):
    records = fact_files.photoshop(fact_files.iptc("\u30d5\u30af\u30ed\u30a6".encode(), utf8=True))
    assert facts(photo(tmp_path / "a.jpg", segments=records))["keywords"] == ["\u30d5\u30af\u30ed\u30a6"]


def test_a_recording_has_the_keywords_of_its_sidecar(tmp_path):
    file = recording(tmp_path / "owl.wav")
    (tmp_path / "owl.wav.xmp").write_bytes(fact_files.xmp("night"))
    assert facts(file) == {"keywords": ["night"]}


@pytest.mark.parametrize(
    ("packet", "note"),
    [
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "document type"),
        (b"<a>" * 200 + b"</a>" * 200, "nested more than 100 deep"),
        (b"<a><b></a>", "not well-formed"),
        (b"\x00\x01", "not well-formed"),
        (b"", "not well-formed"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "XMP"),
    ],
)
def test_a_sidecar_that_is_not_read_is_noted(tmp_path, packet, note):
    file = photo(tmp_path / "a.jpg")
    (tmp_path / "a.jpg.xmp").write_bytes(packet)
    (text,) = facts(file)["fact_notes"]
    assert "a.jpg.xmp" in text and note in text and "\n" not in text


def test_a_sidecar_that_is_a_link_to_a_device_or_too_large_is_noted(tmp_path):
    file = photo(tmp_path / "a.jpg")
    with (tmp_path / "a.jpg.xmp").open("wb") as made:
        made.truncate(2**24 + 1)
    assert "16 MiB" in facts(file)["fact_notes"][0]
    (tmp_path / "a.jpg.xmp").unlink()
    (tmp_path / "a.jpg.xmp").symlink_to("/dev/zero")
    assert facts(file) == {}
