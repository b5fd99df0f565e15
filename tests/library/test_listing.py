"""`list_items`, and the command `sightsound list`."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil

import numpy as np
import pytest

from made import write_image, write_sound
from sightsound import Filter, Library, SightsoundError, forget_space, index, list_items
from sightsound.library import listing

MODELS = ("colours.tiny", "loudness.tiny")
NOT_UTF8 = os.fsdecode(b"caf\xe9.png")


@pytest.fixture
def zoo(tmp_path):
    """Three images and two sounds, of which two have labels of a table, and a file that is no image."""
    folder = tmp_path / "zoo"
    for i in range(3):
        write_image(folder / "cats" / f"{i}.png", i)
    for i in range(2):
        write_sound(folder / "dogs" / f"{i}.wav", i, seconds=2 + i)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (folder / "notes.txt").write_text("hello")
    return folder


@pytest.fixture
def where(tiny, zoo, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("path,who,mood\ncats/0.png,Tom,glad\ncats/0.png,Tim,\ndogs/1.wav,Rex,\n")
    index(zoo, tmp_path / "lib", models=MODELS, host=tiny, label_from=table)
    return tmp_path / "lib"


def paths(library, **chosen):
    return [found.item.path for found in list_items(library, **chosen)]


ALL = ["broken.png", "notes.txt", "cats/0.png", "cats/1.png", "cats/2.png", "dogs/0.wav", "dogs/1.wav"]


def test_every_item_is_listed_with_what_the_library_knows(where, zoo):
    found = {each.item.path: each for each in list_items(where)}
    assert list(found) == ALL
    cat = found["cats/0.png"]
    assert (cat.item.root, cat.modality, cat.seconds) == (str(zoo), "image", None)
    assert (cat.status, cat.reasons, cat.windows) == ({"colours.tiny": "ok"}, {}, {"colours.tiny": 1})
    assert cat.labels == {"mood": ("glad",), "who": ("Tim", "Tom")}
    assert cat.facts["width"] == 24 and cat.size == (zoo / "cats" / "0.png").stat().st_size
    with Library(where) as opened:
        assert cat.content == opened.content(cat.item.id).hex()
    dog = found["dogs/1.wav"]
    assert (dog.modality, dog.seconds, dog.windows) == ("sound", 3.0, {"loudness.tiny": 5})
    assert found["broken.png"].status == {"colours.tiny": "failed"}
    assert "cannot read image" in found["broken.png"].reasons["colours.tiny"]
    assert found["notes.txt"].modality is None and set(found["notes.txt"].status.values()) == {"not-media"}


@pytest.mark.parametrize(
    ("where_", "expected"),
    [
        (Filter(labels=("who=Tom",)), ["cats/0.png"]),
        (Filter(labels=("who=Tom", "mood=glad")), ["cats/0.png"]),
        (Filter(labels=("Rex",)), ["dogs/1.wav"]),
        (Filter(modality="sound"), ["dogs/0.wav", "dogs/1.wav"]),
        (Filter(paths=("*.wav", "notes*")), ["notes.txt", "dogs/0.wav", "dogs/1.wav"]),
        (Filter(facts=("seconds>2.5",)), ["dogs/1.wav"]),
        (Filter(facts=("format=PNG", "width=24")), ["cats/0.png", "cats/1.png", "cats/2.png"]),
        (Filter(labelled=("",)), ["cats/0.png", "dogs/1.wav"]),
        (Filter(labelled=("mood",)), ["cats/0.png"]),
        (Filter(unlabelled=("",), modality="image"), ["broken.png", "cats/1.png", "cats/2.png"]),
        (Filter(unlabelled=("mood",), labelled=("who",)), ["dogs/1.wav"]),
        (Filter(labels=("nobody",)), []),
    ],
)
def test_a_filter_keeps_what_it_keeps_in_a_search(where, where_, expected):
    assert paths(where, where=where_) == expected
    with Library(where) as opened:  # of the items that have rows, a search finds the same
        found = {i.path for s in opened.spaces for items, *_ in opened.contents_in(s, where_) for i in items}
    modality = where_.modality
    ending = {"image": ".png", "sound": ".wav", None: ""}[modality]
    assert {path for path in found if path.endswith(ending)} == {*expected} - {"broken.png", "notes.txt"}


def test_tags_are_those_of_a_search(tiny, warm, shades, tmp_path):
    index(shades, tmp_path / "lib", models=[warm], host=tiny, scores=True)
    where = Filter(tags=(frozenset(["red"]),))
    listed = paths(tmp_path / "lib", where=where)
    with Library(tmp_path / "lib") as opened:
        (space,) = opened.spaces
        wanted = sorted(item.path for items, *_ in opened.contents_in(space, where) for item in items)
    assert listed and sorted(listed) == wanted
    assert paths(tmp_path / "lib", where=Filter(tags=(frozenset(["nosuch"]),))) == []


def test_failed_and_gone_items(where, zoo):
    assert paths(where, failed=True) == ["broken.png"]
    assert paths(where, gone=True) == []
    (zoo / "cats" / "1.png").unlink()
    shutil.rmtree(zoo / "dogs")
    assert paths(where, gone=True) == ["cats/1.png", "dogs/0.wav", "dogs/1.wav"]
    assert paths(where, gone=True, where=Filter(modality="image")) == ["cats/1.png"]


@pytest.mark.parametrize("page", [1, 2, 3, 7, 100])
def test_pages_of_any_size_give_the_same_items(where, monkeypatch, page):
    everything = list(list_items(where))
    monkeypatch.setattr(listing, "_PAGE", page)
    assert list(list_items(where)) == everything
    assert list(list_items(where, limit=3)) == everything[:3] and list(list_items(where, limit=0)) == []
    assert paths(where, where=Filter(labelled=("who",))) == ["cats/0.png", "dogs/1.wav"]


def test_a_limit_stops_the_reading(where, monkeypatch):
    monkeypatch.setattr(listing, "_PAGE", 2)
    with Library(where) as opened:
        asked = []
        rows = opened.rows
        monkeypatch.setattr(opened, "rows", lambda query, *values: asked.append(query) or rows(query, *values))
        assert len(list(list_items(opened, limit=2))) == 2
    assert len([query for query in asked if "FROM items" in query]) == 1


def test_a_negative_limit_and_a_wrong_fact_are_refused(where):
    with pytest.raises(SightsoundError, match="limit: expected a whole number from 0, got -1"):
        list(list_items(where, limit=-1))
    with pytest.raises(SightsoundError, match="filter 'x': expected KEY=VALUE"):
        list(list_items(where, where=Filter(facts=("x",))))


def test_items_without_vectors_stay_in_the_list(where):
    forget_space("colours.tiny", where)
    found = {each.item.path: each for each in list_items(where)}
    assert list(found) == ALL
    assert found["cats/0.png"].windows == {} and found["cats/0.png"].labels


# -- the command -------------------------------------------------------------------------------------------------


def test_the_table_shows_paths_as_they_are_typed_here(command, where, zoo, monkeypatch):
    monkeypatch.chdir(zoo.parent)
    done = command("list", "-l", where)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["id", "path", "seconds", "status", "vectors", "mood", "who"]
    assert lines[3] == ["3", "zoo/cats/0.png", "ok", "1", "glad", "Tim,", "Tom"]
    assert lines[7] == ["7", "zoo/dogs/1.wav", "3.0", "ok", "5", "Rex"]
    monkeypatch.chdir(zoo / "cats")
    assert command("list", "-l", where, "--path", "*/0.png").stdout.splitlines()[1].split()[1] == "0.png"


def test_csv_json_and_parquet_have_the_same_items(command, where, tmp_path):
    listed = json.loads(command("list", "-l", where, "--json").stdout)
    assert [row["path"] for row in listed] == ALL
    assert listed == [
        {**json.loads(json.dumps(each.to_json())), "file": str(each.item.file)} for each in list_items(where)
    ]
    rows = list(csv.DictReader(io.StringIO(command("list", "-l", where, "--csv").stdout)))
    assert [row["path"] for row in rows] == ALL
    assert [row["who"] for row in rows] == ["", "", "Tim; Tom", "", "", "", "Rex"]
    assert rows[6]["windows.loudness.tiny"] == "5" and rows[0]["status"] == "failed"
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    done = command("list", "-l", where, "--parquet", tmp_path / "x.parquet", "--csv", "-o", tmp_path / "x.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column("path").to_pylist() == ALL
    assert table.column("who").to_pylist() == [[], [], ["Tim", "Tom"], [], [], [], ["Rex"]]
    assert (tmp_path / "x.csv").read_text() == command("list", "-l", where, "--csv").stdout


def test_the_ending_of_out_says_the_form(command, where, tmp_path):
    assert command("list", "-l", where, "-o", tmp_path / "x.json").returncode == 0
    assert len(json.loads((tmp_path / "x.json").read_text())) == len(ALL)
    for words in (["-o", "x.txt"], ["--csv", "-o", "x.json"], ["--parquet", "x.csv"], ["--json", "--csv"]):
        done = command("list", "-l", where, *words)
        assert done.returncode == 2 and "expected" in done.stderr and done.stdout == ""
    done = command("list", "-l", where, "--csv", "-o", where / "library.sqlite")
    assert done.returncode == 2 and "library.sqlite" in done.stderr


def test_options_choose_items(command, where):
    def ids(*words):
        done = command("list", "-l", where, *words, "--json")
        assert done.returncode == 0, done.stderr
        return [row["id"] for row in json.loads(done.stdout)]

    assert ids("--unlabelled") == [1, 2, 4, 5, 6]
    assert ids("--unlabelled", "mood") == [1, 2, 4, 5, 6, 7]
    assert ids("--labelled", "who", "--modality", "sound") == [7]
    assert ids("--failed") == [1] and ids("--gone") == []
    assert ids("--limit", "2") == [1, 2]
    assert (
        ids("--fact", "seconds>2.5") == [7] and ids("--label", "who=Tom") == [3] and ids("--path", "dogs/*") == [6, 7]
    )


def test_a_name_that_no_item_has_is_an_error(command, where, tmp_path):
    done = command("list", "-l", where, "--label", "wo=Tom")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sightsound: column 'wo': expected one of the library's; did you mean 'who'?\n"
    for words in (
        ("list", "-l", where, "--labelled", "x", "-o", tmp_path / "x.csv"),
        ("list", "-l", where, "--unlabelled", "x"),
        ("export", where, "-m", "loudness.tiny", "--to", tmp_path / "x.npz", "--unlabelled", "x"),
        ("label", "-l", where, "--unlabelled", "x", "--set", "mood=calm"),
    ):
        done = command(*words)
        assert done.returncode == 2 and "column 'x': expected one of the library's; there are mood, who" in done.stderr
    assert not list(tmp_path.glob("x.*"))
    wrong = command("list", "-l", where, "--fact", "secnds>1")
    assert wrong.returncode == 2 and "did you mean 'seconds'?" in wrong.stderr


def test_a_search_takes_the_same_options(command, where, tmp_path):
    np.save(tmp_path / "q.npy", np.ones(48, np.float32))
    words = ("search", "--vector", tmp_path / "q.npy", "-l", where, "--unlabelled", "who")
    assert {hit["path"] for hit in json.loads(command(*words, "--json").stdout)} == {"cats/1.png", "cats/2.png"}
    rows = list(csv.DictReader(io.StringIO(command(*words, "--csv").stdout)))
    assert {row["path"] for row in rows} == {"cats/1.png", "cats/2.png"} and rows[0]["spaces"] == "colours.tiny"


def test_odd_names_survive_or_the_row_says_why_not(command, tiny, tmp_path):
    names = ['a,"b".png', "c\nd.png", "=e.png", "-f.png", NOT_UTF8]
    for i, name in enumerate(names):
        write_image(tmp_path / "odd" / name, i)
    index(tmp_path / "odd", tmp_path / "lib2", models=MODELS[:1], host=tiny)
    found = [row["path"] for row in json.loads(command("list", "-l", tmp_path / "lib2", "--json").stdout)]
    assert sorted(found) == sorted(names)
    rows = list(csv.DictReader(io.StringIO(command("list", "-l", tmp_path / "lib2", "--csv").stdout, newline="")))
    kept = {row["path"].removeprefix("./") for row in rows if not row["note"]}
    assert kept == {*names} - {NOT_UTF8}
    assert [row["path"] for row in rows if row["note"]] == ["caf\\xe9.png"]
