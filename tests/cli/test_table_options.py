"""`--csv`, `--json`, `--parquet` and `--out` of the commands that print tables of results."""

from __future__ import annotations

import csv
import io
import json

import click
import pytest

import sightsound.cli

pytestmark = pytest.mark.usefixtures("few_strengths")

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
    assert command("probe", "fit", "-l", library, *MODEL, "--strength", "1", "--out", probe).returncode == 0
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


TABLES = {
    "advise": (),
    "check": (),
    "check-model": ("--golden",),
    "compare": ("--markdown",),
    "duplicates": (),
    "facts": (),
    "list": (),
    "models": (),
    "models layers": (),
    "ontology find": (),
    "plugins": (),
    "probe eval": (),
    "probe predict": (),
    "probe show": (),
    "search": (),
    "stack": (),
    "stats": (),
    "tag": ("--audacity", "--raven"),
    "weights compiled": (),
    "weights list": (),
}
"""The commands that print a table."""


@pytest.mark.parametrize("name", TABLES)
def test_each_command_that_prints_a_table_has_the_options_for_its_form(name):
    command = sightsound.cli.cli
    for word in name.split():
        command = command.get_command(click.Context(command), word)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--csv", "--json", "--parquet", "--out", "-o", *TABLES[name]} <= options


def test_the_tables_of_plugins_and_networks(command, tmp_path):
    for words, first in (
        (("plugins",), "name"),
        (("models",), "name"),
        (("models", "colours.tiny"), "name"),
        (("models", "--table"), "name"),
        (("weights", "list"), "model"),
        (("weights", "compiled"), "network"),
        (("check-model", "colours.tiny"), "check"),
    ):
        done = command(*words, "--csv")
        assert done.returncode == 0 and done.stdout.startswith(f"{first},"), (words, done.stderr)
        command(*words, "-o", tmp_path / "t.parquet")
        rows = as_rows(done.stdout)
        assert [str(row[first]) for row in read(tmp_path / "t.parquet")] == [row[first] for row in rows]
        listed = json.loads(command(*words, "--json").stdout)
        assert len(listed if isinstance(listed, list) else [listed]) == len(rows)
    assert as_rows(command("models", "--csv", "colours.tiny").stdout)[0]["name"] == "colours.tiny"


def test_facts(command, library, tmp_path):
    rows = as_rows(command("facts", "-l", library, "--csv").stdout)
    width = next(row for row in rows if row["fact"] == "width")
    assert (width["items"], width["least"], width["greatest"]) == ("36", "24", "24")
    assert as_rows(command("facts", "-l", library, "--stored", "--csv").stdout) == rows
    command("facts", "-l", library, "--stored", "-o", tmp_path / "f.parquet")
    assert [row["fact"] for row in read(tmp_path / "f.parquet")] == [row["fact"] for row in rows]
    done = command("facts", "-l", library, "--csv", "-o", library / "library.sqlite")
    assert done.returncode == 2 and "name another place" in done.stderr


def test_near_duplicates(command, library, shades, tmp_path):
    (shades / "red" / "=copy.png").write_bytes((shades / "red" / "0.png").read_bytes())
    command("index", shades, "-l", library, *MODEL)
    words = ("duplicates", "-l", library, "--threshold", "1")
    rows = as_rows(command(*words, "--csv").stdout)
    paths = {str(shades / "red" / name) for name in ("0.png", "=copy.png")}
    assert paths <= {row["path"] for row in rows} and {row["keep"] for row in rows} == {"yes", "no"}
    done = command(*words, "--csv", tmp_path / "d.csv", "--parquet", tmp_path / "d.parquet")
    assert f"written: {tmp_path}/d.parquet, {tmp_path}/d.csv; nothing is deleted" in done.stdout
    assert as_rows((tmp_path / "d.csv").read_text()) == rows
    table = read(tmp_path / "d.parquet")
    assert [(row["path"], str(row["group"])) for row in table] == [(row["path"], row["group"]) for row in rows]
    command(*words, "-o", tmp_path / "d.json")
    (found,) = json.loads((tmp_path / "d.json").read_text())
    assert sum(len(group["files"]) for group in found["groups"]) == len(rows)


def test_the_reports_of_probes_and_the_problems_of_a_library(command, library, tmp_path):
    probe = tmp_path / "p.probe"
    assert command("probe", "fit", "-l", library, *MODEL, "--no-curve", "--out", probe).returncode == 0
    for words in (("probe", "show", probe), ("probe", "eval", probe, "-l", library)):
        rows = as_rows(command(*words, "--csv").stdout)
        assert {row["label"] for row in rows} == {"red", "green", "blue"} and rows[0]["count"] == "12"
        assert command(*words, "--parquet", probe).returncode == 2
    assert probe.stat().st_size > 1000, "it is not replaced"
    rows = as_rows(command("advise", "-l", library, "--csv").stdout)
    assert rows[0]["rank"] == "1" and rows[0]["method"]
    assert as_rows(command("check", "-l", library, "--csv").stdout) == []
    segment = next(library.glob("library.*.f32"))
    segment.write_bytes(segment.read_bytes()[:-4])
    done = command("check", "-l", library, "--csv", "-o", tmp_path / "c.csv")
    assert done.returncode == 1 and as_rows((tmp_path / "c.csv").read_text())[0]["problem"]


def test_the_ending_of_a_file_says_the_form_of_tags(command, tmp_path):
    import made

    made.write_sound(tmp_path / "a.wav", seconds=4)
    words = ("tag", tmp_path / "a.wav", "-m", "loudness.tiny", "--threshold", "0.1")
    for name in ("t.csv", "t.json", "t.parquet"):
        assert command(*words, "-o", tmp_path / name).returncode == 0
    rows = as_rows((tmp_path / "t.csv").read_text())
    assert [row["label"] for row in rows] == [row["label"] for row in read(tmp_path / "t.parquet")]
    assert len(json.loads((tmp_path / "t.json").read_text())) == 1
    done = command(*words, "-o", tmp_path / "t.docx")
    assert done.returncode == 2 and "expected a name that ends in .csv, .json or .parquet" in done.stderr


@pytest.mark.parametrize("below", [True, False])
def test_results_show_paths_as_they_are_typed(command, library, shades, tmp_path, monkeypatch, below):
    """Relative to the working folder where the file is below it, else absolute, in each command and in JSON."""
    monkeypatch.chdir(shades.parent if below else library)
    copy = shades / "blue" / "0 copy.png"
    copy.write_bytes((shades / "blue" / "0.png").read_bytes())
    assert command("index", shades, "-l", library, *MODEL).returncode == 1
    fit = ("probe", "fit", "-l", library, *MODEL, "--strength", "1", "--out", tmp_path / "p.probe")
    assert command(*fit).returncode == 0
    typed = "shades/blue/0 copy.png" if below else str(copy)
    for words, name in (
        (("search", shades / "blue" / "0.png", "-l", library, "--copies"), "file"),
        (("list", "-l", library, "--path", "blue/*"), "file"),
        (("probe", "predict", tmp_path / "p.probe", "-l", library), "file"),
        (("probe", "predict", tmp_path / "p.probe", copy), "file"),
        (("duplicates", "-l", library, "--threshold", "1"), "path"),
    ):
        assert typed in command(*words).stdout, words
        rows = as_rows(command(*words, "--csv").stdout)
        assert (typed if name == "file" else str(copy)) in {row[name] for row in rows}
        assert f'"file": {json.dumps(typed)}' in command(*words, "--json").stdout, words


def test_tags_show_paths_as_they_are_typed(command, tmp_path, monkeypatch):
    import made

    made.write_sound(tmp_path / "a" / "b" / "x.wav", seconds=4)
    made.write_sound(tmp_path / "a" / "c" / "x.wav", 1, seconds=4)
    monkeypatch.chdir(tmp_path)
    model = ("-m", "loudness.tiny")
    command("index", "a", "-l", "lib", *model, "--scores")
    for words in (("tag", "a"), ("tag", "a/b", "a/c"), ("tag", "-l", "lib"), ("tag", tmp_path / "a")):
        words = (*words, *model, "--threshold", "0.1")
        assert {"a/b/x.wav", "a/c/x.wav"} <= set(command(*words).stdout.split())
        assert {row["file"] for row in as_rows(command(*words, "--csv").stdout)} == {"a/b/x.wav", "a/c/x.wav"}
        assert {each["file"] for each in json.loads(command(*words, "--json").stdout)} == {"a/b/x.wav", "a/c/x.wav"}


def test_a_dash_is_standard_output(command, library, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for form in ("--csv", "--json"):
        done = command("list", "-l", library, form, "--out", "-")
        assert (done.returncode, done.stdout) == (0, command("list", "-l", library, form).stdout)
    done = command("list", "-l", library, "--out", "-")
    assert done.returncode == 2 and "expected --csv or --json for standard output, got neither" in done.stderr
    assert not (tmp_path / "-").exists()
