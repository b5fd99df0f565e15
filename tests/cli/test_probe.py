"""`sightsound probe`, `stack` and `advise` as they are typed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

import made


@pytest.fixture
def library(command, shades, tmp_path):
    """A library of `shades` in `colours.tiny`, as `lib` in the folder of the test, labelled by folder."""
    done = command("index", shades, "--library", tmp_path / "lib", "-m", "colours.tiny", "--label-from", "folder")
    assert done.returncode == 0, done.stderr
    return tmp_path / "lib"


@pytest.fixture
def fitted(command, library, tmp_path):
    done = command("probe", "fit", "-l", library, "-m", "colours.tiny", "-o", tmp_path / "a.probe")
    assert done.returncode == 0, done.stderr
    return tmp_path / "a.probe"


def test_fit_says_how_good_it_is_and_show_says_it_again(command, library, tmp_path):
    done = command(
        "probe", "fit", "-l", library, "-m", "colours.tiny", "-o", tmp_path / "a.probe", "--plot", tmp_path / "a.png"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("LinearProbe() on items of colours.tiny (") and lines[0].endswith("): label")
    assert re.fullmatch(r"class +rows +precision +recall +F1", lines[1])
    assert "36 items, cross-validation over 5 folds" in lines
    assert re.search(r"^accuracy 0\.\d+ \(0\.\d+ to [01]\.\d+\); 0\.\d+ after the choice of C", done.stdout, re.M)
    assert re.search(r"^macro F1 .*; commonest class 0\.333, 5 nearest neighbours 0\.\d+$", done.stdout, re.M)
    assert re.search(r"^calibration error 0\.\d+ \(without temperature 0\.\d+\)$", done.stdout, re.M)
    assert "accuracy by items a class: 1: " in done.stdout and lines[-1] == f"written to {tmp_path / 'a.probe'}"
    assert (tmp_path / "a.png").stat().st_size > 10_000
    shown = command("probe", "show", tmp_path / "a.probe")
    assert shown.stdout.splitlines() == lines[:-2]
    told = json.loads(command("probe", "show", tmp_path / "a.probe", "--json").stdout)
    assert told["classes"] == ["blue", "green", "red"] and told["spaces"][0]["space"] == "colours.tiny"
    assert told["report"]["accuracy"]["value"] > 0.5 and len(told["spaces"][0]["fingerprint"]) == 64


def test_predict_names_classes_and_what_failed(command, fitted, tmp_path):
    made.shade(tmp_path / "new" / "a.png", 0, 200, noise=9)
    (tmp_path / "new" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    done = command("probe", "predict", fitted, tmp_path / "new")
    assert done.returncode == 1 and "b.png: " in done.stderr
    assert re.search(r"^\d\.\d{3}  red    a.png  \w+ \d\.\d{3}, \w+ \d\.\d{3}$", done.stdout, re.M)
    told = json.loads(command("probe", "predict", fitted, tmp_path / "new", "--json").stdout)
    assert [each["status"] for each in told] == ["ok", "failed"] and told[0]["classes"][0]["label"] == "red"


def test_predict_takes_a_library_or_files_not_both(command, fitted, library, shades):
    done = command("probe", "predict", fitted, "-l", library)
    assert done.returncode == 0 and done.stdout.count(".png") == 36
    for words in ((), (shades, "-l", library)):
        done = command("probe", "predict", fitted, *words)
        assert done.returncode == 2 and "name files and folders, or --library, one of the two" in done.stderr


def test_windows_are_told_with_their_seconds(command, rhythms, tmp_path):
    done = command(
        "probe", "fit", "-l", rhythms, "-m", "loudness.tiny", "--level", "window", "-o", tmp_path / "w.probe"
    )
    assert done.returncode == 0 and "140 rows, 20 of which are independent" in done.stdout
    file = made.rhythm(tmp_path / "x.wav", 1, 55)
    (told,) = json.loads(command("probe", "predict", tmp_path / "w.probe", file, "--json").stdout)
    assert [(w["start"], w["stop"]) for w in told["windows"]] == [(i / 2, i / 2 + 1) for i in range(7)]
    assert told["windows"][0]["scores"]["second"] > 0.5
    tagged = command("tag", "--probe", tmp_path / "w.probe", file)
    assert tagged.returncode == 0 and re.search(r"^0.00-4.00  second +", tagged.stdout, re.M)


def test_eval_judges_another_library(command, fitted, library, tmp_path):
    done = command("probe", "eval", fitted, "-l", library)
    assert done.returncode == 0 and "36 of 36 items were among those it was fitted on, and say little" in done.stdout
    for colour, name in enumerate(("red", "green", "blue")):
        made.shade(tmp_path / "more" / name / "a.png", colour, 300 + colour)
    command("index", tmp_path / "more", "-l", tmp_path / "lib2", "-m", "colours.tiny")
    done = command("probe", "eval", fitted, "-l", tmp_path / "lib2", "--label-from", "folder", "--json")
    told = json.loads(done.stdout)
    assert told["rows"] == 3 and told["notes"] == []


def test_export_writes_onnx(command, fitted, tmp_path):
    pytest.importorskip("onnx", reason="needs the extra onnx")
    done = command("probe", "export", fitted, "-o", tmp_path / "a.onnx")
    assert done.stdout == f"48 numbers -> 3 classes, in {tmp_path / 'a.onnx'}\n" and (tmp_path / "a.onnx").is_file()


def test_columns_have_a_probe_each(command, library, tmp_path):
    lines = [f"{name}/{i}.png,{name},{'odd' if i % 2 else 'even'}" for name in ("red", "blue") for i in range(12)]
    (tmp_path / "t.csv").write_text("path,colour,parity\n" + "\n".join(lines))
    words = [
        "-l",
        library,
        "-m",
        "colours.tiny",
        "--label-from",
        tmp_path / "t.csv",
        "-o",
        tmp_path / "v1.x" / "a.probe",
    ]
    (tmp_path / "v1.x").mkdir()
    done = command("probe", "fit", *words, "--label-column", "colour", "--label-column", "parity")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "v1.x").iterdir()) == ["a.colour.probe", "a.parity.probe"]
    assert "12 items without a label left out" in done.stdout


def test_a_stack_needs_two_networks(command, library):
    done = command("stack", "-l", library, "-m", "colours.tiny")
    assert done.returncode == 2
    assert "stack: expected two different networks or more, got colours.tiny; name another" in done.stderr


def test_advice_ends_with_what_to_do_first(command, library, tmp_path):
    done = command("advise", "-l", library, "--plot", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^36 items; the commonest class has 1.0 x the rarest$", done.stdout, re.M)
    assert re.search(
        r"^1  features and a linear classifier  yes  \w+ has 12 items, under 20; colours.tiny", done.stdout, re.M
    )
    assert done.stdout.splitlines()[-1] == "do this first: features and a linear classifier"
    assert (tmp_path / "a.png").stat().st_size > 10_000
    told = json.loads(command("advise", "-l", library, "--json").stdout)
    assert told["counts"][0][1] == 12 and len(told["suggestions"]) == 5


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-m", "x.tiny"], "lib has no vectors in space 'x.tiny'; it has 'colours.tiny'; make them: sightsound index"),
        (["--folds", "13"], "colours.tiny, label: class 'blue': expected at least 13 items, one for each fold, got 12"),
        (["--label-column", "sort"], "column 'sort': expected one of ['label']; see --label-from"),
        (["--label-from", "none.csv"], "none.csv: cannot be read as CSV"),
        (
            ["--label-from", "gone.csv"],
            "gone.csv: expected paths of the library's items, none of 1 is (the first: no.png)",
        ),
        (["--folds", "3", "--fold-column", "a"], "--folds or --fold-column, one of the two"),
        (["--level", "window", "--pool", "max"], "--pool is for items; leave out --level window"),
        (["--strength", "1", "--plot", "a.png"], "--plot draws what was held out, which --strength does not do"),
        (["--strength", "inf"], "C: expected a positive number or None, got inf"),
        (["-o", "no/where/a.probe"], "no/where/a.probe: cannot be written"),
    ],
)
def test_mistakes_are_told_in_a_line_and_leave_nothing(command, library, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone.csv").write_text("path,kind\nno.png,a\n")
    done = command("probe", "fit", "-l", library, "-m", "colours.tiny", "-o", "a.probe", *words)
    assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "a.probe").exists()


def test_a_stranger_s_file_cannot_play_tricks_on_the_terminal(command, fitted):
    from sightsound import load_probe

    probe = load_probe(fitted)
    object.__setattr__(probe.feature_spec_, "column", "\x1b]0;gone\x07label")
    probe.save(fitted)
    shown = command("probe", "show", fitted).stdout
    assert "\x1b" not in shown and "\\x1b]0;gone\\x07label" in shown


def test_a_probe_needs_the_network_that_it_was_fitted_with(command, fitted, shades):
    done = command("probe", "predict", fitted, shades, plugins=("tiny", "whiten"))
    assert done.returncode == 2 and "probe: another space; " in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_at_the_other_end_is_told_in_a_line(fitted, install):
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-c", "from sightsound.cli import main; main()", "probe", "show", str(fitted)]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "sightsound: standard output cannot be written (No space left on device)" in done.stderr
