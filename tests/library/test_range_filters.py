"""Filters by labels that are on time ranges: the items that have them, and their windows."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from made import write_image, write_sound
from sightsound import (
    Filter,
    Library,
    SightsoundError,
    TimeRange,
    import_labels,
    index,
    list_items,
    search,
    search_tags,
    set_labels,
    stats,
    tag_stored,
)
from sightsound.contract.arrays import unit_rows
from sightsound.library.window_choice import matching_windows

MODEL = "loudness.tiny"

RANGES = """path,start,stop,call,weather
a.wav,2,4,owl,
a.wav,6,7,owl,rain
a.wav,7,9,wren,
b.wav,0,1,wren,rain
b.wav,3,3,owl,
"""


@pytest.fixture
def calls(tiny, tmp_path):
    """Recordings of 10 s: `a` and `b` with time ranges, `c` with a label of its own, `d` without labels; an image."""
    for seed, name in enumerate("abcd"):
        write_sound(tmp_path / "in" / f"{name}.wav", seed, seconds=10)
    write_image(tmp_path / "in" / "p.png")
    index(tmp_path / "in", tmp_path / "lib", models=[MODEL, "colours.tiny"], host=tiny)
    (tmp_path / "r.csv").write_text(RANGES)
    import_labels(tmp_path / "r.csv", tmp_path / "lib")
    set_labels(tmp_path / "lib", tmp_path / "in" / "c.wav", put={"call": "owl"})
    return tmp_path / "lib"


def names(library, **how):
    return [each.item.path for each in list_items(library, where=Filter(**how))]


def windows(library, tiny, query, **how):
    """Path -> start of every window that a search finds, of windows that do not touch one by one."""
    hits = search(query, library, k=200, models=[MODEL], host=tiny, per="window", where=Filter(**how), copies=True)
    return {(hit.item.path, *hit.seconds) for hit in hits}


def rows(library, **how):
    """(path, start) of all rows of `row_blocks`."""
    with Library(library) as opened:
        (space,) = (each for each in opened.spaces if each.name == MODEL)
        return {
            (block.items[of].path, start)
            for block in opened.row_blocks(space, Filter(**how))
            for of, start in zip(block.of.tolist(), block.spans[:, 0].tolist())
        }


def every(*names, seconds=10):
    return {(name, start / 2) for name in names for start in range(2 * seconds - 1)}


OWL = {("a.wav", start) for start in (1.5, 2, 2.5, 3, 3.5, 5.5, 6, 6.5)} | {("b.wav", 2.5), ("b.wav", 3)}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"labels": ("owl",)}, ["a.wav", "b.wav", "c.wav"]),
        ({"labels": ("call=owl",)}, ["a.wav", "b.wav", "c.wav"]),
        ({"labels": ("weather=owl",)}, []),
        ({"labels": ("call=owl", "rain")}, ["a.wav", "b.wav"]),
        ({"labels": ("wren",), "paths": ("b*",)}, ["b.wav"]),
        ({"labelled": ("call",)}, ["a.wav", "b.wav", "c.wav"]),
        ({"labelled": ("weather",)}, ["a.wav", "b.wav"]),
        ({"labelled": ("",)}, ["a.wav", "b.wav", "c.wav"]),
        ({"unlabelled": ("",)}, ["d.wav", "p.png"]),
        ({"unlabelled": ("weather",)}, ["c.wav", "d.wav", "p.png"]),
    ],
)
def test_an_item_has_a_label_that_one_of_its_ranges_has(calls, how, expected):
    assert names(calls, **how) == expected
    with Library(calls) as library:
        paths = {each.id: each.path for each in library.items()}
        assert [paths[id_] for id_ in library.chosen_items(where=Filter(**how)).tolist()] == expected


def test_windows_of_a_recording_with_a_label_on_ranges_must_overlap_one(calls):
    assert rows(calls, labels=("call=owl",)) == OWL | every("c.wav")
    assert rows(calls, labels=("call=owl",), paths=("[ab].wav",)) == OWL
    strict = {("a.wav", start) for start in (2, 2.5, 3, 6)} | {("b.wav", 2.5), ("b.wav", 3)} | every("c.wav")
    assert rows(calls, labels=("owl",), min_overlap=1) == strict
    assert rows(calls) == every("a.wav", "b.wav", "c.wav", "d.wav")


def test_each_of_several_labels_must_be_there(calls):
    assert rows(calls, labels=("owl", "weather=rain")) == {("a.wav", 5.5), ("a.wav", 6), ("a.wav", 6.5)}
    set_labels(calls, where=Filter(paths=("b.wav",)), put={"weather": "rain"})
    both = {("a.wav", 5.5), ("a.wav", 6), ("a.wav", 6.5), ("b.wav", 2.5), ("b.wav", 3)}
    assert rows(calls, labels=("owl", "weather=rain")) == both


def test_a_search_finds_windows_of_ranges_alone(calls, tiny, tmp_path):
    query = tmp_path / "in" / "d.wav"
    found = windows(calls, tiny, query, labels=("call=owl",), paths=("[ab].wav",))
    assert found == {("a.wav", 1.5, 4.5), ("a.wav", 5.5, 7.5), ("b.wav", 2.5, 4.0)}
    # the best window of `a` as a whole is not there
    whole = {hit.item.path: hit for hit in search(query, calls, models=[MODEL], host=tiny)}
    hits = search(query, calls, models=[MODEL], host=tiny, where=Filter(labels=("weather=rain",)))
    allowed = {"a.wav": {5.5, 6.0, 6.5}, "b.wav": {0.0, 0.5}}
    assert {hit.item.path for hit in hits} == {"a.wav", "b.wav"}
    assert all(hit.seconds[0] in allowed[hit.item.path] for hit in hits)
    assert any(hit.score < whole[hit.item.path].score for hit in hits)
    with Library(calls) as library:
        (space,) = (each for each in library.spaces if each.name == MODEL)
        found = {items[0].path: (unit_rows(vectors), spans) for items, vectors, spans in library.contents_in(space)}
    for hit in hits:
        vectors, spans = found[hit.item.path]
        kept = np.isin(spans[:, 0], list(allowed[hit.item.path]))
        assert hit.score == pytest.approx((vectors @ found["d.wav"][0].T)[kept].max(), abs=1e-6)


def test_a_copy_with_other_ranges_is_found_in_its_own_windows(calls, tiny, tmp_path):
    (tmp_path / "in" / "e.wav").write_bytes((tmp_path / "in" / "a.wav").read_bytes())
    index(tmp_path / "in", calls, models=[MODEL], host=tiny)
    (tmp_path / "e.csv").write_text("path,start,stop,call\ne.wav,8.5,9.5,owl\n")
    import_labels(tmp_path / "e.csv", calls)
    of_e = {("e.wav", 8.0), ("e.wav", 8.5), ("e.wav", 9.0)}
    assert rows(calls, labels=("owl",)) == OWL | every("c.wav") | of_e
    found = windows(calls, tiny, tmp_path / "in" / "d.wav", labels=("owl",), paths=("[ae].wav",))
    assert found == {("a.wav", 1.5, 4.5), ("a.wav", 5.5, 7.5), ("e.wav", 8.0, 10.0)}
    set_labels(calls, tmp_path / "in" / "e.wav", put={"call": "owl"})
    assert rows(calls, labels=("owl",)) == OWL | every("c.wav", "e.wav")


def test_segments_of_classes_are_found_in_ranges_alone(calls, tiny):
    every_hit = search_tags("loud", calls, k=99, host=tiny, min_score=0.01)
    rain = Filter(labels=("weather=rain",))
    hits = search_tags("loud", calls, k=99, host=tiny, min_score=0.01, where=rain)
    ranges = {"a.wav": (6, 7), "b.wav": (0, 1)}
    expected = [
        hit
        for hit in every_hit
        if hit.item.path in ranges and len(matching_windows(np.array([hit.seconds]), *ranges[hit.item.path], 0.5))
    ]
    assert hits == expected and 0 < len(hits) < len(every_hit)
    assert search_tags("loud", calls, k=1, host=tiny, min_score=0.01, where=rain) == hits[:1]


def test_what_is_said_of_whole_items_is_said_of_all_their_windows(calls, tiny):
    found = {tags.item.path: tags for tags in tag_stored(calls, host=tiny, where=Filter(labels=("owl",)))}
    whole = {tags.item.path: tags for tags in tag_stored(calls, host=tiny)}
    assert found == {path: whole[path] for path in ("a.wav", "b.wav", "c.wav")}


def test_rows_agree_with_the_definition_for_random_ranges(calls, tmp_path):
    random = np.random.default_rng(0)
    for least in (0.05, 0.5, 1.0):
        places = [(path, *np.sort(random.uniform(0, 10, 2)).round(2)) for path in "aabbd" for _ in range(3)]
        lines = [f"{path}.wav,{start},{stop},fox" for path, start, stop in places]
        (tmp_path / "x.csv").write_text("\n".join(["path,start,stop,call", *lines, "c.wav,,,"]) + "\n")
        import_labels(tmp_path / "x.csv", calls)
        expected = {
            (f"{path}.wav", a)
            for path, start, stop in places
            for a in np.arange(19) / 2
            if max(0, min(a + 1, stop) - max(a, start)) >= least * min(1, stop - start) * (1 - 1e-9)
            and min(a + 1, stop) > max(a, start)
        }
        assert rows(calls, labels=("fox",), min_overlap=least) == expected


def test_commands_take_labels_of_ranges(calls, tmp_path, command):
    listed = json.loads(command("list", "-l", calls, "--label", "weather=rain", "--json").stdout)
    assert [each["path"] for each in listed] == ["a.wav", "b.wav"]
    done = command("export", calls, "--to", tmp_path / "x.npz", "--space", MODEL, "--label", "weather=rain")
    assert done.returncode == 0, done.stderr
    assert sorted(np.load(tmp_path / "x.npz")["seconds"][:, 0].tolist()) == [0, 0.5, 5.5, 6, 6.5]
    words = ["search", tmp_path / "in" / "d.wav", "-l", calls, "--label", "weather=rain", "--min-overlap", "1"]
    hits = json.loads(command(*words, "--json").stdout)
    assert sorted((hit["path"], hit["seconds"][0]) for hit in hits) == [("a.wav", 6), ("b.wav", 0)]
    assert command(*words, "--min-overlap", "0").returncode == 2
    done = command("list", "-l", calls, "--label", "wether=rain")
    assert "column 'wether': expected one of the library's; did you mean 'weather'?" in done.stderr
    with pytest.raises(SightsoundError, match="min_overlap: expected a number over 0 and up to 1, got 2"):
        rows(calls, labels=("owl",), min_overlap=2)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_exported_windows_have_the_labels_of_the_ranges_that_they_overlap(calls, tmp_path, command, form):
    """As in the table of `label --to`, and no label of a file comes of them when the rows are imported."""
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    words = ["export", calls, "--space", MODEL, "--to", tmp_path / f"x.{form}"]
    assert command(*words).returncode == 0
    if form == "parquet":
        found = pyarrow.read_table(tmp_path / "x.parquet").to_pylist()
        assert command("import", tmp_path / "x.parquet", "-l", tmp_path / "again").returncode == 0
        with Library(tmp_path / "again") as opened:
            assert {each[1:] for each in opened.all_labels()} == {("call", "owl")}
    else:
        with open(tmp_path / "x.csv", newline="") as file:
            found = list(csv.DictReader(file))
        for row in found:
            row |= {n: row[n].split("; ") if row[n] else [] for n in ("call", "window.call", "window.weather")}
    of = {(row["path"], float(row["start"])): (row["call"], row["window.call"], row["window.weather"]) for row in found}
    assert of["a.wav", 6] == ([], ["owl"], ["rain"]) and of["a.wav", 6.5] == ([], ["owl", "wren"], ["rain"])
    assert of["a.wav", 1] == ([], [], []) and of["b.wav", 2.5] == ([], ["owl"], [])
    assert of["c.wav", 0] == (["owl"], [], []) and len(of) == 4 * 19
    done = command(*words, "--label", "call=wren", "--min-overlap", "1")
    assert done.stdout.startswith("4 vectors in"), done.stderr


def test_list_and_stats_show_labels_of_ranges(calls, command, tmp_path):
    found = {each.item.path: each for each in list_items(calls)}
    ranges = [(0, 1, "call", "wren"), (0, 1, "weather", "rain"), (3, 3, "call", "owl")]
    assert found["b.wav"].ranges == tuple(TimeRange(*each) for each in ranges)
    assert found["c.wav"].ranges == () and found["b.wav"].labels == {}
    shown = command("list", "-l", calls).stdout.splitlines()
    cells = {line.split()[1].rpartition("/")[2]: line.split()[5:] for line in shown[1:]}
    assert cells["a.wav"] == ["owl@2-4,", "owl@6-7,", "wren@7-9", "rain@6-7"] and cells["c.wav"] == ["owl"]
    first = json.loads(command("list", "-l", calls, "--json").stdout)[1]
    place = {"low_hz": None, "high_hz": None, "channel": None}
    assert first["ranges"][0] == {"start": 0, "stop": 1, "column": "call", "value": "wren", **place}
    assert command("list", "-l", calls, "--csv", "-o", tmp_path / "l.csv").returncode == 0
    rows = list(csv.DictReader((tmp_path / "l.csv").open()))
    assert [row["ranges"] for row in rows] == ["4", "3", "0", "0", "0"]
    counted = stats(calls)
    assert counted.ranges == {("call", "owl"): (2, 3), ("call", "wren"): (2, 2), ("weather", "rain"): (2, 2)}
    assert counted.labels == {("call", "owl"): 1}
    printed = command("stats", "-l", calls).stdout
    assert "label of time ranges" in printed and ["call", "owl", "2", "3"] in map(str.split, printed.splitlines())
    assert ["call", "owl", 2, 3] in json.loads(command("stats", "-l", calls, "--json").stdout)["ranges"]


def test_list_shows_the_first_ranges_of_many(calls, command, tmp_path):
    (tmp_path / "m.csv").write_text("path,start,stop,call\n" + "".join(f"d.wav,{i},{i}.5,owl\n" for i in range(9)))
    import_labels(tmp_path / "m.csv", calls)
    assert "owl@0-0.5, owl@1-1.5, owl@2-2.5, and 6 more" in command("list", "-l", calls, "--path", "d*").stdout
