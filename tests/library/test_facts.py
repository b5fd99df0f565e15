"""Facts of files in a library: stored by `index` and `read_facts`, used by filters and probes; sidecar files."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

import made
from fact_files import XMP, comment, guano, iptc, photo, photoshop, recording, xmp
from sightsound import (
    Filter,
    Labels,
    Library,
    index,
    load_dataset,
    read_facts,
    recorded_at,
    search,
    summarise_facts,
    tag_stored,
    write_sidecars,
)
from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.library import fact_counts
from sightsound.library.fact_conditions import distance_km
from sightsound.media.facts import xmp as xmp_module
from sightsound.media.facts.xmp_edit import with_keywords

BERLIN, POTSDAM, CAPE_TOWN = (52.52, 13.405), (52.39, 13.06), (-33.92, 18.42)
MODELS = ("colours.tiny", "loudness.tiny")


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """Three photographs and three recordings, of known times and places."""
    folder = tmp_path / "field"
    photo(folder / "dawn.jpg", "2026:05:01 04:12:00", "+02:00", BERLIN, ("Canon", "EOS R5"), 1)
    photo(folder / "noon.jpg", "2026:05:02 12:00:00", None, POTSDAM, ("Canon", "EOS R5"), 2)
    photo(folder / "night.jpg", "2026:04:30 23:30:00", "+02:00", CAPE_TOWN, ("NIKON", "D850"), 3)
    recording(folder / "20260501_020000.WAV", comment("Recorded at 02:00:00 01/05/2026 (UTC)"), seed=4)
    recording(folder / "SITE_20260501_223000.wav", guano(Loc_Position="52.5 13.4"), seed=5)
    recording(folder / "plain.wav", seed=6)
    return folder


@pytest.fixture
def library(tiny, field, tmp_path) -> Path:
    index(field, tmp_path / "lib", models=MODELS, host=tiny, time_zone="Europe/Berlin")
    return tmp_path / "lib"


def recorded(library: Path) -> dict[str, str]:
    with Library(library) as opened:
        return {i.path: facts["recorded"] for i in opened.items() if "recorded" in (facts := opened.facts(i.id))}


def found(library: Path, tiny, **conditions) -> set[str]:
    """The items that match, of both networks."""
    where, names = Filter(**conditions), set[str]()
    with Library(library) as opened:
        for space in opened.spaces:
            names |= {item.path for items, _, _ in opened.contents_in(space, where) for item in items}
    return names


def test_index_stores_the_facts_of_each_file(library, field, tiny):
    assert recorded(library) == {
        "dawn.jpg": "2026-05-01T04:12:00+02:00",
        "noon.jpg": "2026-05-02T12:00:00+02:00",
        "night.jpg": "2026-04-30T23:30:00+02:00",
        "20260501_020000.WAV": "2026-05-01T04:00:00+02:00",
        "SITE_20260501_223000.wav": "2026-05-01T22:30:00+02:00",
    }
    with Library(library) as opened:
        facts = {item.path: opened.facts(item.id) for item in opened.items()}
        outcomes = {outcome.item.path: outcome.facts for outcome, _ in opened.outcomes()}
        assert dict(opened.all_facts()) == {item.id: facts[item.path] for item in opened.items()}
    assert facts["dawn.jpg"]["width"] == 24 and facts["dawn.jpg"]["camera"] == "Canon EOS R5"
    assert facts["plain.wav"]["seconds"] == 2.0 and outcomes["plain.wav"]["channels"] == 1


def test_index_reads_the_times_of_known_files_again_where_the_zone_is_another(tiny, field, tmp_path, command):
    index(field, tmp_path / "lib", models=MODELS, host=tiny)
    assert recorded(tmp_path / "lib")["SITE_20260501_223000.wav"] == "2026-05-01T22:30:00"
    (field / "noon.jpg").rename(tmp_path / "noon.jpg")
    words = ("index", field, "-l", tmp_path / "lib", "-m", MODELS[0], "-m", MODELS[1])
    done = command(*words, "--time-zone", "Europe/Berlin")
    assert "facts of 5 files in the library read again by the new zone or patterns, 2 changed\n" in done.stdout
    assert "1 file not there, with the times of before; `sightsound facts` reads them later\n" in done.stderr
    times = recorded(tmp_path / "lib")
    assert times["SITE_20260501_223000.wav"] == "2026-05-01T22:30:00+02:00"
    assert times["20260501_020000.WAV"] == "2026-05-01T04:00:00+02:00" and times["noon.jpg"] == "2026-05-02T12:00:00"
    assert found(tmp_path / "lib", tiny, after="2026-05-01T20:00+00:00") == {"SITE_20260501_223000.wav"}
    for again in (words, (*words, "--time-zone", "Europe/Berlin")):
        assert "read again" not in command(*again).stdout
    pattern = json.loads(command(*words, "--time-pattern", "%Y%m%d_%H%M%S", "--json").stdout)
    assert pattern["facts"] == {"read": 5, "changed": 2, "missing": 1}


def test_files_of_one_content_have_facts_of_their_own(tiny, field, tmp_path):
    whole = (field / "SITE_20260501_223000.wav").read_bytes()
    (field / "SITE_20260601_010000.wav").write_bytes(whole)
    (field / "SITE_20260601_010000.wav.xmp").write_bytes(xmp("copy"))
    index(field, tmp_path / "lib", models=MODELS, host=tiny)
    (field / "SITE_20260701_010000.wav").write_bytes(whole)
    index(field, tmp_path / "lib", models=MODELS, host=tiny)
    times = recorded(tmp_path / "lib")
    assert [times[f"SITE_2026{day}.wav"] for day in ("0501_223000", "0601_010000", "0701_010000")] == [
        *("2026-05-01T22:30:00", "2026-06-01T01:00:00", "2026-07-01T01:00:00"),
    ]
    assert summarise_facts(tmp_path / "lib")["keywords"].values == {"copy": 1}


def test_the_counts_of_facts_are_true_however_many_texts_there_are(command, tiny, tmp_path, monkeypatch):
    """`common` comes after a thousand others, and two texts are those of names that are not UTF-8, or are no texts."""
    for number in range(60):
        made.write_image(tmp_path / "in" / f"{number:02}.png", number)
    index(tmp_path / "in", tmp_path / "lib", models=("colours.tiny",), host=tiny)
    with Library(tmp_path / "lib") as opened, opened.writing() as writer:
        for number, item in enumerate(opened.items()):
            words = [f"word {40 * number + each}" for each in range(40)]
            more = ["common", "\udce9"] if number >= 30 else ["first \N{SNOWMAN}"] if number < 29 else []
            writer.outcomes.set_file_facts(item.id, {"keywords": [*words, *more, *more], "night": number % 2 == 0})
    wanted = [("common", 30), ("\udce9", 30), ("first \N{SNOWMAN}", 29), ("word 0", 1), ("word 1", 1), ("word 10", 1)]
    found = []
    for most in (2**24, 2**12, 0):
        monkeypatch.setattr(fact_counts, "_MOST_BYTES", most)
        found.append(summarise_facts(tmp_path / "lib"))
        words = found[-1]["keywords"]
        assert (words.items, words.distinct, len(words.values)) == (60, 2403, 1000)
        assert list(words.values.items())[:6] == wanted and words.values.most_common(6) == wanted
        assert (found[-1]["night"].values, found[-1]["night"].distinct) == ({"False": 30, "True": 30}, 2)
    assert found[0] == found[1] == found[2]
    done = command("facts", "-l", tmp_path / "lib", "--stored")
    assert "common (30), \\xe9 (30), first \N{SNOWMAN} (29) and 2400 more" in done.stdout, done.stderr
    listed = json.loads(command("facts", "-l", tmp_path / "lib", "--stored", "--json").stdout)["facts"]["keywords"]
    assert (listed["distinct"], len(listed["values"])) == (2403, 1000)
    rows = csv.DictReader(io.StringIO(command("facts", "-l", tmp_path / "lib", "--stored", "--csv").stdout))
    assert {row["fact"]: row["distinct"] for row in rows}["keywords"] == "2403"


def test_a_second_network_for_known_files_has_their_facts(tiny, field, tmp_path):
    made.register_tints(tiny)
    index(field, tmp_path / "lib", models=("colours.tiny",), host=tiny, time_zone="Europe/Berlin")
    index(field, tmp_path / "lib", models=("tints.tiny",), host=tiny)
    with Library(tmp_path / "lib") as opened:
        facts = [outcome.facts["recorded"] for outcome, space in opened.outcomes() if space == "tints.tiny"]
    assert sorted(facts)[2] == "2026-05-02T12:00:00+02:00"


def test_the_library_keeps_its_time_rules(library, field, tiny):
    with Library(library) as opened:
        assert opened.time_rules.zone == "Europe/Berlin"
    photo(field / "new 1999-12-31_23-59.jpg", "2026:01:01 10:00:00", seed=9)
    index(field, library, models=MODELS, host=tiny)
    assert recorded(library)["new 1999-12-31_23-59.jpg"] == "2026-01-01T10:00:00+01:00"
    read_facts(library, time_patterns=["%Y-%m-%d_%H-%M"])
    assert recorded(library)["new 1999-12-31_23-59.jpg"] == "1999-12-31T23:59:00+01:00"
    read_facts(library, time_zone="local", time_patterns=[])
    assert recorded(library)["new 1999-12-31_23-59.jpg"] == "2026-01-01T10:00:00"
    assert recorded(library)["20260501_020000.WAV"] == "2026-05-01T02:00:00+00:00"


def test_read_facts_reads_old_libraries_without_embedding(library, field, tiny):
    with Library(library) as opened, opened.writing() as writer:  # as before files said anything of themselves
        for item in opened.items():
            writer.outcomes.set_file_facts(item.id, {})
    assert recorded(library) == {}
    vectors = {name: path.read_bytes() for name, path in ((p.name, p) for p in library.glob("*.f32"))}
    report = read_facts(library)
    assert (report.read, report.changed, report.missing) == (6, 5, 0)
    assert len(recorded(library)) == 5
    assert {name: (library / name).read_bytes() for name in vectors} == vectors
    assert read_facts(library).changed == 0
    summary = report.facts["recorded"]
    assert (summary.items, summary.least) == (5, "2026-04-30T23:30:00+02:00")
    assert report.facts["camera"].values == {"Canon EOS R5": 2, "NIKON D850": 1}
    assert (report.facts["width"].least, report.facts["width"].greatest) == (24, 24)


def test_facts_of_files_that_are_away_stay(library, field):
    os.rename(field, field.with_name("unplugged"))
    before = recorded(library)
    report = read_facts(library, time_zone="local")
    assert (report.read, report.missing) == (0, 6) and recorded(library) == before


# -- filters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conditions", "names"),
    [
        ({"after": "2026-05-01"}, {"dawn.jpg", "noon.jpg", "20260501_020000.WAV", "SITE_20260501_223000.wav"}),
        (
            {"after": "2026-05-01", "before": "2026-05-02"},
            {"dawn.jpg", "20260501_020000.WAV", "SITE_20260501_223000.wav"},
        ),
        ({"before": "2026-05"}, {"night.jpg"}),
        ({"after": "2026-05-01T22:30", "before": "2026-05-02T12:00:00"}, {"SITE_20260501_223000.wav"}),
        ({"after": "2026-05-02T10:00:00+00:00"}, {"noon.jpg"}),
        ({"after": "2026-05-02T10:00:01Z"}, set()),
        ({"hours": "4-6"}, {"dawn.jpg", "20260501_020000.WAV"}),
        ({"hours": "4:05-5"}, {"dawn.jpg"}),
        ({"hours": "22-4"}, {"night.jpg", "SITE_20260501_223000.wav"}),
        ({"hours": "12"}, {"noon.jpg"}),
        ({"near": "52.5,13.4,10km"}, {"dawn.jpg", "SITE_20260501_223000.wav"}),
        ({"near": "52.5,13.4,50km"}, {"dawn.jpg", "noon.jpg", "SITE_20260501_223000.wav"}),
        ({"near": "-33.92,18.42,300m"}, {"night.jpg"}),
        ({"near": "52.5,13.4,10km", "hours": "4-6"}, {"dawn.jpg"}),
        ({"facts": ("camera=NIKON D850",)}, {"night.jpg"}),
        ({"facts": ("latitude<0",)}, {"night.jpg"}),
    ],
)
def test_filters(library, tiny, conditions, names):
    assert found(library, tiny, **conditions) == names


@pytest.mark.parametrize(
    ("conditions", "error"),
    [
        ({"after": "May"}, "after 'May': expected a day"),
        ({"before": "2026-13-01"}, "before '2026-13-01'"),
        ({"hours": "4-25"}, "hour '4-25'"),
        ({"hours": "4-4"}, "hour '4-4'"),
        ({"hours": "4:75-5"}, "hour"),
        ({"hours": "dawn"}, "expected hours from 0 to 24"),
        ({"near": "52.5,13.4"}, "near '52.5,13.4': expected latitude, longitude and distance"),
        ({"near": "52.5,13.4,10"}, "near"),
        ({"near": "152.5,13.4,10km"}, "latitude first"),
        ({"near": "1.2.3,13.4,10km"}, "near"),
        ({"facts": ("camra=Canon",)}, "fact 'camra': .*did you mean 'camera'"),
        ({"facts": ("Camera=Canon",)}, "fact 'Camera': .*did you mean 'camera'"),
    ],
)
def test_conditions_that_cannot_be(library, tiny, conditions, error):
    with pytest.raises(SightsoundError, match=error):
        found(library, tiny, **conditions)


def test_a_fact_that_no_file_has_yet_is_no_mistake(library, tiny):
    assert found(library, tiny, facts=("battery>3",)) == set()


def test_local_times_of_unknown_zones_match_no_moment(tiny, tmp_path):
    photo(tmp_path / "a" / "a.jpg", "2026:05:01 04:12:00")
    index(tmp_path / "a", tmp_path / "lib", models=MODELS[:1], host=tiny)
    assert found(tmp_path / "lib", tiny, after="2026-05-01", hours="4-5") == {"a.jpg"}
    assert found(tmp_path / "lib", tiny, after="2000-01-01T00:00Z") == set()


def test_the_hours_of_summer_and_winter_are_local(tiny, tmp_path):
    for name in ("20260701_030000.WAV", "20260101_040000.WAV", "20260701_040000.WAV"):  # 5, 5 and 6 o'clock in Berlin
        recording(tmp_path / "a" / name, seed=int(name[5:8] + name[9:11]))
    index(tmp_path / "a", tmp_path / "lib", models=MODELS[1:], host=tiny, time_zone="Europe/Berlin")
    assert found(tmp_path / "lib", tiny, hours="5-6") == {"20260701_030000.WAV", "20260101_040000.WAV"}


def test_filters_count_for_searches_and_stored_tags(tiny, warm, field, tmp_path):
    index(field, tmp_path / "lib", models=(warm,), host=tiny)
    hits = search(field / "noon.jpg", tmp_path / "lib", host=tiny, where=Filter(hours="4-5"))
    assert [hit.item.path for hit in hits] == ["dawn.jpg"]
    tagged = tag_stored(tmp_path / "lib", host=tiny, where=Filter(near="52.5,13.4,10km"))
    assert [each.item.path for each in tagged] == ["dawn.jpg"]
    assert list(tag_stored(tmp_path / "lib", host=tiny, where=Filter(modality="sound"))) == []


@pytest.mark.parametrize(
    ("here", "there", "km"),  # the second is from the definition of the nautical mile: 60 to a degree, on a sphere
    [(BERLIN, BERLIN, 0), ((0, 0), (0, 1), 111.195), ((0, 179.5), (0, -179.5), 111.195), ((90, 0), (-90, 0), 20015.1)],
)
def test_distances(here, there, km):
    assert distance_km(here, there) == pytest.approx(km, abs=0.1)


def test_a_moment_of_a_recording(library):
    facts = {"recorded": "2026-10-25T01:30:00+02:00", "time_zone": "Europe/Berlin"}
    assert recorded_at(facts, 3600).isoformat() == "2026-10-25T02:30:00+02:00"
    assert recorded_at(facts, 7200).isoformat() == "2026-10-25T02:30:00+01:00"
    assert (
        recorded_at({"recorded": "2026-05-01T04:00:00", "time_zone": "local"}, 90.5)
        .isoformat()
        .startswith("2026-05-01T04:01:30.5")
    )
    assert recorded_at({}) is None and recorded_at({"recorded": 3}) is None


def test_hits_say_when_their_windows_were_recorded(tiny, field, library, tmp_path, command):
    """Both recordings are of the zone Berlin: the first in UTC in its header, the second by its name."""
    query = field / "plain.wav"
    hits = search(query, library, per="window", k=100, host=tiny)
    times = {(hit.item.path, hit.seconds[0]): hit.recorded and hit.recorded.isoformat() for hit in hits}
    assert times["20260501_020000.WAV", 0.0] == "2026-05-01T04:00:00+02:00"
    assert {time for (path, _), time in times.items() if path == "plain.wav"} <= {None}
    (first, *_) = search(f"{field}/SITE_20260501_223000.wav@0.5-1.5", library, k=1, copies=True, host=tiny)
    assert (first.item.path, first.seconds) == ("SITE_20260501_223000.wav", (0.5, 1.5))
    assert first.recorded.isoformat() == "2026-05-01T22:30:00.500000+02:00"
    several = search(query, [library, library], per="window", k=100, host=tiny)
    assert [hit.recorded for hit in several] == [hit.recorded for hit in hits]
    words = ("search", query, "-l", library, "-m", "loudness.tiny", "--per", "window", "-k", "100")
    listed = json.loads(command(*words, "--json").stdout)
    assert {(hit["path"], hit["seconds"][0]): hit["recorded"] for hit in listed} == times
    rows = list(csv.DictReader(io.StringIO(command(*words, "--csv").stdout)))
    assert {(row["path"], float(row["start"])): row["recorded"] or None for row in rows} == times
    assert "2026-05-01 04:00:00+02:00" in command(*words).stdout
    image = json.loads(command("search", field / "noon.jpg", "-l", library, "-m", "colours.tiny", "--json").stdout)
    assert next(hit for hit in image if hit["path"] == "dawn.jpg")["recorded"] == "2026-05-01T04:12:00+02:00"


def test_time_ranges_are_written_with_their_local_times(library, tmp_path, command):
    rows = ["SITE_20260501_223000.wav,0.5,1.5,owl", "plain.wav,0,1,hum"]
    (tmp_path / "r.csv").write_text("\n".join(["path,start,stop,kind", *rows]) + "\n")
    assert command("label", "--from", tmp_path / "r.csv", "-l", library).returncode == 0
    for name in ("out.csv", "out.json"):
        assert command("label", "--to", tmp_path / name, "--ranges", "-l", library).returncode == 0
        assert (
            command("label", "--from", tmp_path / name, "-l", library).stdout == "2 labels of time ranges of 2 items\n"
        )
    listed = {row["path"]: row for row in json.loads((tmp_path / "out.json").read_text())}
    assert listed["SITE_20260501_223000.wav"]["recorded"] == "2026-05-01T22:30:00.500000+02:00"
    assert listed["plain.wav"]["recorded"] is None
    with Library(library) as opened:
        assert opened.label_columns(ranges=True) == ["kind"]


# -- labels ------------------------------------------------------------------------------------------------------


def test_facts_are_label_columns(library, tiny):
    data = load_dataset(library, "colours.tiny", Labels(column="camera"), min_classes=1)
    assert {item.path: label for item, label in zip(data.items, data.y)} == {
        "dawn.jpg": "Canon EOS R5",
        "noon.jpg": "Canon EOS R5",
        "night.jpg": "NIKON D850",
    }
    with pytest.raises(SightsoundError, match="column 'camra': .*did you mean 'camera'"):
        load_dataset(library, "colours.tiny", Labels(column="camra"))


def test_facts_are_groups_beside_labels(library, field, tiny):
    index(field, library, models=MODELS, host=tiny, label_from="folder")
    data = load_dataset(library, "colours.tiny", Labels(group_column="camera"), min_classes=1)
    assert data.classes == ("field",) and len(set(data.groups.tolist())) == 2


# -- sidecar files -----------------------------------------------------------------------------------------------


def label(library: Path, **values: list[str]) -> None:
    """Label items: name without its ending -> labels of the column `species`."""
    with Library(library) as opened, opened.writing() as writer:
        for item in opened.items():
            if labels := values.get(Path(item.path).stem):
                writer.items.label(item.id, "species", labels)


def test_labels_are_written_to_sidecars_and_read_again(library, field, tiny):
    originals = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in field.iterdir()}
    label(library, dawn=["owl", "B\xe4r & <Co>"], plain=["fox"])
    report = write_sidecars(library, "species")
    assert (report.written, report.unchanged, report.failed) == (2, 0, [])
    assert {path.name for path in field.iterdir()} == {*originals, "dawn.jpg.xmp", "plain.wav.xmp"}
    assert {name: ((field / name).read_bytes(), (field / name).stat().st_mtime_ns) for name in originals} == originals
    assert write_sidecars(library, ["species"]).unchanged == 2
    assert read_facts(library).facts["keywords"].values == {"owl": 1, "B\xe4r & <Co>": 1, "fox": 1}
    again = index(field, library, models=MODELS, host=tiny)  # sidecar files are no items
    assert again.counts == {"unchanged": 6}


@pytest.mark.parametrize(
    "packet",
    [
        xmp("owl", "night"),
        xmp(),
        b'<?xml version="1.0" encoding="utf-8"?>'
        + xmp("owl").partition(b"?>")[2].replace(b"rdf:", b"r:").replace(b"xmlns:rdf", b"xmlns:r"),
        XMP.replace("{subject}", "<dc:subject><rdf:Bag/></dc:subject>").encode(),
        b'<r:RDF xmlns:r="%s"><r:Description r:about=">" b="2"/></r:RDF>' % xmp_module.RDF.encode(),
    ],
)
def test_all_else_of_a_sidecar_stays_byte_for_byte(library, field, packet):
    label(library, dawn=["k\xe4uzchen", "owl"])
    sidecar = field / "dawn.jpg.xmp"
    sidecar.write_bytes(packet)
    assert write_sidecars(library, "species").written == 1
    after = sidecar.read_bytes()
    words = dict.fromkeys([*xmp_module.keywords(packet), "k\xe4uzchen", "owl"])
    assert xmp_module.keywords(after) == list(words)
    kept = iter(after)
    removed = packet.replace(b"/></r:RDF>", b"></r:RDF>").replace(b"<rdf:Bag/>", b"<rdf:Bag>")
    assert all(byte in kept for byte in removed)  # a subsequence: nothing was taken out


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + xmp("owl"), "document type"),
        (b"<a/>", "describes nothing"),
        (b"junk", "not well-formed"),
        (xmp("owl").decode().replace("w'?>", "w'?>").encode("utf-16"), "UTF-16"),
        (b"<?xml version='1.0' encoding='iso-8859-1'?>" + b"<a/>", "expected UTF-8"),
    ],
)
def test_a_sidecar_that_cannot_be_changed_stays_and_is_named(library, field, packet, reason):
    label(library, dawn=["new"])
    (field / "dawn.jpg.xmp").write_bytes(packet)
    ((item, why),) = write_sidecars(library, "species").failed
    assert item.path == "dawn.jpg" and reason in why and "\n" not in why
    assert (field / "dawn.jpg.xmp").read_bytes() == packet


def test_a_sidecar_that_is_a_link_to_the_picture_does_not_lead_to_it(library, field):
    label(library, dawn=["new"])
    before = (field / "dawn.jpg").read_bytes()
    (field / "dawn.jpg.xmp").symlink_to(field / "dawn.jpg")
    assert len(write_sidecars(library, "species").failed) == 1
    assert (field / "dawn.jpg").read_bytes() == before


def test_a_missing_file_gets_no_sidecar_and_a_column_must_exist(library, field):
    label(library, dawn=["new"])
    (field / "dawn.jpg").unlink()
    assert "no such file" in write_sidecars(library, "species").failed[0][1]
    assert not (field / "dawn.jpg.xmp").exists()
    with pytest.raises(SightsoundError, match="column 'specis': .*did you mean 'species'"):
        write_sidecars(library, "specis")


def test_control_characters_of_labels_are_left_out_of_xml(library, field):
    label(library, dawn=["a\x01b\ufffe\nc"])
    assert write_sidecars(library, "species").written == 1
    assert xmp_module.keywords((field / "dawn.jpg.xmp").read_bytes()) == ["a b c"]


def test_iptc_keywords_are_facts(tiny, tmp_path):
    photo(tmp_path / "a" / "a.jpg", segments=photoshop(iptc(b"owl", b"night")))
    index(tmp_path / "a", tmp_path / "lib", models=MODELS[:1], host=tiny)
    assert found(tmp_path / "lib", tiny, facts=("keywords=night",)) == {"a.jpg"}
    data = load_dataset(tmp_path / "lib", "colours.tiny", Labels(column="keywords", multi_label=True), min_classes=1)
    assert data.classes == ("night", "owl")


def test_with_keywords_of_nothing_is_a_new_packet():
    assert xmp_module.keywords(with_keywords(None, ["a"])) == ["a"]
    assert with_keywords(xmp("a"), ["a"]) is None


# -- the command -------------------------------------------------------------------------------------------------


def test_the_command_prints_facts(command, library, field):
    done = command("facts", "--library", library)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "Canon EOS R5 (2), NIKON D850 (1)" in lines["camera"]
    assert "2026-04-30T23:30:00+02:00 to 2026-05-02T12:00:00+02:00" in lines["recorded"]
    assert (
        done.stdout.splitlines()[-1] == "6 files read, 0 with other facts than before; local times are of Europe/Berlin"
    )
    stored = json.loads(command("facts", "--library", library, "--stored", "--json").stdout)["facts"]
    assert stored["camera"] == {
        "items": 3,
        "least": None,
        "greatest": None,
        "values": {"Canon EOS R5": 2, "NIKON D850": 1},
        "distinct": 2,
    }
    changed = json.loads(command("facts", "-l", library, "--time-zone", "UTC", "--json").stdout)
    assert (changed["time_zone"], changed["changed"], changed["missing"]) == ("UTC", 3, 0)
    (field / "plain.wav").unlink()
    gone = command("facts", "-l", library)
    assert gone.returncode == 1 and gone.stderr == (
        "1 file cannot be opened, whose facts stay; see `sightsound list --gone`\n"
    )


def test_the_command_writes_sidecars(command, library, field):
    label(library, dawn=["owl"])
    done = command("facts", "--library", library, "--write-xmp", "species")
    assert (done.returncode, done.stdout) == (0, "1 sidecar file written, 0 had all keywords\n")
    (field / "dawn.jpg.xmp").write_bytes(b"junk")
    done = command("facts", "--library", library, "--write-xmp", "species")
    assert done.returncode == 1 and done.stderr.startswith("dawn.jpg: dawn.jpg.xmp: XMP is not well-formed")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("facts", "--time-zone", "Europe/Berln"), "did you mean 'Europe/Berlin'"),
        (("facts", "--time-pattern", "%H"), "expected a date"),
        (("facts", "--stored", "--time-zone", "UTC"), "go without --stored"),
        (("facts", "--stored", "--write-xmp", "label"), "expected one of them"),
        (("facts", "--write-xmp", "label"), "column 'label'"),
        (("search", "--id", "1", "--fact", "camra=x"), "did you mean 'camera'"),
        (("search", "--id", "1", "--hour", "x"), "hour 'x'"),
        (("tag", "--near", "here"), "near 'here'"),
    ],
)
def test_mistakes_are_one_line(command, library, words, error):
    done = command(*words, "--library", library)
    assert done.returncode == 2 and error in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_filters_of_tag_go_with_a_library(command, field):
    done = command("tag", field / "dawn.jpg", "--hour", "4-6")
    assert done.returncode == 2 and "go with --library" in done.stderr


def test_the_command_searches_by_facts(command, library, tmp_path):
    narrow = ("--after", "2026-05-01", "--hour", "4-6", "--near", "52.5,13.4,10km", "--json")
    with Library(library) as opened:
        noon = next(item.id for item in opened.items() if item.path == "noon.jpg")
    hits = json.loads(command("search", "--id", str(noon), "-l", library, *narrow).stdout)
    assert [hit["path"] for hit in hits] == ["dawn.jpg"]


def test_a_library_without_time_rules_of_ours_is_damaged(library):
    with Library(library) as opened, opened.writing() as writer:
        writer._transaction.execute("UPDATE settings SET value = '[]' WHERE name = 'time_rules'")
    with Library(library) as opened, pytest.raises(LibraryError, match="damaged"):
        _ = opened.time_rules
