"""`--csv`, `--json`, `--parquet` and `--out` of the commands that print tables of results."""

from __future__ import annotations

import csv
import io
import json

import pytest

MODEL = ("-m", "colours.tiny")


@pytest.fixture
def library(command, shades, tmp_path):
    (shades / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    done = command("index", shades, "-l", tmp_path / "lib", *MODEL, "--label-from", "folder")
    assert done.returncode == 1, done.stderr
    return tmp_path / "lib"


def read(file):
    return pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow").read_table(file).to_pylist()


def as_rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_predictions(command, library, new, tmp_path):
    probe = tmp_path / "p.probe"
    assert command("probe", "fit", "-l", library, *MODEL, "--out", probe).returncode == 0
    words = ("probe", "predict", probe, new)
    rows = as_rows(command(*words, "--csv", "-k", "2").stdout)
    assert [(row["path"], row["label"], row["status"]) for row in rows] == [
        *(("a.png", "red", "ok"), ("b.png", "blue", "ok"), ("c.png", "", "failed")),
    ]
    assert rows[0]["top_labels"].startswith("red; ") and "cannot read image" in rows[2]["reason"]
    listed = json.loads(command(*words, "--json").stdout)
    assert [row.get("label") for row in listed] == ["red", "blue", None]
    done = command(*words, "--parquet", tmp_path / "p.parquet")
    assert (done.returncode, done.stdout) == (1, "")
    table = read(tmp_path / "p.parquet")
    assert [row["label"] for row in table] == ["red", "blue", None]
    assert table[0]["score"] == listed[0]["classes"][0]["score"] and len(table[0]["top_labels"]) == 3


def test_hits_of_several_queries(command, library, shades, tmp_path):
    words = ("search", shades / "red" / "0.png", shades / "blue" / "1.png", "-l", library, "-k", "3")
    listed = json.loads(command(*words, "--json").stdout)
    assert [len(each["hits"]) for each in listed] == [3, 3]
    rows = as_rows(command(*words, "--csv").stdout)
    wanted = [(each["query"], hit["path"], hit["id"]) for each in listed for hit in each["hits"]]
    assert [(row["query"], row["path"], int(row["id"])) for row in rows] == wanted
    command(*words, "--parquet", tmp_path / "h.parquet")
    table = read(tmp_path / "h.parquet")
    assert [(row["query"], row["path"], row["id"]) for row in table] == wanted
    assert {tuple(row["label"]) for row in table} <= {("red",), ("green",), ("blue",)}


def test_hits_do_not_replace_the_query(command, library, shades):
    query = shades / "red" / "0.png"
    before = query.read_bytes()
    for words in (["--csv", "-o", query], ["--parquet", query]):
        done = command("search", query, "-l", library, *words)
        assert done.returncode == 2 and query.read_bytes() == before


def test_counts(command, library, tmp_path):
    rows = as_rows(command("stats", "-l", library, "--csv").stdout)
    found = {(row["count_of"], row["column"] or row["space"], row["name"]): row for row in rows}
    assert found["label", "label", "red"]["items"] == "12"
    assert found["outcome", "colours.tiny", "failed"]["items"] == "1"
    assert next(row for row in rows if row["count_of"] == "space")["vectors"] == "36"
    assert json.loads(command("stats", "-l", library, "--json").stdout)["items"] == 37
    command("stats", "-l", library, "--json", "-o", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["items"] == 37
    command("stats", "-l", library, "--parquet", tmp_path / "s.parquet")
    assert len(read(tmp_path / "s.parquet")) == len(rows)


def test_segments(command, tmp_path):
    import made

    made.write_sound(tmp_path / "in" / "a.wav", seconds=4)
    (tmp_path / "in" / "b.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE")
    words = ("tag", tmp_path / "in", "-m", "loudness.tiny", "--threshold", "0.1")
    done = command(*words, "--csv", "--parquet", tmp_path / "t.parquet")
    rows, table = as_rows(done.stdout), read(tmp_path / "t.parquet")
    assert [row["label"] for row in rows] == [row["label"] or "" for row in table] and len(rows) > 1
    for row, other in zip(rows, table):
        assert (row["path"], row["root"], row["status"]) == (other["path"], other["root"], other["status"])
        assert row["start"] == ("" if other["start"] is None else f"{other['start']:.3f}")
    done = command(*words, "--parquet", tmp_path / "in" / "a.wav")
    assert done.returncode == 2 and "expected a name that ends in .parquet" in done.stderr
