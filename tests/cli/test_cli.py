"""`sightsound index`, `search`, `embed`, `stats`, `check`, `forget`, `relocate`, `models` and `plugins`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

MODELS = ("-m", "colours.tiny", "-m", "loudness.tiny")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """Two images and two sounds."""
    folder = tmp_path / "media"
    (folder / "red").mkdir(parents=True)
    (folder / "loud").mkdir()
    Image.new("RGB", (40, 30), "red").save(folder / "red" / "one.png")
    Image.new("RGB", (40, 30), (200, 30, 0)).save(folder / "red" / "two.png")
    noise = np.random.default_rng(0).uniform(-1, 1, 4800)
    soundfile.write(folder / "loud" / "long.wav", noise, 1600)
    soundfile.write(folder / "loud" / "short.wav", noise[:1600], 1600)
    return folder


@pytest.fixture
def library(command, media, tmp_path) -> Path:
    made = tmp_path / "zoo"
    ran = command("index", media, "--library", made, *MODELS, "--label-from", "folder")
    assert ran.returncode == 0, ran.stderr
    return made


def test_index_prints_counts_and_then_that_nothing_changed(command, media, tmp_path):
    first = command("index", media, "--library", tmp_path / "zoo", *MODELS)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("4 embedded; 8 new vectors in ")
    again = command("index", media, "--library", tmp_path / "zoo", *MODELS)
    assert (again.returncode, again.stdout[:11]) == (0, "4 unchanged")
    assert again.stderr == ""  # no progress bar where the output is no terminal


def test_a_bad_file_is_named_with_its_reason_and_the_exit_code_is_1(command, media, tmp_path):
    (media / "broken.png").write_bytes((media / "red" / "one.png").read_bytes()[:40])
    (media / "notes.txt").write_text("hello")
    ran = command("index", media, "--library", tmp_path / "zoo", *MODELS)
    assert ran.returncode == 1
    assert ran.stderr.startswith("broken.png: ")
    assert "4 embedded, 1 failed, 1 neither image nor sound" in ran.stdout
    again = command("index", media, "--library", tmp_path / "zoo", *MODELS, "--json")
    found = json.loads(again.stdout)
    assert again.returncode == 1
    assert found["counts"] == {"unchanged": 6}
    assert [row["path"] for row in found["failed"]] == ["broken.png"]


def test_search_prints_a_table_or_json(command, media, library):
    ran = command("search", media / "red" / "one.png", "--library", library)
    assert ran.returncode == 0, ran.stderr
    assert [line.split() for line in ran.stdout.splitlines()][1][-2:] == [str(media / "red" / "two.png"), "label=red"]
    ran = command("search", f"{media / 'loud' / 'long.wav'}@1.0-2.5", "--library", library, "--json")
    (hit,) = json.loads(ran.stdout)
    assert hit["path"] == "loud/short.wav"
    assert hit["labels"] == {"label": ["loud"]}
    assert hit["seconds"] == [0.0, 1.0]
    assert 1.0 <= hit["query_seconds"][0] < hit["query_seconds"][1] <= 2.5


def test_search_takes_an_id_or_a_vector_and_filters(command, media, library, tmp_path):
    found = json.loads(command("search", "--id", "1", "--library", library, "--json").stdout)
    assert len(found) == 1
    np.save(tmp_path / "query.npy", np.ones(48, np.float32))
    found = json.loads(command("search", "--vector", tmp_path / "query.npy", "-l", library, "--json").stdout)
    assert {hit["path"] for hit in found} == {"red/one.png", "red/two.png"}
    only = command("search", "--vector", tmp_path / "query.npy", "-l", library, "--path", "*one*", "--json")
    assert [hit["path"] for hit in json.loads(only.stdout)] == ["red/one.png"]
    none = command("search", "--vector", tmp_path / "query.npy", "-l", library, "--label", "blue")
    assert none.stdout == "nothing found\n"


def test_embed_writes_an_npz_without_pickles(command, media, tmp_path):
    ran = command("embed", media / "loud", "--out", tmp_path / "rows.npz", "--model", "loudness.tiny")
    assert ran.returncode == 0, ran.stderr
    with np.load(tmp_path / "rows.npz", allow_pickle=False) as rows:
        assert rows["embeddings"].shape == (6, 17)
        assert rows["scores"].shape == (6, 2)
        assert rows["seconds"].shape == (6, 2)
        assert sorted(set(rows["paths"])) == ["long.wav", "short.wav"]
    assert ran.stdout.splitlines() == [
        f"6 rows of 2 files in {tmp_path / 'rows.npz'}",
        "loudness.tiny: cpu, float32, 2 workers of 1 thread, batches of 8",
    ]


def test_stats_check_forget_and_relocate(command, media, library, tmp_path):
    found = json.loads(command("stats", "--library", library, "--json").stdout)
    assert found["items"] == 4
    assert {space["name"]: space["vectors"] for space in found["spaces"]} == {"colours.tiny": 2, "loudness.tiny": 6}
    assert ["label", "red", 2] in found["labels"]
    assert command("check", "--library", library).stdout == "sound: every item, vector and space fits\n"
    media.rename(tmp_path / "moved")
    ran = command("relocate", media, tmp_path / "moved", "--library", library)
    assert ran.stdout == f"4 items are below {tmp_path / 'moved'} now\n"
    ran = command("forget", tmp_path / "moved" / "red", "--library", library)
    assert ran.stdout.endswith("2 items forgotten\n")
    assert "2 items" in command("stats", "--library", library).stdout


def test_models_and_plugins_have_tables_and_json(command):
    assert "colours.tiny" in command("models").stdout
    row = next(row for row in json.loads(command("models", "--json").stdout) if row["name"] == "loudness.tiny")
    assert (row["dim"], row["sample_rate"], row["classes"], row["state"]) == (17, 1600, 2, "none needed")
    assert "tiny" in command("plugins").stdout
    blocked = json.loads(command("--block", "tiny", "plugins", "--json").stdout)
    assert next(row for row in blocked if row["name"] == "tiny")["status"] == "blocked"


MISTAKES = [
    (("search", "nothing.wav", "-l", "{library}"), "sightsound: nothing.wav: no such file"),
    (("search", "--id", "99", "-l", "{library}"), "no item 99"),
    (("search", "-l", "{library}"), "expected one of FILE, --id, --vector and --text"),
    (("search", "--id", "1", "-l", "nowhere"), "no library at"),
    (("search", "--id", "1", "-l", "{library}", "--fact", "seconds"), "expected KEY=VALUE"),
    (("index", "nowhere", "-l", "{library}"), "nowhere: no such file or folder"),
    (("index", "{media}", "-l", "{library}", "-m", "colors.tiny"), "did you mean 'colours.tiny'?"),
    (("index", "{media}", "-l", "{media}", "-m", "colours.tiny"), "expected a library or an empty folder"),
    (("index", "{media}", "-l", "{library}", "--label-from", "no.csv", "-m", "colours.tiny"), "no.csv: cannot be read"),
    (("forget", "-l", "{library}"), "expected one of PATH..., --missing and --space"),
    (("forget", "elsewhere", "-l", "{library}"), "elsewhere: nothing of this path"),
    (("relocate", "a", "{media}", "-l", "{library}"), "a: expected an indexed folder"),
    (("weights", "path", "colors.tiny"), "did you mean 'colours.tiny'?"),
    (("--weights", "no.pth", "models"), "--weights no.pth: no such file"),
    (("indes",), "No such command"),
]


@pytest.mark.parametrize(("words", "text"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_one_line_and_exit_code_2(command, library, media, words, text):
    ran = command(*(word.format(library=library, media=media) for word in words))
    assert ran.returncode == 2
    assert text in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="such names are for POSIX file systems")
def test_control_characters_in_names_are_escaped(command, media, library):
    strange = os.fsencode(media) + b"/red/\x1b[31m[x]\nname \xff.png"
    os.link(media / "red" / "one.png", strange)
    ran = command("index", media, "--library", library, *MODELS)
    assert ran.returncode == 0, ran.stderr
    ran = command("search", media / "red" / "two.png", "--library", library)
    assert r"red/\x1b[31m[x]\nname \xff.png" in ran.stdout
    hits = json.loads(command("search", media / "red" / "two.png", "--library", library, "--json").stdout)
    assert "red/\x1b[31m[x]\nname \udcff.png" in {hit["path"] for hit in hits}


def test_a_vector_that_cannot_be_read_is_one_line(command, library, tmp_path):
    np.save(tmp_path / "whole.npy", np.ones(48, np.float32))
    whole = (tmp_path / "whole.npy").read_bytes()
    contents = {
        "empty": b"",
        "zip": b"PK\x03\x04no",
        "cut": whole[:40],
        "huge": whole.replace(b"(48,), }            ", b"(48000000000000,), }"),
        "header": whole.replace(b"(48,), }", b"(48,,    "[:8]),
        "text": b"hello",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        done = command("search", "--vector", tmp_path / name, "-l", library)
        assert done.returncode == 2 and f"{name}: expected a .npy file of numbers" in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    os.mkfifo(tmp_path / "pipe")
    done = command("search", "--vector", tmp_path / "pipe", "-l", library)
    assert done.returncode == 2 and "pipe: expected a .npy file, got something else" in done.stderr


def test_stats_shows_the_commonest_labels_and_says_how_many_more_there_are(command, media, library, tmp_path):
    (tmp_path / "t.csv").write_text("path,who\n" + "".join(f"red/one.png,name {i}\n" for i in range(25)))
    command("index", media, "-l", library, *MODELS, "--label-from", tmp_path / "t.csv")
    done = command("stats", "-l", library)
    assert done.stdout.count("  name ") == 20 and "... and 5 more of who; --json has all" in done.stdout
    assert (
        len(
            [
                1
                for column, *_ in json.loads(command("stats", "-l", library, "--json").stdout)["labels"]
                if column == "who"
            ]
        )
        == 25
    )


def test_embed_names_twenty_files_without_rows_and_counts_the_rest(command, media, tmp_path):
    for i in range(23):
        (media / f"{i}.txt").write_text("hello")
    done = command("embed", media, "-m", "colours.tiny", "-o", tmp_path / "x.npz")
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 21 and lines[-1] == "... and 5 more", done.stderr


def test_flags_are_explained(command, media, library):
    soundfile.write(media / "silent.wav", np.zeros(2400), 1600)
    command("index", media, "-l", library, *MODELS)
    shown = command("stats", "-l", library).stdout.splitlines()
    assert "1 item silent" in shown and shown[0].startswith("5 items, ")


def test_index_mentions_files_that_are_gone_and_folders_that_moved(command, media, library, tmp_path):
    (media / "red" / "one.png").unlink()
    done = command("index", media, "-l", library, *MODELS)
    assert done.returncode == 0
    assert done.stderr == "1 item below these paths without a file; `sightsound forget --missing` removes them\n"
    assert json.loads(command("index", media, "-l", library, *MODELS, "--json").stdout)["gone"] == {
        "items": 1,
        "roots": {},
    }
    media.rename(tmp_path / "moved")
    done = command("index", tmp_path / "moved" / "loud", "-l", library, *MODELS)
    assert f"{media}: not there any more, " in done.stderr and "`sightsound relocate " in done.stderr
    fine = command("index", tmp_path / "moved" / "red", "-l", tmp_path / "new", *MODELS)
    assert (fine.returncode, fine.stderr) == (0, "")


def test_a_search_names_the_columns_and_facts_that_do_not_exist(command, library):
    done = command("search", "--id", "1", "-l", library, "--label", "primry=red")
    expected = "column 'primry': expected one of the library's; there are label"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"sightsound: {expected}\n")
    done = command("search", "--id", "1", "-l", library, "--fact", "secnds>10")
    expected = "fact 'secnds': expected one that files have, got another; did you mean 'seconds'?"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"sightsound: {expected}\n")
    fine = command("search", "--id", "1", "-l", library, "--label", "label=blue", "--fact", "width>1000")
    assert (fine.stdout, fine.stderr) == ("nothing found\n", "")


def test_a_library_is_named_once(command, library, tmp_path, monkeypatch):
    done = command("stats", "-l", library, "--library", "other")
    assert done.returncode == 2 and f"--library: expected once, got {library} and other" in done.stderr
    monkeypatch.setenv("SIGHTSOUND_LIBRARY", str(library.rename(tmp_path / "of two words")))
    assert command("stats").returncode == 0
    monkeypatch.setenv("SIGHTSOUND_LIBRARY", "")
    assert "Missing option" in command("check").stderr


def test_one_format_at_a_time(command, media):
    done = command("tag", media, "-m", "loudness.tiny", "--json", "--csv")
    assert done.returncode == 2 and "--json and --csv: expected one of them" in done.stderr
