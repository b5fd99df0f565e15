"""`sightsound probe`, `stack` and `advise`: what they print, what they write, and their mistakes."""

from __future__ import annotations

import json
import re

import pytest

import made
from sightsound import fit_probe, load_dataset, load_probe

pytestmark = pytest.mark.usefixtures("few_strengths")


@pytest.fixture
def library(command, shades, tmp_path):
    """A library of `shades` in `colours.tiny`, as `lib` in the folder of the test, labelled by folder."""
    done = command("index", shades, "--library", tmp_path / "lib", "-m", "colours.tiny", "--label-from", "folder")
    assert done.returncode == 0, done.stderr
    return tmp_path / "lib"


@pytest.fixture
def made_scores(command, tmp_path):
    """A library of twelve recordings in `loudness.tiny`, whose scores it keeps, labelled by folder."""
    for i in range(12):
        made.write_rhythm(tmp_path / "rhythms" / ("first", "second")[i % 2] / f"{i}.wav", i % 2, i)
    words = ("-m", "loudness.tiny", "--label-from", "folder")
    done = command("index", tmp_path / "rhythms", "--library", tmp_path / "sounds", *words)
    assert done.returncode == 0, done.stderr
    return tmp_path / "sounds"


@pytest.fixture
def fitted(library, tmp_path):
    """A file with the probe that `probe fit` writes, but without a learning curve, which takes most of its time."""
    fit_probe(load_dataset(library, "colours.tiny"), curve=False).save(tmp_path / "a.probe")
    return tmp_path / "a.probe"


def test_fit_prints_the_report_and_show_prints_it_again(command, library, tmp_path):
    done = command(
        "probe", "fit", "-l", library, "-m", "colours.tiny", "-o", tmp_path / "a.probe", "--plot", tmp_path / "a.png"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("LinearProbe(scaling='centred', sqrt=False) on items of colours.tiny (") and lines[
        0
    ].endswith("): label")
    assert re.fullmatch(r"class +rows +precision +recall +F1", lines[1])
    assert "36 items, cross-validation over 5 folds" in lines
    assert re.search(
        r"^accuracy 0\.\d+ \(0\.\d+ to [01]\.\d+\); 0\.\d+ corrected for the choice of C", done.stdout, re.M
    )
    assert re.search(r"^macro F1 .*; commonest class 0\.333, 5 nearest neighbours 0\.\d+$", done.stdout, re.M)
    assert re.search(r"^calibration error 0\.\d+ \(without temperature 0\.\d+\)$", done.stdout, re.M)
    assert "accuracy by items per class: 1: " in done.stdout and lines[-1] == f"written to {tmp_path / 'a.probe'}"
    assert (tmp_path / "a.png").stat().st_size > 10_000
    shown = command("probe", "show", tmp_path / "a.probe")
    assert shown.stdout.splitlines() == lines[:-2]
    parsed = json.loads(command("probe", "show", tmp_path / "a.probe", "--json").stdout)
    assert parsed["classes"] == ["blue", "green", "red"] and parsed["spaces"][0]["space"] == "colours.tiny"
    assert parsed["report"]["accuracy"]["value"] > 0.5 and len(parsed["spaces"][0]["fingerprint"]) == 64


def test_features_are_named_and_compared(command, made_scores, tmp_path):
    library, file = made_scores, tmp_path / "a.probe"
    fitted = command(
        "probe", "fit", "-l", library, "-m", "loudness.tiny", "-o", file, "--features", "both", "--no-curve"
    )
    assert fitted.returncode == 0, fitted.stderr
    assert " on embedding and scores of items of loudness.tiny (" in fitted.stdout
    assert re.search(
        r"^accuracy by features, with the usual C: embedding [01]\.\d+, scores [01]\.\d+, both [01]\.\d+$",
        fitted.stdout,
        re.M,
    )
    shown = json.loads(command("probe", "show", file, "--json").stdout)
    assert [each["use"] for each in shown["report"]["by_features"]] == ["embedding", "scores", "both"]
    assert shown["spaces"][0]["use"] == "both" and shown["spaces"][0]["score_count"] == "2"
    assert command("probe", "predict", file, "--library", library).returncode == 0
    without = command("index", tmp_path / "rhythms", "-l", tmp_path / "none", "-m", "loudness.tiny", "--no-scores",
                      "--label-from", "folder")  # fmt: skip
    assert without.returncode == 0, without.stderr
    refused = command(
        "probe", "fit", "-l", tmp_path / "none", "-m", "loudness.tiny", "-o", file, "--features", "scores"
    )
    assert refused.returncode == 2 and "none has no scores in loudness.tiny; keep them: " in refused.stderr
    assert command("probe", "predict", file, "--library", tmp_path / "none").returncode == 1


def test_the_learning_curve_can_be_left_out(command, library, tmp_path):
    words = ("probe", "fit", "-l", library, "-m", "colours.tiny", "-o", tmp_path / "a.probe")
    with_curve, without = (json.loads(command(*words, *more, "--json").stdout) for more in ((), ("--no-curve",)))
    assert len(with_curve["report"].pop("curve")) == 5 and without["report"].pop("curve") == []
    assert with_curve["report"] == without["report"]
    assert "accuracy by items per class" not in command("probe", "show", tmp_path / "a.probe").stdout


def test_predict_prints_classes_and_the_reasons_of_failures(command, fitted, tmp_path):
    made.write_shade(tmp_path / "new" / "a.png", 0, 200, noise=9)
    (tmp_path / "new" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    done = command("probe", "predict", fitted, tmp_path / "new")
    assert done.returncode == 1 and "b.png: " in done.stderr
    assert re.search(r"^\d\.\d{3}  red    \S+/new/a.png  \w+ \d\.\d{3}, \w+ \d\.\d{3}$", done.stdout, re.M)
    parsed = json.loads(command("probe", "predict", fitted, tmp_path / "new", "--json").stdout)
    assert [each["status"] for each in parsed] == ["ok", "failed"] and parsed[0]["classes"][0]["label"] == "red"


def test_an_image_under_the_threshold_has_a_dash_for_its_class(command, fitted, tmp_path):
    made.write_shade(tmp_path / "new" / "a.png", 0, 200, noise=9)
    done = command("probe", "predict", fitted, tmp_path / "new", "--none-below", "1")
    assert re.search(r"^0\.\d{3}  -      \S+/new/a.png  red 0\.\d{3}, \w+ 0\.\d{3}, \w+ 0\.\d{3}$", done.stdout, re.M)
    assert done.stdout.splitlines()[-1] == "1 of 1 items have no class, as all probabilities are under 1.000"
    for words, label in ((["--none-below", "1"], None), (["--none-below", "0.4"], "red"), ([], "red")):
        (parsed,) = json.loads(command("probe", "predict", fitted, tmp_path / "new", *words, "--json").stdout)
        assert parsed["label"] == label and parsed["classes"][0]["label"] == "red" and len(parsed["classes"]) == 3
    for word, text in (("2", "expected auto or a number from 0 to 1, got 2"), ("much", "from 0 to 1, got 'much'")):
        done = command("probe", "predict", fitted, tmp_path / "new", "--none-below", word)
        assert done.returncode == 2 and text in done.stderr


def test_the_threshold_comes_from_a_background(command, library, tmp_path):
    words = ("-l", library, "-m", "colours.tiny", "-o", tmp_path / "b.probe", "--no-curve")
    done = command("probe", "fit", *words, "--background", "green")
    assert done.returncode == 0, done.stderr
    note = (
        r"^no class under 0\.\d{3} \(--none-below auto\): 0 of 12 background items and "
        r"\d+ of 24 held-out items get one$"
    )
    assert re.search(note, done.stdout, re.M) and "green" not in done.stdout
    found = json.loads(
        command("probe", "predict", tmp_path / "b.probe", "-l", library, "--none-below", "auto", "--json").stdout
    )
    assert {each["label"] for each in found if each["path"].startswith("green")} == {None}
    assert {each["label"] for each in found if each["label"]} in ({"red"}, {"blue"}, {"red", "blue"})
    shown = json.loads(command("probe", "show", tmp_path / "b.probe", "--json").stdout)
    assert 0 < shown["none_below"] < 1
    done = command("probe", "eval", tmp_path / "b.probe", "-l", library, "--background", "green")
    assert done.returncode == 0 and "0 of 12 background items and " in done.stdout
    done = command("probe", "fit", *words, "--background", "unlabelled")
    assert done.returncode == 2 and "lib: expected background items, unlabelled in the column 'label'" in done.stderr


def test_tag_with_a_probe_gives_no_class_under_the_threshold(command, fitted, tmp_path):
    for i in range(2):
        made.write_shade(tmp_path / "new" / f"{i}.png", 0, 200 + i, noise=9)
    words = ("tag", "--probe", fitted, tmp_path / "new", "--none-below", "1")
    done = command(*words)
    assert re.search(r"^\S+/new/0.png  -: red 0\.\d\d, ", done.stdout, re.M) and "class  files" not in done.stdout
    rows = command(*words, "--csv").stdout.splitlines()
    assert len(rows) == 3 and re.match(r"0.png,,,,,0\.\d{4},0\.\d{4},,colours.tiny,ok,", rows[1])
    parsed = json.loads(command(*words, "--json").stdout)
    assert [each["label"] for each in parsed] == [None, None] and parsed[0]["top"][0]["label"] == "red"
    one = command("tag", "--probe", fitted, tmp_path / "new" / "0.png", "--none-below", "1").stdout.splitlines()
    assert re.fullmatch(r"0\.\d{4} +-", one[1]) and re.fullmatch(r"0\.\d{4} +red", one[2])
    done = command("tag", tmp_path / "new", "--none-below", "1")
    assert done.returncode == 2 and "none below: expected a probe" in done.stderr


def test_predict_takes_either_a_library_or_files(command, fitted, library, shades):
    done = command("probe", "predict", fitted, "-l", library)
    assert done.returncode == 0 and done.stdout.count(".png") == 36
    for words in ((), (shades, "-l", library)):
        done = command("probe", "predict", fitted, *words)
        assert done.returncode == 2 and "name files and folders, or --library, one of the two" in done.stderr


def test_a_probe_of_windows_gives_the_scores_of_each_window(command, rhythms, tmp_path):
    done = command(
        "probe",
        "fit",
        "-l",
        rhythms,
        "-m",
        "loudness.tiny",
        "--level",
        "window",
        "-o",
        tmp_path / "w.probe",
        "--no-curve",
    )
    assert done.returncode == 0 and "140 rows, 20 of which are independent" in done.stdout
    file = made.write_rhythm(tmp_path / "x.wav", 1, 55)
    (parsed,) = json.loads(command("probe", "predict", tmp_path / "w.probe", file, "--json").stdout)
    assert [(w["start"], w["stop"]) for w in parsed["windows"]] == [(i / 2, i / 2 + 1) for i in range(7)]
    assert parsed["windows"][0]["scores"]["second"] > 0.5
    tagged = command("tag", "--probe", tmp_path / "w.probe", file)
    assert tagged.returncode == 0 and re.search(r"^0.00-4.00  second +", tagged.stdout, re.M)


def test_eval_evaluates_a_probe_on_another_library(command, fitted, library, tmp_path):
    done = command("probe", "eval", fitted, "-l", library)
    assert done.returncode == 0 and "36 of 36 items were among those it was fitted on, and say little" in done.stdout
    for colour, name in enumerate(("red", "green", "blue")):
        made.write_shade(tmp_path / "more" / name / "a.png", colour, 300 + colour)
    command("index", tmp_path / "more", "-l", tmp_path / "lib2", "-m", "colours.tiny")
    done = command("probe", "eval", fitted, "-l", tmp_path / "lib2", "--label-from", "folder", "--json")
    parsed = json.loads(done.stdout)
    assert parsed["rows"] == 3 and parsed["notes"] == []


def test_export_writes_onnx(command, fitted, tmp_path):
    pytest.importorskip("onnx", reason="needs the extra onnx")
    done = command("probe", "export", fitted, "-o", tmp_path / "a.onnx")
    assert done.stdout == f"48 numbers -> 3 classes, in {tmp_path / 'a.onnx'}\n" and (tmp_path / "a.onnx").is_file()


def test_each_column_gets_a_probe(command, library, tmp_path):
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
        "--no-curve",
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


def test_advise_ends_with_the_method_to_try_first(command, library, tmp_path):
    done = command("advise", "-l", library, "--plot", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^36 items; the commonest class has 1.0 x the rarest$", done.stdout, re.M)
    assert re.search(
        r"^1  features and a linear classifier  yes  \w+ has 12 items, under 20; colours.tiny", done.stdout, re.M
    )
    assert done.stdout.splitlines()[-1] == "do this first: features and a linear classifier"
    assert (tmp_path / "a.png").stat().st_size > 10_000
    parsed = json.loads(command("advise", "-l", library, "--json").stdout)
    assert parsed["counts"][0][1] == 12 and len(parsed["suggestions"]) == 5


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["-m", "colour.tiny"],
            "no vectors in space 'colour.tiny'; it has 'colours.tiny'; did you mean 'colours.tiny'?",
        ),
        (["-m", "vggish"], "it has 'colours.tiny'; if `sightsound models` knows it, make them: sightsound index"),
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
def test_a_mistake_is_one_line_and_nothing_is_written(command, library, tmp_path, monkeypatch, words, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone.csv").write_text("path,kind\nno.png,a\n")
    done = command("probe", "fit", "-l", library, "-m", "colours.tiny", "-o", "a.probe", *words)
    assert done.returncode == 2 and text in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "a.probe").exists()


def test_control_characters_in_a_probe_are_escaped(command, fitted):
    probe = load_probe(fitted)
    object.__setattr__(probe.feature_spec_, "column", "\x1b]0;gone\x07label")
    probe.save(fitted)
    shown = command("probe", "show", fitted).stdout
    assert "\x1b" not in shown and "\\x1b]0;gone\\x07label" in shown


def test_a_probe_needs_the_network_that_it_was_fitted_with(command, fitted, shades):
    done = command("probe", "predict", fitted, shades, plugins=("tiny", "whiten"))
    assert done.returncode == 2 and "probe: another space; " in done.stderr
