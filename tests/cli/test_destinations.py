"""An output never replaces what the command reads, and its name fits its content; both are checked before the work."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
import soundfile

import made
from made import RATE, loud_and_silent
from sightsound import (
    SightsoundError,
    embed,
    export_atlas,
    export_labels,
    export_rows,
    find_duplicates,
    plot_sound,
    save_embeddings,
    write_duplicates_csv,
)
from sightsound._atomic import atomic_path, check_not_input, check_writable
from sightsound.cli.destinations import check_destinations, check_ending

MODEL = ("-m", "loudness.tiny")


@pytest.fixture
def sounds(tmp_path):
    """Two recordings."""
    (tmp_path / "sounds").mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / "sounds" / name, loud_and_silent(2, 3), RATE, "FLOAT")
    return tmp_path / "sounds"


INPUTS = [
    ("tag", "{}/a.wav", *MODEL, "--csv", "-o", "{}/a.wav"),
    ("tag", "{}", *MODEL, "--csv", "-o", "{}/a.wav"),
    ("tag", "{}/a.wav", *MODEL, "--audacity", "-o", "{}/link.txt"),
    ("tag", "{}/a.wav", *MODEL, "--plot", "{}/hard.png"),
    ("embed", "{}/a.wav", *MODEL, "-o", "{}/a.wav"),
    ("embed", "{}", *MODEL, "-o", "{}/b.wav"),
]


@pytest.mark.parametrize("words", INPUTS, ids=[" ".join((w[0], *w[-2:])) for w in INPUTS])
def test_an_output_that_is_an_input_is_refused_before_the_work(command, sounds, words):
    os.symlink(sounds / "a.wav", sounds / "link.txt")
    os.link(sounds / "a.wav", sounds / "hard.png")
    before = {path.name: path.read_bytes() for path in sounds.iterdir()}
    done = command(*(word.format(sounds) for word in words))
    assert done.returncode == 2 and "name another place" in done.stderr, done.stderr
    assert "read" in done.stderr and done.stdout == ""
    assert {path.name: path.read_bytes() for path in sounds.iterdir()} == before


@pytest.mark.parametrize(
    "words", [("embed", "{}", *MODEL, "-o", "-"), ("tag", "{}/a.wav", *MODEL, "--plot", "-")], ids=["embed", "plot"]
)
def test_standard_output_is_refused_where_it_is_not_written_to(command, sounds, tmp_path, words):
    done = command(*(word.format(sounds) for word in words))
    assert done.returncode == 2 and "expected a file, got standard output" in done.stderr
    assert not (tmp_path / "-").exists()


def test_a_table_among_the_recordings_can_be_written_again(command, sounds):
    for _ in range(2):
        done = command("tag", sounds, *MODEL, "--csv", "-o", sounds / "tags.csv")
        assert done.returncode == 0, done.stderr
    assert (sounds / "tags.csv").read_text().startswith("path,")


def test_a_probe_replaces_neither_its_labels_nor_itself(command, shades, tmp_path):
    library = tmp_path / "lib"
    done = command("index", shades, "-l", library, "-m", "colours.tiny", "--label-from", "folder")
    assert done.returncode == 0, done.stderr
    (tmp_path / "labels.csv").write_text("path,label\nred/0.png,a\n")
    (tmp_path / "hard.png").hardlink_to(tmp_path / "labels.csv")
    labels, names = ("--label-from", tmp_path / "labels.csv"), ("-l", library, "-m", "colours.tiny")
    for words in (
        ("probe", "fit", *names, *labels, "-o", tmp_path / "labels.csv"),
        ("probe", "fit", *names, *labels, "-o", tmp_path / "x.probe", "--plot", tmp_path / "hard.png"),
        ("stack", *names, *labels, "-o", tmp_path / "labels.csv"),
        ("advise", *names, *labels, "--plot", tmp_path / "hard.png"),
        ("probe", "export", tmp_path / "labels.csv", "-o", tmp_path / "labels.csv"),
    ):
        done = command(*words)
        assert done.returncode == 2 and "is also read, and would be overwritten" in done.stderr, (words, done.stderr)
    assert (tmp_path / "labels.csv").read_text() == "path,label\nred/0.png,a\n"


def contents(*folders):
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def indexed(command, shades, tmp_path):
    """A labelled library, whose items also have names that a table, or nothing, may have."""
    for name in ("rec", "rec.csv", "rec.json", "rec.txt", "rec.probe", "rec.npz", "rec.parquet"):
        shutil.copy(shades / "red" / "0.png", shades / "red" / name)
    done = command("index", shades, "-l", tmp_path / "lib", "-m", "colours.tiny", "--label-from", "folder")
    assert done.returncode == 0, done.stderr
    (tmp_path / "link").symlink_to(shades)
    return tmp_path / "lib"


OVER_ITEMS = [
    ("list", "-l", "lib", "--json", "-o", "shades/red/rec"),
    ("list", "-l", "lib", "-o", "shades/red/rec.csv"),
    ("list", "-l", "lib", "--parquet", "shades/red/rec.parquet"),
    ("stats", "-l", "lib", "--csv", "-o", "link/red/rec.txt"),
    ("check", "-l", "lib", "--csv", "-o", "shades/red/rec.csv"),
    ("facts", "-l", "lib", "--stored", "-o", "shades/red/rec.json"),
    ("duplicates", "-l", "lib", "--csv", "shades/red/rec.csv"),
    ("search", "--id", "1", "-l", "lib", "-o", "shades/red/rec.csv"),
    ("tag", "-l", "lib", "-m", "colours.tiny", "-o", "shades/red/rec.csv"),
    ("export", "lib", "--to", "shades/red/rec.npz"),
    ("label", "-l", "lib", "--to", "shades/red/rec.csv"),
    ("label", "-l", "lib", "--to", "link/red/rec.txt", "--raven"),
    ("probe", "fit", "-l", "lib", "-m", "colours.tiny", "-o", "shades/red/rec.probe"),
]


@pytest.mark.parametrize("words", OVER_ITEMS, ids=[" ".join(words) for words in OVER_ITEMS])
def test_no_command_replaces_an_item_of_its_library(command, indexed, tmp_path, monkeypatch, words):
    if ".parquet" in str(words):
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path / "shades")
    done = command(*words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "is an item of lib, and would be overwritten; name another place" in done.stderr
    assert contents(tmp_path / "shades") == before


def test_a_table_in_an_indexed_folder_can_be_written_again(command, indexed, shades):
    for _ in range(3):
        done = command("label", "-l", indexed, "--to", shades / "labels.csv")
        assert done.returncode == 0, done.stderr
        assert command("index", shades, "-l", indexed, "-m", "colours.tiny").returncode in (0, 1)
    assert "labels.csv" in command("list", "-l", indexed).stdout
    shutil.copy(shades / "red" / "0.png", shades / "labels.csv")
    assert command("index", shades, "-l", indexed, "-m", "colours.tiny").returncode in (0, 1)
    done = command("label", "-l", indexed, "--to", shades / "labels.csv")
    assert done.returncode == 2 and "labels.csv: is an item of lib, and would be overwritten" in done.stderr


OVER_LIBRARIES = [
    ("list", "-l", "lib", "--json", "-o", "{}"),
    ("list", "-l", "lib", "--json", "-o", "link/{}"),
    ("models", "--csv", "-o", "{}"),
    ("probe", "fit", "-l", "lib", "-m", "colours.tiny", "-o", "{}"),
    ("embed", "shades/red", "-m", "colours.tiny", "-o", "{}"),
    ("tag", "shades/red", "-m", "colours.tiny", "--csv", "-o", "{}"),
    ("label", "-l", "lib", "--to", "{}"),
    ("export", "lib", "--to", "{}"),
    ("compare", "-m", "colours.tiny", "--data", "shades", "--csv", "{}"),
]


@pytest.mark.parametrize("words", OVER_LIBRARIES, ids=[" ".join(words) for words in OVER_LIBRARIES])
def test_no_command_replaces_a_file_of_any_library(command, indexed, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(indexed, tmp_path / "other")
    before = contents(indexed, tmp_path / "other")
    (tmp_path / "link").unlink()
    for number, path in enumerate(sorted(path for path in before if path.parent.name == "other")):
        (tmp_path / "link" / str(number)).parent.mkdir(exist_ok=True)
        (tmp_path / "link" / path.name).symlink_to(path)
        done = command(*(word.format(path if word == "{}" else path.name) for word in words))
        assert done.returncode == 2 and done.stderr.strip().count("\n") == 0, (path, done.stderr)
        assert "another place" in done.stderr or "rename it" in done.stderr, done.stderr
    assert contents(indexed, tmp_path / "other") == before and "library.sqlite" in str(before)


@pytest.mark.parametrize(
    "name", ["library.csv", "library.txt", "LIBRARY.sqlite", "library.1da02f1e.f32", "writer.lock"]
)
def test_names_of_files_of_a_library_are_for_the_library(name, indexed, tmp_path):
    for write in (check_writable, lambda file: atomic_path(file).__enter__()):
        with pytest.raises(SightsoundError, match="has the name of a file of the library lib, and would damage it"):
            write(indexed / name)
    check_writable(tmp_path / name)


def test_functions_replace_neither_items_nor_files_of_a_library(indexed, tiny, shades, tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    before = contents(indexed, shades)
    writers = {
        "rec.csv": [
            lambda out: export_labels(indexed, out),
            lambda out: export_labels(indexed, out, form="raven"),
            lambda out: write_duplicates_csv(find_duplicates(indexed), out),
            lambda out: export_rows(indexed, out),
        ],
        "rec.parquet": [lambda out: export_rows(indexed, out), lambda out: export_atlas(indexed, out)],
        "rec.npz": [lambda out: export_rows(indexed, out)],
    }
    for name, each in writers.items():
        for write in each:
            with pytest.raises(SightsoundError, match="is an item of lib, and would be overwritten"):
                write(shades / "red" / name)
            shutil.copy(indexed / "library.sqlite", indexed / f"library.{name}")
            with pytest.raises(SightsoundError, match="name another place"):
                write(indexed / f"library.{name}")
            (indexed / f"library.{name}").unlink()
    with pytest.raises(SightsoundError, match="is in the library"):
        export_labels(indexed, indexed / "library.sqlite")
    with pytest.raises(SightsoundError, match="has the name of a file of the library"):
        save_embeddings(embed(shades, "colours.tiny", host=tiny), indexed / "library.sqlite")
    assert contents(indexed, shades) == before


def test_a_table_replaces_no_file_of_another_kind(command, indexed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("IMG.heic", "rec.bwf", "library.1da02f1e.f32", "x.parquet"):
        (tmp_path / name).write_bytes(b"mine")
        for form, expected in (("--json", ".json or .txt"), ("--csv", ".csv or .txt")):
            for words in (("list", "-l", indexed), ("tag", "shades/red", "-m", "colours.tiny"), ("plugins",)):
                done = command(*words, form, "-o", name)
                assert done.returncode == 2, (words, name)
                assert f"{name}: expected a name that ends in {expected}, got .{name.rpartition('.')[2]}" in done.stderr
        assert (tmp_path / name).read_bytes() == b"mine"
    for name in ("x", "x.txt", "x.json", "x.JSON"):
        assert command("list", "-l", indexed, "--json", "-o", name).returncode == 0
        assert json.loads((tmp_path / name).read_text())


def test_a_hyphen_is_standard_output_and_no_file(command, sounds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for form in ("--csv", "--json", "--raven"):
        printed, done = command("tag", sounds, *MODEL, form), command("tag", sounds, *MODEL, form, "-o", "-")
        assert (done.returncode, done.stdout) == (0, printed.stdout) and done.stdout
    done = command("tag", sounds, *MODEL, "-o", "-")
    assert (done.returncode, done.stdout) == (2, "") and "-: expected --csv or --json for standard" in done.stderr
    assert not (tmp_path / "-").exists()


def test_other_inputs_are_not_replaced_either(command, sounds, tmp_path):
    (tmp_path / "names.txt").write_text("dog,cat")
    shutil.copy(sounds / "a.wav", tmp_path / "query")
    assert command("index", sounds, "-l", tmp_path / "lib", *MODEL).returncode == 0
    for words in (
        ("tag", sounds, *MODEL, "--classes", tmp_path / "names.txt", "--csv", "-o", tmp_path / "names.txt"),
        ("search", f"{tmp_path}/query@0-2", "-l", tmp_path / "lib", "--csv", "-o", tmp_path / "query"),
    ):
        before = contents(tmp_path)
        done = command(*words)
        assert done.returncode == 2 and "is also read, and would be overwritten" in done.stderr, done.stderr
        assert contents(tmp_path) == before


def test_two_outputs_need_two_files(command, sounds, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra `plot`")
    place = tmp_path / "x.txt"
    done = command("tag", sounds / "a.wav", *MODEL, "--csv", "-o", place, "--plot", f"{tmp_path}/./x.txt")
    assert done.returncode == 2 and "expected a file for each output, got one for two" in done.stderr
    assert not place.exists()


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.npy", "rows.H5"])
def test_embeddings_are_refused_under_the_ending_of_another_format(command, sounds, tmp_path, name):
    done = command("embed", sounds, *MODEL, "-o", tmp_path / name)
    assert done.returncode == 2 and not (tmp_path / name).exists()
    assert f"{name}: expected a name that ends in .npz, got .{name[5:].lower()}; name another place" in done.stderr


@pytest.mark.parametrize("name", ["rows.npz", "rows", "rows.v2"])
def test_endings_that_promise_nothing_else_are_fine(command, sounds, tmp_path, name):
    assert command("embed", sounds, *MODEL, "-o", tmp_path / name).returncode == 0
    with np.load(tmp_path / name) as rows:
        assert len(rows["embeddings"]) == 18


def test_a_table_is_refused_under_the_ending_of_another_format(command, sounds, tmp_path):
    for form, name, expected in (("--csv", "x.json", ".csv or .txt"), ("--json", "x.csv", ".json or .txt")):
        done = command("tag", sounds, *MODEL, form, "-o", tmp_path / name)
        assert done.returncode == 2 and f"{name}: expected a name that ends in {expected}, got " in done.stderr
    check_ending("x.CSV", [".csv"])


def test_files_are_compared_as_files(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    check_not_input(tmp_path / "b", [tmp_path / "a", tmp_path / "gone", tmp_path])
    check_not_input(tmp_path / "gone", [tmp_path / "gone"])
    with pytest.raises(SightsoundError, match="a: is also read, and would be overwritten; name another place"):
        check_not_input(tmp_path / ".." / tmp_path.name / "a", [tmp_path / "a"])


def test_a_folder_cannot_be_written_and_a_device_can(tmp_path):
    with pytest.raises(SightsoundError, match="Is a directory"):
        check_writable(tmp_path)
    check_destinations(os.devnull, endings=(".npz",), inputs=[made.write_image(tmp_path / "a.png", 0)])


def test_label_tracks_go_to_a_folder_that_is_created_before_the_work(command, sounds, tmp_path):
    done = command("tag", sounds, *MODEL, "--audacity", "-o", tmp_path / "new")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"a.txt", "b.txt"}


def test_a_folder_of_label_tracks_that_cannot_be_is_refused_before_the_work(command, sounds, tmp_path):
    (tmp_path / "file").write_text("x")
    for words, text in (
        (("-o", tmp_path / "file"), "file: expected a folder (File exists); name another place"),
        ((), "--audacity: expected a folder for the label tracks; name it with --out"),
    ):
        done = command("tag", sounds, "-m", "no.such.model", "--audacity", *words)
        assert done.returncode == 2 and text in done.stderr, "the model would be looked up first"
    assert (tmp_path / "file").read_text() == "x"


def test_label_tracks_do_not_replace_other_texts(command, sounds, tmp_path):
    (sounds / "a.txt").write_text("Recorded in May.\n")
    for _ in range(2):
        done = command("tag", sounds, *MODEL, "--audacity", "-o", sounds)
        assert done.returncode == 0, done.stderr
    assert (sounds / "a.txt").read_text() == "Recorded in May.\n"
    assert {path.name for path in sounds.glob("*.txt")} == {"a.txt", "a (2).txt", "b.txt"}


def test_functions_do_not_replace_what_they_read_either(sounds, tiny, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra `plot`")
    recording = sounds / "a.wav"
    before = recording.read_bytes()
    os.symlink(recording, tmp_path / "link.png")
    with pytest.raises(SightsoundError, match="a.wav: is also read, and would be overwritten"):
        save_embeddings(embed(sounds, "loudness.tiny", host=tiny), recording)
    with pytest.raises(SightsoundError, match="link.png: is also read, and would be overwritten"):
        plot_sound(recording, [], 5.0, tmp_path / "link.png")
    with pytest.raises(SightsoundError, match="cannot be written"):
        save_embeddings(embed(sounds, "no.such.model", host=tiny), tmp_path / "gone" / "x.npz")
    assert recording.read_bytes() == before
