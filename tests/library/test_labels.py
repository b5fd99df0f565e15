"""Labels that are set by hand, and that come and go as tables; time ranges of Raven, Audacity and CSV."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import os
import re
import sqlite3
from pathlib import Path

import pytest
import soundfile

from library_files import POSIX, item_id, labels_of, ranges_of, raw_database
from made import RATE, loud_and_silent, write_image, write_sound
from sightsound import (
    Filter,
    Library,
    LibraryError,
    SightsoundError,
    TimeRange,
    check,
    export_labels,
    forget,
    import_labels,
    index,
    migrate,
    set_labels,
)
from sightsound.contract.csv_cells import guarded, unguarded
from sightsound.library.label_cells import bytes_of_escapes, csv_line, path_cell

SOUND = "dogs/0.wav"
VALUES = [
    "a,b",
    'a "b"',
    "two\nlines",
    "a\rb",
    "=1+1",
    "-5",
    "-x",
    "'",
    "'=x",
    "''-x",
    "+",
    "@a",
    " a ",
    "ä",
    "NA",
    "#",
    "\\",
]


@pytest.fixture
def spectral(where):
    """Time ranges of one recording: with and without a band and a channel, and a moment."""
    ranges = [
        (0.25, 0.25, None, None, None, "call", "tick"),
        (0.5, 1.5, 300.0, 700.5, 1, "call", "hoo"),
        (0.5, 1.5, 300.0, 700.5, 1, "mood", "calm"),
        (0.5, 1.5, 300.0, 700.5, 1, "mood", "wet"),
        (1.0, 1.123456789, None, None, 0, "call", "hoo"),
    ]
    with Library(where) as library:
        id_ = item_id(library, SOUND)
        with library.writing() as writer:
            writer.labels.begin()
            writer.labels.stage_ranges((id_, *values, None) for values in ranges)
            writer.labels.apply()
    return where


# -- set by hand ------------------------------------------------------------------------------------------------------


def test_labels_are_set_added_removed_and_cleared_at_and_below_paths(where, zoo, command):
    assert command("label", zoo / "cats", "-l", where, "--set", "species=cat", "--set", "species=pet").returncode == 0
    assert command("label", zoo / "cats" / "0.png", zoo / "dogs", "-l", where, "--set", "species=dog").returncode == 0
    found = labels_of(where)
    assert found["cats/0.png"] == found["dogs/1.wav"] == {"species": ("dog",)}
    assert found["cats/1.png"] == {"species": ("cat", "pet")}
    done = command("label", zoo, "-l", where, "--add", "species=seen", "--remove", "species=pet", "--add", "mood=a=b")
    assert done.stdout == "5 items changed\n"
    found = labels_of(where)
    assert found["cats/1.png"] == {"species": ("cat", "seen"), "mood": ("a=b",)}
    assert command("label", zoo / "cats", "-l", where, "--clear", "species").returncode == 0
    found = labels_of(where)
    assert found["cats/1.png"] == {"mood": ("a=b",)} and found["dogs/0.wav"]["species"] == ("dog", "seen")


@pytest.mark.parametrize(
    ("where_", "expected"),
    [
        (Filter(modality="sound"), {"dogs/0.wav", "dogs/1.wav"}),
        (Filter(paths=("cats/[01]*",)), {"cats/0.png", "cats/1.png"}),
        (Filter(facts=("seconds>1",)), {"dogs/0.wav", "dogs/1.wav"}),
        (Filter(labels=("who=Tom",)), {"cats/2.png"}),
        (Filter(labels=("Tom",), modality="sound"), set()),
    ],
    ids=["modality", "path", "fact", "label", "none"],
)
def test_a_condition_chooses_items_without_paths_and_within_them(where, zoo, where_, expected):
    set_labels(where, zoo / "cats" / "2.png", put={"who": "Tom"})
    assert set_labels(where, where=where_, put={"seen": "yes"}).items == len(expected)
    assert {path for path, labels in labels_of(where).items() if "seen" in labels} == expected
    within = {path for path in expected if path.startswith("cats")}
    assert set_labels(where, zoo / "cats", where=where_, add={"seen": "no"}).items == len(within)


def test_what_is_labelled_is_chosen_by_all_conditions_of_a_search(where, command):
    """Also by the time of a file, which none of these has, and by labels."""
    label = ["label", "-l", where, "--add", "mood=calm"]
    assert command(*label, "--hour", "22-4").stdout == command(*label, "--after", "2026-05-01").stdout
    assert command(*label, "--labelled", "--path", "dogs/0.wav").stdout == "0 items changed\n"
    assert command(*label, "--unlabelled", "--path", "dogs/0.wav").stdout == "1 item changed\n"
    assert command(*label, "--labelled", "mood").stdout == "0 items changed; 1 as before\n"
    misspelt = command(*label, "--label", "moood=calm")
    assert misspelt.returncode == 2 and "did you mean 'mood'?" in misspelt.stderr


def test_items_that_are_so_already_are_not_counted_as_changed(where, zoo, command):
    def label(*words):
        return command("label", zoo, "-l", where, *words).stdout

    command("label", zoo / "cats", "-l", where, "--set", "species=cat")
    assert label("--remove", "species=cat") == "3 items changed; 2 as before\n"
    command("label", zoo / "cats", "-l", where, "--set", "species=cat", "--set", "mood=calm")
    assert label("--remove", "species=dog") == "0 items changed; 5 as before\n"
    assert label("--set", "species=cat") == "2 items changed; 3 as before\n"
    assert label("--add", "mood=calm", "--set", "species=cat") == "2 items changed; 3 as before\n"
    assert label("--set", "mood=calm", "--add", "mood=wet") == "5 items changed\n", "and has the one that stays"
    assert label("--clear", "mood", "--remove", "species=cat", "--add", "species=cat", "--add", "mood=wet") == (
        "5 items changed\n"
    )
    assert set(map(str, labels_of(where).values())) == {"{'mood': ('wet',), 'species': ('cat',)}"}
    assert label("--clear", "mood", "--set", "mood=wet") == "0 items changed; 5 as before\n"
    assert label("--clear", "mood") == "5 items changed\n"
    report = set_labels(where, zoo / "cats", add={"mood": "calm"})
    assert (report.items, report.changed, report.labels) == (3, 3, 3)


def test_a_path_that_is_not_in_the_library_changes_nothing(where, zoo):
    with pytest.raises(LibraryError, match="nothing of this path is in lib; see `sightsound stats`"):
        set_labels(where, [zoo, zoo / "cat"], put={"species": "cat"})
    assert not any(labels_of(where).values())


def test_a_misspelt_column_is_an_error_that_suggests_the_nearest(where, zoo, command, tmp_path):
    assert set_labels(where, zoo, put={"species": "cat", "specie2": "x"}).items == 5, "the first need no flag"
    refused = command("label", zoo, "-l", where, "--set", "Specis=owl")
    assert refused.returncode == 2 and "did you mean 'species'? `label --new-column` makes it" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    (tmp_path / "t.csv").write_text("path,speices\ncats/0.png,owl\n")
    with pytest.raises(SightsoundError, match=r"t.csv: column 'speices': expected .* did you mean 'species'"):
        import_labels(tmp_path / "t.csv", where)
    assert "owl" not in str(labels_of(where))
    assert command("label", zoo, "-l", where, "--set", "Specis=owl", "--new-column").returncode == 0
    assert command("label", zoo, "-l", where, "--set", "mood=calm").returncode == 0, "similar to none"
    with pytest.raises(SightsoundError, match="column 'moods': expected one of the library's; did you mean 'mood'"):
        set_labels(where, zoo, clear=["moods"])


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "species"],
        ["--set", "species="],
        ["--set", "=owl"],
        ["--set", "path=x"],
        [],
        ["--set", "a=b", "--from", "t.csv"],
        ["--to", "t.csv", "--json"],
        ["--for", "x.wav"],
        ["--ranges", "--set", "a=b"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_refused(where, zoo, command, words):
    done = command("label", zoo, "-l", where, *words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert not any(labels_of(where).values())


def test_a_change_of_all_items_needs_a_path_or_a_condition(where):
    with pytest.raises(SightsoundError, match="expected files, folders or a condition, got none"):
        set_labels(where, put={"species": "owl"})


# -- tables of items -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", VALUES)
def test_a_label_comes_back_from_a_cell(value):
    assert unguarded(guarded(value)) == value
    (row,) = csv.reader([*csv_line([value, "x"]).splitlines(keepends=True)])
    assert row == [value, "x"]
    assert value == "-5" or not guarded(value).startswith(("=", "+", "-", "@"))


def test_labels_come_back_from_a_table_as_they_were(where, zoo, tmp_path, command):
    set_labels(where, zoo / "cats", put={"species": VALUES, 'a,"b"': "x"})
    set_labels(where, zoo / "cats" / "1.png", add={"mood": ["calm", "wet"]})
    before = labels_of(where)
    assert export_labels(where, tmp_path / "t.csv") == []
    set_labels(where, zoo, put={"species": "none", "mood": "none"})
    report = import_labels(tmp_path / "t.csv", where)
    assert labels_of(where) == before
    assert (report.items, report.labels, report.unmatched) == (
        5,
        sum(len(v) for x in before.values() for v in x.values()),
        (),
    )
    done = command("label", "-l", where, "--to", "-")
    assert done.stdout.encode() == (tmp_path / "t.csv").read_bytes()
    export_labels(where, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()


def test_a_table_that_was_edited_with_pandas_gives_its_labels(where, zoo, tmp_path):
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    set_labels(where, zoo / "cats", put={"species": VALUES, "mood": "calm"})
    export_labels(where, tmp_path / "t.csv")
    table = pandas.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    table.loc[table.path == SOUND, "species"] = "dog, tame"
    table["size"] = "large"
    table.to_csv(tmp_path / "edited.csv", index=False, quoting=csv.QUOTE_ALL)  # else not what has a lone "\r"
    expected = labels_of(where)
    expected[SOUND] = {"species": ("dog, tame",)}
    expected = {path: {**labels, "size": ("large",)} for path, labels in expected.items()}
    assert import_labels(tmp_path / "edited.csv", where).unmatched_count == 0
    assert labels_of(where) == expected


@POSIX
def test_odd_names_come_back_or_the_table_says_why_not(tiny, tmp_path):
    names = [
        b"a,b.png",
        b'q"x.png',
        b"new\nline.png",
        b"a\rb.png",
        b"=f.png",
        b"-d.png",
        b"caf\xe9.png",
        b"tab\tx.png",
        b" .png",
    ]
    for seed, name in enumerate([*names, b"twin\xe9.png", b"twin\\xe9.png"]):
        write_image(tmp_path / "in" / os.fsdecode(name), seed)
    index(tmp_path / "in", tmp_path / "lib", models=["colours.tiny"], host=tiny)
    for seed, name in enumerate([*names, b"twin\xe9.png", b"twin\\xe9.png"]):
        set_labels(tmp_path / "lib", tmp_path / "in" / os.fsdecode(name), put={"number": str(seed)})
    before = labels_of(tmp_path / "lib")
    notes = export_labels(tmp_path / "lib", tmp_path / "t.csv")
    assert notes == ["twin\\xe9.png: left out, another item has the name that stands for this one"]
    (tmp_path / "t.csv").read_text("utf-8")
    set_labels(tmp_path / "lib", tmp_path / "in", put={"number": "none"})
    assert import_labels(tmp_path / "t.csv", tmp_path / "lib").unmatched_count == 0
    after = labels_of(tmp_path / "lib")
    assert after.pop(os.fsdecode(b"twin\xe9.png")) == {"number": ("none",)}
    assert before.pop(os.fsdecode(b"twin\xe9.png")) and after == before


def test_the_escapes_of_a_name_come_back():
    name = os.fsdecode(b"=caf\xe9\x80.png")
    assert path_cell(name) == "./=caf\\xe9\\x80.png" and "./" + name == bytes_of_escapes(path_cell(name))


def test_rows_that_mean_no_item_are_told_and_the_others_taken(where, zoo, tmp_path, command):
    (tmp_path / "t.csv").write_text(f"path,species\ncats/0.png,cat\ncats/9.png,cat\n,cat\n{zoo}/cats/1.png,cat\n")
    done = command("label", "--from", tmp_path / "t.csv", "-l", where)
    assert done.returncode == 1 and done.stdout == "2 labels of 2 items\n"
    assert done.stderr == "no item for cats/9.png\nno item for row 3, which has no path\n"
    (tmp_path / "t.csv").write_text("path,species\ncats/9.png,cat\n")
    with pytest.raises(SightsoundError, match="none of 1 is .the first: cats/9.png.; see `sightsound stats`"):
        import_labels(tmp_path / "t.csv", where)


def test_a_file_that_is_no_item_is_named_once_and_further_ones_are_counted(where, zoo, tmp_path, tiny, command):
    rows = "".join(f"dogs/gone{i}.wav,x\n" for i in [*range(22), *range(22)])
    (tmp_path / "t.csv").write_text(f"path,who\ndogs/0.wav,x\n{rows}")
    told = command("label", "--from", tmp_path / "t.csv", "-l", where).stderr.splitlines()
    assert told[0] == "no item for dogs/gone0.wav (2 rows)" and told[20:] == ["... and 4 more rows"]
    done = command("index", zoo, "-l", where, "--model", "loudness.tiny", "--label-from", tmp_path / "t.csv")
    told = done.stderr.splitlines()
    assert told[0] == "no item for dogs/gone0.wav (2 rows)" and told[20:] == ["... and 4 more rows"]


def test_a_path_below_two_roots_needs_the_root(where, zoo, tiny, tmp_path, command):
    write_image(tmp_path / "other" / "cats" / "0.png", 77)
    index(tmp_path / "other", where, models=["colours.tiny"], host=tiny)
    (tmp_path / "t.csv").write_text("path,who\ncats/0.png,Tom\ncats/1.png,Tim\n")
    done = command("label", "--from", tmp_path / "t.csv", "-l", where)
    assert done.returncode == 1
    assert done.stderr == "no item for cats/0.png: 2 files of this path; say which in a column 'root'\n"
    (tmp_path / "t.csv").write_text(f"path,root,who\ncats/0.png,{tmp_path / 'other'},Tom\n")
    assert import_labels(tmp_path / "t.csv", where).unmatched_count == 0
    with Library(where) as library:
        who = {(each.root, each.path): library.labels(each.id).get("who") for each in library.items()}
    assert who[str(tmp_path / "other"), "cats/0.png"] == ("Tom",) and who[str(zoo), "cats/0.png"] is None


@pytest.mark.parametrize("ending", [".npz", ".txt", ".png", ""])
def test_a_name_whose_ending_says_another_form_is_refused(where, tmp_path, command, ending):
    done = command("label", "--to", tmp_path / f"t{ending}", "-l", where)
    assert done.returncode == 2 and "expected a name that ends in .csv" in done.stderr
    assert not (tmp_path / f"t{ending}").exists()


def all_ranges(where):
    with Library(where) as library:
        return {each.path: library.ranges(each.id) for each in library.items()}


@POSIX
@pytest.mark.parametrize("form", ["json", "parquet"])
def test_labels_and_odd_paths_survive_json_and_parquet(tiny, tmp_path, command, form):
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    names = [b"a,b.png", b'q"uote.png', b"new\nline.png", b"=x.png", b"-d.png", b"caf\xe9.png"]
    for seed, name in enumerate(names):
        write_image(tmp_path / "in" / os.fsdecode(name), seed)
    write_sound(tmp_path / "in" / "s.wav", seconds=3)
    write_sound(tmp_path / "in" / "-t.wav", 1, seconds=3)
    index(tmp_path / "in", tmp_path / "lib", models=["colours.tiny", "loudness.tiny"], host=tiny)
    set_labels(tmp_path / "lib", tmp_path / "in" / "a,b.png", put={"text": VALUES, "note": ["x"], "list": ["1", "2.0"]})
    set_labels(tmp_path / "lib", tmp_path / "in" / os.fsdecode(b"caf\xe9.png"), put={"text": "coffee"})
    rows = ["s.wav,0.5,1.25,,,,=bark", "s.wav,0.5,1.25,,,,hum", "-t.wav,0,1,100,200.5,1,x"]
    (tmp_path / "r.csv").write_text("\n".join(["path,start,stop,low_hz,high_hz,channel,kind", *rows]) + "\n")
    import_labels(tmp_path / "r.csv", tmp_path / "lib")
    labels, ranges = labels_of(tmp_path / "lib"), all_ranges(tmp_path / "lib")
    assert {len(each) for each in ranges.values()} == {0, 1, 2}
    for name, words in ((f"t.{form}", ()), (f"r.{form}", ("--ranges",))):
        done = command("label", "--to", tmp_path / name, *words, "-l", tmp_path / "lib")
        assert done.returncode == 0, done.stderr
    set_labels(tmp_path / "lib", tmp_path / "in", put={"text": "none", "note": "none"}, clear=["list"])
    set_labels(tmp_path / "lib", tmp_path / "in", clear=["kind"], ranges=True)
    assert not any(all_ranges(tmp_path / "lib").values())
    for name in (f"t.{form}", f"r.{form}"):
        done = command("label", "--from", tmp_path / name, "-l", tmp_path / "lib")
        assert done.returncode == 0, done.stderr
    assert labels_of(tmp_path / "lib") == labels and all_ranges(tmp_path / "lib") == ranges


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_tables_of_other_programs_may_have_lists_and_numbers(where, tmp_path, command, form):
    records = [
        {"path": "cats/0.png", "species": ["cat", "pet"], "count": 3, "mood": None},
        {"path": "cats/1.png", "species": [], "count": None, "mood": "calm"},
    ]
    write_records(tmp_path / f"t.{form}", records)
    assert import_labels(tmp_path / f"t.{form}", where).labels == 4
    assert labels_of(where)["cats/0.png"] == {"species": ("cat", "pet"), "count": ("3",)}
    assert labels_of(where)["cats/1.png"] == {"mood": ("calm",)}
    write_records(tmp_path / f"r.{form}", [{"path": SOUND, "start": 0, "end": 1.5, "channel": 1.0, "kind": "bark"}])
    assert import_labels(tmp_path / f"r.{form}", where).ranges == 1
    write_records(tmp_path / f"m.{form}", [{"path": "cats/0.png", "specis": "dog"}])
    done = command("label", "--from", tmp_path / f"m.{form}", "-l", where)
    assert (
        done.returncode == 2
        and "column 'specis': expected one of the library's, did you mean 'species'?" in done.stderr
    )
    done = command("label", "--from", tmp_path / f"t.{form}", "--column", "moot", "-l", where)
    assert done.returncode == 2 and "did you mean 'mood'?" in done.stderr
    write_records(tmp_path / f"p.{form}", [{"pth": "cats/0.png", "species": "dog"}])
    done = command("label", "--from", tmp_path / f"p.{form}", "-l", where)
    assert done.returncode == 2 and "with a column 'path', got pth, species; rename" in done.stderr


def write_records(file, records):
    if file.suffix == ".json":
        file.write_text(json.dumps(records, indent=1))
    else:
        pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
        pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow").write_table(
            pyarrow.Table.from_pylist(records), file
        )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "does not begin with"),
        ("{}", "does not begin with"),
        ('[{"path": "a"}, ', "Expecting value"),
        ('[{"path": "a"}] x', "there is more after its ]"),
        ('[{"path": "a"}, 3]', "row 2: expected an object"),
        ('[{"path": {"a": 1}, "x": "y"}]', "row 1: path: expected a text"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_json_that_cannot_be_read_is_an_error_in_one_line(where, tmp_path, content, why):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(SightsoundError, match="t.json: expected a list of objects in JSON") as raised:
        import_labels(tmp_path / "t.json", where)
    assert why in str(raised.value) and "\n" not in str(raised.value)


def test_parquet_that_cannot_be_read_is_an_error_in_one_line(where, tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    write_records(tmp_path / "t.parquet", [{"path": "cats/0.png", "species": "cat"}])
    whole = (tmp_path / "t.parquet").read_bytes()
    for damaged in (b"", whole[:-9], b"PAR1" + bytes(100) + b"PAR1"):
        (tmp_path / "t.parquet").write_bytes(damaged)
        with pytest.raises(SightsoundError, match="t.parquet: expected a Parquet file") as raised:
            import_labels(tmp_path / "t.parquet", where)
        assert "\n" not in str(raised.value)


def test_a_long_json_is_read_in_pieces(where, tmp_path, monkeypatch):
    from sightsound.library import label_records

    monkeypatch.setattr(label_records, "_CHARACTERS", 7)
    text = "x" * 100
    write_records(tmp_path / "t.json", [{"path": f"cats/{i}.png", "species": f"{text}{i}"} for i in range(2)])
    assert import_labels(tmp_path / "t.json", where).labels == 2
    assert labels_of(where)["cats/1.png"] == {"species": (f"{text}1",)}


def test_only_some_columns_and_items_are_written(where, zoo, tmp_path, command):
    set_labels(where, zoo, put={"species": "cat", "mood": "calm"})
    done = command("label", zoo / "dogs", "--to", "-", "--column", "mood", "-l", where)
    assert done.stdout == f"path,root,mood\ndogs/0.wav,{zoo},calm\ndogs/1.wav,{zoo},calm\n"
    refused = command("label", "--to", "-", "--column", "moot", "-l", where)
    assert refused.returncode == 2 and "did you mean 'mood'?" in refused.stderr
    (tmp_path / "t.csv").write_text("path,Species,mood\ncats/0.png,tiger,wild\n")
    import_labels(tmp_path / "t.csv", where, columns=["species"])
    assert labels_of(where)["cats/0.png"] == {"species": ("tiger",), "mood": ("calm",)}


def test_a_file_with_a_wrong_row_changes_nothing(where, zoo, tmp_path):
    set_labels(where, zoo, put={"species": "cat"})
    (tmp_path / "t.csv").write_text("path,start,stop,species\ndogs/0.wav,0,1,bark\ndogs/0.wav,0,x,bark\n")
    with pytest.raises(SightsoundError, match="t.csv: row 2: stop: expected seconds, got 'x'; correct it"):
        import_labels(tmp_path / "t.csv", where)
    assert ranges_of(where) == []


# -- time ranges ------------------------------------------------------------------------------------------------------


def places(where, path=SOUND, column="call"):
    return [(each.start, each.stop, each.value) for each in ranges_of(where, path) if each.column == column]


def test_a_time_range_is_labelled_by_hand(spectral, zoo, command):
    def label(*words, file="0.wav"):
        done = command("label", zoo / "dogs" / file, "-l", spectral, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = places(spectral)
    assert label("--set", "call=owl", "--start", "0.5", "--stop", "1.75") == "1 item changed\n"
    assert set(places(spectral)) == {*before, (0.5, 1.75, "owl")}
    label("--set", "call=wren", "--set", "mood=loud", "--start", "0.5", "--stop", "1.75")
    assert set(places(spectral)) == {*before, (0.5, 1.75, "wren")}, "in place of that of this very range"
    label("--add", "call=owl", "--add", "call=wren", "--start", "0.5", "--stop", "1.75")
    assert set(places(spectral)) == {*before, (0.5, 1.75, "owl"), (0.5, 1.75, "wren")}
    assert len(places(spectral)) == len(before) + 2, "not twice"
    label("--remove", "call=hoo", "--start", "0.4", "--stop", "1.6")
    assert set(places(spectral)) == {(0.25, 0.25, "tick"), (0.5, 1.75, "owl"), (0.5, 1.75, "wren")}
    assert (0.5, 1.75, "loud") in places(spectral, column="mood"), "of another column"
    label("--clear", "call", "--start", "0.5", "--stop", "1.75")
    assert places(spectral) == [(0.25, 0.25, "tick")]
    label("--add", "call=a,b", "--start", "1", "--stop", "1", file="1.wav")
    label("--remove", "call=tick", "--ranges")
    assert places(spectral) == [] and places(spectral, "dogs/1.wav") == [(1, 1, "a,b")]
    assert "call" not in labels_of(spectral)[SOUND], "the recording itself has no label"


def test_labels_of_ranges_and_of_items_do_not_disturb_each_other(spectral, zoo):
    set_labels(spectral, zoo / SOUND, put={"call": "hoo"})
    before = ranges_of(spectral)
    set_labels(spectral, zoo / SOUND, put={"call": "tick"}, clear=["mood"])
    assert ranges_of(spectral) == before
    report = set_labels(spectral, zoo / SOUND, clear=["call"], start=0, stop=2)
    assert (report.items, report.labels, report.ranges) == (1, 0, 0)
    assert labels_of(spectral)[SOUND] == {"call": ("tick",)} and not places(spectral)
    assert set_labels(spectral, zoo / "dogs", add={"call": "hoo"}, start=0, stop=1).ranges == 2


def test_time_ranges_that_are_so_already_are_not_counted_as_changed(spectral, zoo):
    def set_range(**changes):
        return set_labels(spectral, zoo / "dogs", **changes).changed

    before = ranges_of(spectral)
    assert set_range(add={"call": "hoo"}, start=0.5, stop=1.5) == 1, "one has it, with a band"
    assert set_range(put={"call": "hoo"}, start=0.5, stop=1.5) == 1, "which a new one does not have"
    assert set_range(put={"call": "hoo"}, start=0.5, stop=1.5) == 0
    assert set_range(clear=["call"], add={"call": "hoo"}, start=0.5, stop=1.5) == 1, "the shorter range within"
    assert set_range(remove={"call": "hoo"}, start=2, stop=3) == 0
    assert [each.value for each in ranges_of(spectral) if each.column == "call"] == ["tick", "hoo"]
    assert [each for each in ranges_of(spectral) if each.column == "mood"] == before[2:4]
    assert set_range(remove={"call": "tick"}, ranges=True) == 1 and set_range(clear=["mood"], ranges=True) == 1


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [("0:01", "0:01.5", (1, 1.5)), ("0:00:01.25", "1.75", (1.25, 1.75)), ("00:00", "0:00:02", (0, 2))],
)
def test_the_times_of_a_range_may_have_minutes_and_hours(where, zoo, command, start, stop, expected):
    words = ("label", zoo / SOUND, "-l", where, "--set", "call=owl", "--start", start, "--stop", stop)
    assert command(*words).returncode == 0
    assert places(where) == [(*expected, "owl")]


@pytest.mark.parametrize("time", ["1:", ":30", "1:2:3:4", "1:-5", "x", "1,5", "1:3e1", ""])
def test_a_time_that_is_none_is_refused(where, zoo, command, time):
    done = command("label", zoo / SOUND, "-l", where, "--set", "call=owl", "--start", time, "--stop", "2")
    assert done.returncode == 2 and f"expected seconds, or a time as 1:30 or 1:02:03.5, got {time!r}" in done.stderr
    assert ranges_of(where) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["dogs/0.wav", "--set", "call=a", "--start", "1"],
            "expected a start of 0 s or more .*, got 1 s to none; give",
        ),
        (["dogs/0.wav", "--set", "call=a", "--start", "2", "--stop", "1"], "got 2 s to 1 s"),
        (["dogs/0.wav", "--set", "call=a", "--start", "-1", "--stop", "1"], "got -1 s to 1 s"),
        (["dogs/0.wav", "--set", "call=a", "--start", "nan", "--stop", "1"], "got nan s to 1 s"),
        (["dogs/0.wav", "--set", "call=a", "--start", "1", "--stop", "inf"], "got 1 s to inf s"),
        (["dogs/0.wav", "--set", "call=a", "--start", "9", "--stop", "10"], "expected a start within its 2 s, got 9"),
        (["cats/0.png", "--set", "call=a", "--start", "0", "--stop", "1"], "expected a recording, got an image"),
        (["cats", "dogs", "--set", "call=a", "--start", "0", "--stop", "1"], "expected a recording, got an image"),
        (["dogs", "--set", "call=a", "--ranges"], "label one with --start and --stop"),
        (["--to", "x.csv", "--start", "0", "--stop", "1"], "--start and --stop go with --set"),
        (["dogs", "--remove", "cal=a", "--start", "0", "--stop", "1"], "did you mean 'call'"),
    ],
)
def test_a_range_by_hand_that_cannot_be_meant_changes_nothing(spectral, zoo, command, words, message):
    before = ranges_of(spectral)
    done = command("label", *(zoo / word if word[:4] in ("dogs", "cats") else word for word in words), "-l", spectral)
    assert done.returncode == 2 and re.search(message, done.stderr), done.stderr
    assert ranges_of(spectral) == before


def test_ranges_of_several_files_and_channels_come_back_from_a_selection_table(where, tmp_path, command):
    rows = [
        "dogs/0.wav,0.1,0.9,100,700,0,hoo",
        "dogs/0.wav,0.1,0.9,100,700,1,hoo",
        "dogs/0.wav,0.1,0.9,200,300,1,hum",
        "dogs/1.wav,0.1,0.9,100,700,1,hoo",
        "dogs/1.wav,1.5,2,50,60,0,hoo",
    ]
    (tmp_path / "r.csv").write_text("\n".join(["path,start,stop,low_hz,high_hz,channel,call", *rows]) + "\n")
    import_labels(tmp_path / "r.csv", where)
    before = ranges_of(where), ranges_of(where, "dogs/1.wav")
    assert [len(each) for each in before] == [3, 2]
    assert command("label", "-l", where, "--to", tmp_path / "r.txt", "--raven").returncode == 0
    lines = [line.split("\t") for line in (tmp_path / "r.txt").read_text().splitlines()[1:]]
    assert [line[2] for line in lines] == ["1", "2", "2", "2", "1"]
    assert [line[3] for line in lines][3:] == ["2.100000", "3.500000"], "after the 2 s of the first"
    with Library(where) as library:
        set_labels(library, library.roots, clear=["call"], ranges=True)
    assert command("label", "-l", where, "--from", tmp_path / "r.txt").stdout == "5 labels of time ranges of 2 items\n"
    assert (ranges_of(where), ranges_of(where, "dogs/1.wav")) == before


# -- what `tag` found -------------------------------------------------------------------------------------------------


@pytest.fixture
def steps(tiny, tmp_path):
    """Recordings that are loud and silent in turn, one of them of a name that is not UTF-8."""
    names = ["a.wav", "b, c.wav", *([os.fsdecode(b"caf\xe9.wav")] if POSIX else [])]
    (tmp_path / "in").mkdir()
    for number, name in enumerate(names):
        samples = loud_and_silent(2 + number, 2, 3, 1)
        with open(tmp_path / "in" / name, "wb") as file:
            soundfile.write(file, samples, RATE, "FLOAT", format="WAV")
    write_image(tmp_path / "in" / "p.png")
    index(tmp_path / "in", tmp_path / "lib", models=["loudness.tiny"], host=tiny)
    return tmp_path / "lib"


def found_by(command, *words):
    done = command("tag", *words, "--model", "loudness.tiny", "--threshold", "0.6")
    assert done.returncode == 0, done.stderr
    return done


def rounded_ranges(where):
    with Library(where) as library:
        return {
            (item.path, round(each.start, 3), round(each.stop, 3), each.column, each.value)
            for item in library.items()
            for each in library.ranges(item.id)
        }


@pytest.mark.parametrize("form", ["raven", "csv"])
def test_what_tag_found_comes_in_as_labels_of_ranges(steps, tmp_path, command, form):
    files = sorted((tmp_path / "in").glob("*.wav"))
    out = tmp_path / {"raven": "x.raven.txt", "csv": "x.csv"}[form]
    found_by(command, *files, f"--{form}", "-o", out)
    segments = json.loads(found_by(command, *files, "--json").stdout)
    expected = {
        (os.path.basename(each["path"]), round(s["start"], 3), round(s["stop"], 3), "label", s["label"])
        for each in segments
        for s in each["segments"]
    }
    assert len(expected) > len(files)
    done = command("label", "--from", out, "-l", steps)
    assert done.returncode == 0, done.stderr
    assert rounded_ranges(steps) == expected
    again = tmp_path / "again.txt"
    assert command("label", "--to", again, "--raven", "-l", steps).returncode == 0
    import_labels(again, steps)
    assert rounded_ranges(steps) == expected


def test_a_label_track_of_tag_comes_in(steps, tmp_path, command):
    found_by(command, tmp_path / "in" / "a.wav", "--audacity", "-o", tmp_path / "a.txt")
    done = command("label", "--from", tmp_path / "a.txt", "-l", steps, "--for", tmp_path / "in" / "a.wav")
    assert done.returncode == 0, done.stderr
    loud = {each[1:3] for each in rounded_ranges(steps) if each[4] == "loud"}
    assert loud and all(start < 2 or start > 3 for start, _ in loud)


def test_a_probe_of_ranges_finds_ranges_that_are_labels_again(steps, tmp_path, command):
    rows = ["a.wav,0,2,loud", "a.wav,2,4,still", "a.wav,4,7,loud", '"b, c.wav",0,3,loud', '"b, c.wav",3,5,still']
    (tmp_path / "r.csv").write_text("\n".join(["path,start,stop,kind", *rows, '"b, c.wav",5,8,loud']) + "\n")
    import_labels(tmp_path / "r.csv", steps)
    probe = tmp_path / "kinds.probe"
    fit = ["probe", "fit", "-l", steps, "-m", "loudness.tiny", "--windows", "--label-column", "kind"]
    done = command(*fit, "--min-overlap", "1", "--no-curve", "-o", probe)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "x.raven.txt"
    assert command("tag", tmp_path / "in" / "a.wav", "--probe", probe, "--raven", "-o", out).returncode == 0
    done = command("label", "--from", out, "-l", steps)
    assert done.returncode == 0, done.stderr
    found = [each for each in rounded_ranges(steps) if each[0] == "a.wav" and each[3] == "label"]
    for _, start, stop, _, value in found:
        middle = (start + stop) / 2
        assert value == ("still" if 2 < middle < 4 or middle > 7 else "loud")
    assert {value for *_, value in found} == {"loud", "still"}


def test_time_ranges_come_back_from_a_csv(spectral, tmp_path, command):
    before = ranges_of(spectral)
    assert len(before) == 5
    assert command("label", "--to", tmp_path / "r.csv", "--ranges", "-l", spectral).returncode == 0
    assert command("label", SOUND, "-l", spectral, "--clear", "call", "--ranges").returncode == 2, (
        "not from this folder"
    )
    with Library(spectral) as library:
        set_labels(library, library.roots, clear=["call", "mood"], ranges=True)
    assert ranges_of(spectral) == []
    done = command("label", "--from", tmp_path / "r.csv", "-l", spectral)
    assert done.stdout == "5 labels of time ranges of 1 item\n"
    assert ranges_of(spectral) == before
    import_labels(tmp_path / "r.csv", spectral)
    assert ranges_of(spectral) == before, "a second time changes nothing"
    (tmp_path / "none.csv").write_text("path,start,stop,call\ndogs/0.wav,,,\n")
    import_labels(tmp_path / "none.csv", spectral)
    assert {each.column for each in ranges_of(spectral)} == {"mood"}


def test_time_ranges_come_back_from_a_selection_table(spectral, tmp_path, command):
    assert command("label", "--to", tmp_path / "r.txt", "--raven", "-l", spectral).returncode == 0
    head, *lines = (tmp_path / "r.txt").read_text().splitlines()
    assert head.split("\t")[:4] == ["Selection", "View", "Channel", "Begin Time (s)"] and len(lines) == 4
    import_labels(tmp_path / "r.txt", spectral)
    once = ranges_of(spectral)
    tick, *others = once
    # Raven has a band and a channel for each selection
    assert tick == TimeRange(0.25, 0.25, "call", "tick", 0, 800, 0)
    assert [(r.start, r.stop, r.column, r.value) for r in others] == [
        (0.5, 1.5, "call", "hoo"),
        (0.5, 1.5, "mood", "calm"),
        (0.5, 1.5, "mood", "wet"),
        (1.0, 1.123456789, "call", "hoo"),
    ]
    assert {(r.low_hz, r.high_hz, r.channel) for r in others[:3]} == {(300, 700.5, 1)}
    export_labels(spectral, tmp_path / "again.txt", form="raven")
    assert (tmp_path / "again.txt").read_text() == (tmp_path / "r.txt").read_text()


def test_time_ranges_come_back_from_a_label_track(spectral, zoo, tmp_path, command):
    refused = command("label", "--to", tmp_path / "a.txt", "--audacity", "-l", spectral)
    assert refused.returncode == 2 and "expected one column of time ranges, got call, mood" in refused.stderr
    assert (
        command("label", "--to", tmp_path / "a.txt", "--audacity", "--column", "call", "-l", spectral).returncode == 0
    )
    text = (tmp_path / "a.txt").read_text()
    assert text == ("0.250000\t0.250000\ttick\n0.500000\t1.500000\thoo\n\\\t300\t700.5\n1.000000\t1.123456789\thoo\n")
    words = ["label", "--from", tmp_path / "a.txt", "-l", spectral, "--column", "call"]
    assert "does not say which recording it is of; name it (--for RECORDING)" in command(*words).stderr
    assert command(*words, "--for", zoo / SOUND).returncode == 0
    found = [each for each in ranges_of(spectral) if each.column == "call"]
    assert found == [
        TimeRange(0.25, 0.25, "call", "tick"),
        TimeRange(0.5, 1.5, "call", "hoo", 300, 700.5),
        TimeRange(1.0, 1.123456789, "call", "hoo"),
    ]
    assert command(*words, "--for", zoo / "dogs" / "7.wav").stderr.endswith("7.wav: is not in lib; index it first\n")
    image = command(*words, "--for", zoo / "cats" / "0.png")
    assert image.returncode == 2 and "expected a recording, got an image" in image.stderr


def test_label_tracks_of_several_recordings_go_into_a_folder(spectral, tmp_path, command):
    (tmp_path / "r.csv").write_text("path,start,end,call\ndogs/1.wav,0,1,bark\n")
    import_labels(tmp_path / "r.csv", spectral)
    words = ["label", "--audacity", "--column", "call", "-l", spectral, "--to"]
    refused = command(*words, tmp_path / "a.txt")
    assert refused.returncode == 2 and "expected a folder for the label tracks of several recordings" in refused.stderr
    (tmp_path / "tracks").mkdir()
    assert command(*words, tmp_path / "tracks").returncode == 0
    assert (tmp_path / "tracks" / "1.txt").read_text() == "0.000000\t1.000000\tbark\n"
    assert sorted(path.name for path in (tmp_path / "tracks").iterdir()) == ["0.txt", "1.txt"]
    refused = command(*words, tmp_path / "more")
    assert "ends in .txt or .tsv; or make the folder, for the tracks of several" in refused.stderr


def test_a_label_track_is_named_where_recordings_share_a_name_and_says_what_it_cannot_have(
    where, zoo, tmp_path, tiny, command
):
    for folder in ("a/dogs", "b/dogs", "c"):
        write_sound(zoo / folder / "1.wav", len(folder))
    index(zoo, where, models=["loudness.tiny"], host=tiny)
    rows = "".join(f"{name}/1.wav,0,1,{i},bark\n" for i, name in enumerate(("dogs", "a/dogs", "b/dogs", "c")))
    (tmp_path / "r.csv").write_text(f"path,start,end,channel,call\n{rows}".replace("c/1.wav,0,1,3", "c/1.wav,0,1,"))
    import_labels(tmp_path / "r.csv", where)
    (tmp_path / "tracks").mkdir()
    (tmp_path / "tracks" / "1 (c).txt").write_text("what I heard there")
    command("label", "--audacity", "-l", where, "--to", tmp_path / "tracks")
    done = command("label", "--audacity", "-l", where, "--to", tmp_path / "tracks")
    assert done.returncode == 0 and done.stderr.splitlines() == [
        "a/dogs/1.wav: in 1 (dogs).txt, since 1.txt is another file",
        "b/dogs/1.wav: in 1 (2).txt, since 1.txt is another file",
        "c/1.wav: in 1 (3).txt, since 1.txt is another file",
        "3 labels without their channel, which a label track cannot have; write a CSV",
    ]
    assert len(list((tmp_path / "tracks").iterdir())) == 5, "tracks are replaced, and no other text is"
    assert (tmp_path / "tracks" / "1 (c).txt").read_text() == "what I heard there"
    done = command("label", zoo / "dogs" / "1.wav", "--audacity", "-l", where, "--to", tmp_path / "one.txt")
    assert done.stderr == "1 labels without their channel, which a label track cannot have; write a CSV\n"


def test_a_label_track_of_audacity_is_read_with_its_spectral_rows(where, zoo, tmp_path):
    """As Audacity 3 writes it: -1 for a frequency that is not set; and a label without a stop."""
    rows = [
        "0.100000\t0.900000\thoo hoo",
        "\\\t250.500000\t-1.000000",
        "1.000000\t1.000000\ttick",
        "1.5\tend",
        "1.6\t1.7\t",
    ]
    (tmp_path / "labels.txt").write_text("".join(f"{row}\r\n" for row in rows), newline="")
    report = import_labels(tmp_path / "labels.txt", where, recording=zoo / SOUND)
    assert report.notes == ("1 time ranges without a label left out",)
    assert ranges_of(where) == [
        TimeRange(0.1, 0.9, "label", "hoo hoo", 250.5),
        TimeRange(1.0, 1.0, "label", "tick"),
        TimeRange(1.5, 1.5, "label", "end"),
    ]


RAVEN = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")


def raven(*rows, columns=()):
    return "\n".join("\t".join(map(str, row)) for row in [(*RAVEN, *columns), *rows]) + "\n"


def test_the_views_of_a_selection_of_raven_count_once(where, zoo, tmp_path):
    table = raven(
        (1, "Waveform 1", 1, 0.5, 1.5, "", "", -12.5, "hoo"),
        (1, "Spectrogram 1", 1, 0.5, 1.5, 300, 700, -12.5, "hoo"),
        (2, "Spectrogram 1", 1, 0.5, 1.5, 100, 200, -1, "hum"),
        (3, "Spectrogram 1", 2, 0.5, 1.5, 300, 700, -1, "hoo"),
        columns=("Peak Power Density (dB FS/Hz)", "Species"),
    )
    (tmp_path / "t.selections.txt").write_text(table, encoding="utf-8-sig")
    report = import_labels(tmp_path / "t.selections.txt", where, recording=zoo / SOUND)
    assert report.ranges == 3
    assert set(ranges_of(where)) == {
        TimeRange(0.5, 1.5, "Species", "hoo", 300, 700, 0),
        TimeRange(0.5, 1.5, "Species", "hum", 100, 200, 0),
        TimeRange(0.5, 1.5, "Species", "hoo", 300, 700, 1),
    }


def test_a_selection_table_over_several_files_names_them(where, zoo, tmp_path, tiny):
    """The second recording begins at 2 s of the sequence, and so do its times; offsets are those in the files."""
    set_labels(where, zoo, put={"species": "none"})
    table = raven(
        (1, "Spectrogram 1", 1, 0.5, 1.0, 0, 800, "0.wav", zoo / SOUND, 0.5, "hoo"),
        (2, "Spectrogram 1", 1, 2.25, 3.5, 0, 800, "1.wav", "Z:\\field\\1.wav", 0.25, "bark"),
        (3, "Spectrogram 1", 1, 2.25, 3.5, 0, 800, "7.wav", "Z:\\field\\7.wav", 0.25, "bark"),
        columns=("Begin File", "Begin Path", "File Offset (s)", "Species"),
    )
    (tmp_path / "t.txt").write_text(table)
    report = import_labels(tmp_path / "t.txt", where)
    assert report.unmatched_count == 1 and "7.wav" in report.unmatched[0]
    assert ranges_of(where) == [TimeRange(0.5, 1.0, "species", "hoo", 0, 800, 0)], "the column that the library has"
    assert ranges_of(where, "dogs/1.wav") == [TimeRange(0.25, 1.5, "species", "bark", 0, 800, 0)]
    export_labels(where, tmp_path / "out.txt", form="raven")
    begins = [line.split("\t")[3] for line in (tmp_path / "out.txt").read_text().splitlines()[1:]]
    assert begins == ["0.500000", "2.250000"]
    import_labels(tmp_path / "out.txt", where)
    assert ranges_of(where, "dogs/1.wav") == [TimeRange(0.25, 1.5, "species", "bark", 0, 800, 0)]
    write_sound(zoo / "more" / "1.wav", 9)
    index(zoo, where, models=["loudness.tiny"], host=tiny)
    (unmatched, _) = import_labels(tmp_path / "t.txt", where).unmatched
    assert "2 files of this name; write their paths" in unmatched


def test_times_of_several_recordings_one_after_the_other_are_not_taken_for_those_in_each(where, zoo, tmp_path, command):
    """Raven counts the seconds from the start of the first recording. Without the offsets they mean nothing."""
    names = ("Begin File", "File Offset (s)", "Species")
    rows = (1, "S", 1, 0.5, 1, 0, 800, "0.wav", 0.5, "hoo"), (2, "S", 1, 2.25, 3.5, 0, 800, "1.wav", "", "bark")
    for name, table in {
        "none.txt": raven(*((*row[:8], row[9]) for row in rows), columns=("Begin File", "Species")),
        "empty.txt": raven(*rows, columns=names),
        "first.txt": raven(*rows[::-1], columns=names),
    }.items():
        (tmp_path / name).write_text(table)
        done = command("label", "--from", tmp_path / name, "-l", where)
        assert done.returncode == 2 and "File Offset (s): expected seconds in each row" in done.stderr
    assert ranges_of(where) == ranges_of(where, "dogs/1.wav") == []
    (tmp_path / "one.txt").write_text(raven((*rows[0][:8], "hoo"), columns=("Begin File", "Species")))
    assert import_labels(tmp_path / "one.txt", where).ranges == 1


def test_a_path_on_another_machine_means_the_file_with_most_of_its_folders(where, zoo, tmp_path, tiny):
    write_sound(zoo / "more" / "1.wav", 9)
    index(zoo, where, models=["loudness.tiny"], host=tiny)
    for begin, found in (("Z:\\field\\more\\1.wav", "more/1.wav"), ("/field/dogs/1.wav", "dogs/1.wav")):
        table = raven((1, "S", 1, 0.5, 1, 0, 800, begin, found), columns=("Begin Path", "Species"))
        (tmp_path / "t.txt").write_text(table)
        assert import_labels(tmp_path / "t.txt", where).items == 1
        assert [each.value for each in ranges_of(where, found)] == [found]


def test_ranges_that_their_recording_does_not_have_are_named_and_left_out(where, zoo, tmp_path, command):
    rows = ("0.wav,0.5,99,,whole", "0.wav,99,100,,late", "1.wav,0,1,1,right", "1.wav,0,1,0,left", "1.wav,99,99,,late")
    (tmp_path / "t.csv").write_text("path,start,stop,channel,who\n" + "".join(f"dogs/{row}\n" for row in rows))
    done = command("label", "--from", tmp_path / "t.csv", "-l", where)
    assert done.returncode == 1 and done.stdout == "3 labels of time ranges of 2 items\n"
    assert done.stderr.splitlines() == [
        "no item for row 2 of dogs/0.wav, which starts at 99 s, after its end at 2 s",
        "no item for row 5 of dogs/1.wav, which starts at 99 s, after its end at 2 s",
        "1 time ranges are of a channel that their recording does not have, the first: "
        "row 3 of dogs/1.wav: channel 1, counted from 0, of 1",
    ]
    assert [each.value for each in ranges_of(where) + ranges_of(where, "dogs/1.wav")] == ["whole", "left", "right"]
    (tmp_path / "t.txt").write_text("99\t100\tlate\n")
    with pytest.raises(SightsoundError, match="and times within them, none of 1 is .the first: row 1 of the recording"):
        import_labels(tmp_path / "t.txt", where, columns=["who"], recording=zoo / SOUND)
    assert [each.value for each in ranges_of(where)] == ["whole"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.csv", "path,start,stop,who\ndogs/0.wav,2,1,x\n", "row 1: times: expected a start of 0 s or more"),
        ("t.csv", "path,start,stop,who\ndogs/0.wav,-1,1,x\n", "row 1: times: expected a start of 0 s or more"),
        ("t.csv", "path,start,stop,who\ndogs/0.wav,nan,1,x\n", "row 1: start: expected seconds, got 'nan'"),
        ("t.csv", "path,start,stop,who\ndogs/0.wav,0,,x\n", "row 1: stop: expected seconds, got ''"),
        ("t.csv", "path,start,stop,low_hz,who\ndogs/0.wav,0,1,-3,x\n", "row 1: low_hz: expected Hz, got '-3'"),
        ("t.csv", "path,start,stop,channel,who\ndogs/0.wav,0,1,x,x\n", "row 1: channel: expected a number from 0"),
        ("t.csv", "path,start,stop\ndogs/0.wav,0,1\n", "expected a column of labels, got path, start, stop"),
        ("t.csv", "path,who\ndogs/0.wav,x\ndogs/0.wav,x,y\n", "row 2: expected 2 cells, got 3; put a cell"),
        ("t.csv", "", "got an empty file"),
        ("t.csv", b"path,who\ndogs/0.wav,\xe9\n", "; save it in UTF-8"),
        (
            "t.csv",
            "path,start,stop,low_hz,high_hz,who\ndogs/0.wav,0,1,9,8,x\n",
            "row 1: band: expected a low frequency",
        ),
        ("t.csv", "path,start,stop,lowhz,who\ndogs/0.wav,0,1,9,x\n", "column 'lowhz': .* did you mean 'low_hz'"),
        ("t.csv", "path,strat,stop,who\ndogs/0.wav,0,1,x\n", "expected a column 'start' too, got none; rename 'strat'"),
        ("t.csv", "path,start,who\ndogs/0.wav,0,x\n", "expected a column 'stop' too, got none; add it"),
        ("t.csv", "Path,who\ndogs/0.wav,x\n", "with a column 'path', .*; rename 'Path'"),
        ("t.csv", "path;who\ndogs/0.wav;x\n", "with a column 'path', .*; write commas between the columns"),
        ("t.csv", "file,who\ndogs/0.wav,x\n", "with a column 'path', .*; rename the column that has the files"),
        ("t.txt", "0,5\t1,5\thoo\n", "with a column 'path', .*; a label track begins with seconds and a point"),
        ("t.csv", "path,root,who\ndogs/0.wav,here,x\n", "row 1: root: expected an absolute folder, got 'here'"),
        ("t.csv", "path,start,stop,who\n" + "dogs/0.wav,0,1," + "x" * 200000, "cannot be read as CSV"),
        ("t.txt", raven((1, "S", 0, 0, 1, 0, 1, "x"), columns=["A"]), "row 1: Channel: expected a number from 1"),
        ("t.txt", raven((1, "S", 1, 0), columns=["A"]), r"row 1: End Time \(s\): expected seconds, got ''"),
        ("t.txt", raven((1, "S", 1, 0, 1, 0, 1)), "expected a column of labels"),
        ("t.txt", "0.5\t1.5\thoo\n\\\t1\n", "row 2: band: expected two frequencies below a label"),
        ("t.txt", "\\\t1\t2\n", "expected a CSV with a column 'path'"),
        ("t.txt", "0.5\t0.1\thoo\n", "row 1: times: expected a start"),
        ("t.txt", "0.5\t1\thoo\nhoo\n", "row 2: label: expected start, stop and text"),
        ("t.txt", b"\xff\xfe0\x00", "cannot be read as CSV"),
        ("t.txt", b"0.5\t1\tcaf\xe9\n", "cannot be read as"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(where, zoo, tmp_path, command, name, text, words):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    recording = [] if name == "t.csv" else ["--for", zoo / SOUND]
    done = command("label", "--from", tmp_path / name, "-l", where, *recording)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    with pytest.raises(SightsoundError, match=words):
        import_labels(tmp_path / name, where, recording=None if name == "t.csv" else zoo / SOUND)
    assert ranges_of(where) == []


def test_labels_with_tabs_are_left_out_of_raven_and_said_so(spectral, tmp_path):
    (tmp_path / "r.csv").write_text('path,start,stop,call\ndogs/0.wav,0,1,"a\tb"\ndogs/0.wav,0,1,c\n')
    import_labels(tmp_path / "r.csv", spectral)
    notes = export_labels(spectral, tmp_path / "r.txt", form="raven", columns=["call"])
    assert notes[0] == "dogs/0.wav: 1 labels left out, which have tabs or ends of lines; write a CSV"
    assert len((tmp_path / "r.txt").read_text().splitlines()) == 2


def test_an_image_has_no_time_ranges(where, tmp_path, command):
    (tmp_path / "t.csv").write_text("path,start,stop,who\ncats/0.png,0,1,x\ndogs/0.wav,0,1,x\n")
    done = command("label", "--from", tmp_path / "t.csv", "-l", where)
    assert done.returncode == 1 and done.stderr == "no item for cats/0.png: an image, expected a recording\n"


# -- in the library ---------------------------------------------------------------------------------------------------


def test_time_ranges_go_with_their_item(spectral, zoo):
    with raw_database(spectral) as db:
        assert db.execute("SELECT count(*) FROM ranges").fetchone() == (5,)
    forget(zoo / SOUND, spectral)
    with raw_database(spectral) as db:
        assert db.execute("SELECT count(*) FROM ranges").fetchone() == (0,)
    assert check(spectral) == []


@pytest.mark.parametrize(
    "change",
    [
        "start = 9",
        "stop = -1",
        "start = 'x'",
        "low_hz = -1",
        "channel = -2",
        "channel = 'a'",
        "value = x'ff'",
        "item = 99",
    ],
)
def test_check_finds_time_ranges_that_cannot_be(spectral, change):
    assert check(spectral) == []
    with raw_database(spectral) as db:
        db.execute(f"UPDATE ranges SET {change} WHERE id = 2")
    found = check(spectral)
    assert found and "range" in str(found[0])
    if "item" not in change:
        with pytest.raises(LibraryError, match="damaged"):
            ranges_of(spectral)


def test_a_library_of_format_5_has_the_ranges_that_it_was_stored_with(tmp_path):
    kept = Path(__file__).parents[1] / "libraries" / "format5.sqlite.gz"
    (tmp_path / "library.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
    with Library(tmp_path) as library:
        assert library.ranges(3) == [
            TimeRange(0.25, 1.5, "call", "hoo", 300, 800, 0),
            TimeRange(0.5, 0.5, "call", "tick"),
        ]


def test_a_library_of_format_4_gets_the_table_and_can_be_labelled(tmp_path):
    kept = Path(__file__).parents[1] / "libraries" / "format4.sqlite.gz"
    (tmp_path / "library.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
    with Library(tmp_path) as library:
        assert library.ranges(3) == [] and library.label_columns() == ["label"]
    migrate(tmp_path)
    with sqlite3.connect(tmp_path / "library.format4.sqlite") as old:
        assert old.execute("PRAGMA user_version").fetchone() == (4,)
    (tmp_path / "r.csv").write_text("path,start,stop,call\nnoise.wav,0,1,hiss\n")
    assert import_labels(tmp_path / "r.csv", tmp_path).ranges == 1


def test_tables_of_other_commands_are_not_taken_for_labels(where, tmp_path, command):
    """Their other columns, such as the SHA-256, would become labels."""
    set_labels(where, tmp_path / "zoo", put={"who": ["Tim", "Tom"]})
    before = labels_of(where)
    for words in (
        ("list", "-l", where),
        ("search", tmp_path / "zoo" / "cats" / "0.png", "-l", where),
        ("duplicates", "-l", where, "--threshold", "0.01"),
    ):
        assert command(*words, "-o", tmp_path / "t.csv").returncode == 0
        done = command("label", "-l", where, "--from", tmp_path / "t.csv")
        assert (
            done.returncode == 2 and f"got one of `{words[0]}`; write one with `sightsound label --to`" in done.stderr
        )
    assert command("export", where, "-m", "colours.tiny", "--to", tmp_path / "r.csv").returncode == 0
    done = command("label", "-l", where, "--from", tmp_path / "r.csv")
    assert done.returncode == 2 and "got one of `export`" in done.stderr
    assert labels_of(where) == before
    assert command("list", "-l", where, "-o", tmp_path / "l.csv").returncode == 0
    set_labels(where, tmp_path / "zoo", put={"who": ["nobody"]})
    done = command("label", "-l", where, "--from", tmp_path / "l.csv", "--column", "who")
    assert done.returncode == 0 and labels_of(where) == before


def test_a_time_in_a_parquet_table_is_a_text(where, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    columns = {"path": [SOUND], "day": [datetime.date(2026, 5, 1)], "time": [datetime.datetime(2026, 5, 1, 4, 30)]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    import_labels(tmp_path / "t.parquet", where)
    assert labels_of(where)[SOUND] == {"day": ("2026-05-01",), "time": ("2026-05-01 04:30:00",)}


def test_a_table_that_clears_labels_of_files_speaks_of_files(where, tmp_path, command):
    set_labels(where, tmp_path / "zoo", put={"who": "Tim"})
    (tmp_path / "t.csv").write_text(f"path,who\n{SOUND},\n")
    assert command("label", "-l", where, "--from", tmp_path / "t.csv").stdout == "0 labels of 1 item\n"
    assert labels_of(where)[SOUND] == {}


def test_items_to_label_are_chosen_by_all_filters_of_search(where, tmp_path, command):
    set_labels(where, tmp_path / "zoo" / "cats" / "0.png", put={"who": "Tim"})
    done = command("label", "-l", where, "--unlabelled", "who", "--modality", "image", "--set", "mood=calm")
    assert done.returncode == 0, done.stderr
    with Library(where) as library:
        images = {each.path for each in library.items() if each.path.endswith(".png")}
    assert {path for path, labels in labels_of(where).items() if "mood" in labels} == images - {"cats/0.png"}
    assert command("label", "-l", where, "--after", "2020", "--set", "mood=new").stdout == "0 items changed\n"
