"""Classifying files and folders, in Python and by the command line."""

from __future__ import annotations

import csv
import io
import json
import os

import numpy as np
import pytest
import soundfile
from PIL import Image

import made
from made import RATE, loud_and_silent
from sightsound import SegmentRules, SightsoundError, tag
from sightsound.contract.errors import UnknownClass


@pytest.fixture
def folder(tmp_path):
    """Two recordings, a stereo one, a broken one, and two files that are neither picture nor sound."""
    there = tmp_path / "sounds"
    (there / "far").mkdir(parents=True)
    soundfile.write(there / "a.wav", loud_and_silent(2, 3), RATE, "FLOAT")
    soundfile.write(there / "far" / "b.wav", loud_and_silent(0.5, 1, 4), RATE, "FLOAT")
    soundfile.write(there / "stereo.wav", np.stack([loud_and_silent(3), loud_and_silent(0, 3)], 1), RATE, "FLOAT")
    samples = loud_and_silent(3)
    samples[2 * RATE] = np.nan
    soundfile.write(there / "broken.wav", samples, RATE, "FLOAT")
    (there / "notes.txt").write_text("hello")
    (there / "empty.wav").touch()
    return there


def by_name(found):
    return {tags.item.path: tags for tags in found}


# -- in Python ---------------------------------------------------------------------------------------------------


def test_every_file_of_a_folder_has_its_classes_or_a_reason(folder, tiny):
    found = by_name(tag(folder, models="loudness.tiny", host=tiny))
    assert {path: tags.outcome.status for path, tags in found.items()} == {
        "a.wav": "ok",
        "far/b.wav": "ok",
        "stereo.wav": "ok",
        "broken.wav": "failed",
        "notes.txt": "not-media",
        "empty.wav": "not-media",
    }
    assert [(s.label, s.start, s.stop) for s in found["a.wav"].segments] == [("loud", 0, 2.5), ("quiet", 1.5, 5)]
    assert found["a.wav"].top[0].label == "quiet" and found["a.wav"].model == "loudness.tiny"
    assert "the sample at second 2.000 is nan" in found["broken.wav"].outcome.reason
    assert found["broken.wav"].segments == () == found["broken.wav"].top


def test_results_are_those_of_classify_sound(folder, tiny):
    from sightsound import classify_sound

    for channels in ("mean", "each"):
        for tags in tag(
            folder, models="loudness.tiny", host=tiny, channels=channels, rules=SegmentRules(threshold=0.5)
        ):
            if tags.outcome.status == "ok":
                alone = classify_sound(
                    tags.item.file,
                    model=tiny.load("loudness.tiny"),
                    channels=channels,
                    rules=SegmentRules(threshold=0.5),
                )
                assert tags.segments == alone.segments and tags.top == alone.top


def test_each_channel_of_every_file(folder, tiny):
    found = by_name(tag(folder, models="loudness.tiny", host=tiny, channels="each"))
    assert {(s.label, s.channel) for s in found["stereo.wav"].segments} == {("loud", 0), ("quiet", 1)}
    assert found["broken.wav"].outcome.status == "failed" and found["broken.wav"].segments == ()
    assert {s.channel for s in found["a.wav"].segments} == {0}


def test_pictures_and_sounds_of_a_folder_go_to_their_models(zoo, tiny, warm):
    found = by_name(tag(zoo, models=[warm, "loudness.tiny"], host=tiny, k=2))
    assert len(found) == 5
    assert {tags.model for path, tags in found.items() if path.startswith("cats")} == {"warm.tiny"}
    assert all(len(tags.top) == 2 and tags.segments == () for path, tags in found.items() if path.startswith("cats"))
    assert all(tags.outcome.seconds == 2 for path, tags in found.items() if path.startswith("dogs"))


def test_files_without_a_model_are_skipped_and_counted(zoo, tiny, caplog):
    assert {t.item.path for t in tag(zoo, models="loudness.tiny", host=tiny)} == {"dogs/0.wav", "dogs/1.wav"}
    assert "3 images skipped: no model for images was named" in caplog.text


def test_rules_for_sounds_do_not_apply_to_pictures(zoo, tiny, warm):
    found = by_name(tag(zoo, models=[warm, "loudness.tiny"], host=tiny, rules=SegmentRules(include=("loud",))))
    assert len(found["cats/0.png"].top) == 3 and [p.label for p in found["dogs/0.wav"].top] == ["loud"]


def test_a_file_that_is_named_twice_is_tagged_once(folder, tiny):
    paths = [folder / "a.wav", folder, folder / "a.wav"]
    found = [tags.item.file.name for tags in tag(paths, models="loudness.tiny", host=tiny)]
    assert found.count("a.wav") == 1 and len(found) == 6


def test_an_empty_folder_has_no_tags(tmp_path, tiny):
    assert list(tag(tmp_path, models="loudness.tiny", host=tiny)) == []


def test_two_models_for_one_modality_are_refused(zoo, tiny, warm):
    with pytest.raises(SightsoundError, match=r"warm.tiny and colours.tiny: expected one model for images, got two"):
        tag(zoo, models=[warm, "colours.tiny"], host=tiny)


def test_wrong_arguments_are_refused_before_anything_is_read(zoo, tiny):
    with pytest.raises(UnknownClass, match="did you mean 'loud'"):
        tag(zoo, models="loudness.tiny", host=tiny, rules=SegmentRules(include=("lout",)))
    with pytest.raises(SightsoundError, match="colours.tiny has no classes"):
        tag(zoo, models="colours.tiny", host=tiny)
    with pytest.raises(SightsoundError, match="no such file"):
        tag(zoo / "gone", models="loudness.tiny", host=tiny)


def test_leaving_the_iteration_early_stops_the_threads(folder, tiny):
    import threading

    found = tag(folder, models="loudness.tiny", host=tiny)
    next(found)
    found.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("sightsound")]


# -- the command line --------------------------------------------------------------------------------------------

MODEL = ("-m", "loudness.tiny")


def test_one_file_is_shown_with_its_segments_and_classes(command, folder):
    done = command("tag", folder / "a.wav", *MODEL)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["seconds", "class", "mean", "peak"]
    assert lines[1][:2] == ["0.00-2.50", "loud"] and lines[2][:2] == ["1.50-5.00", "quiet"]
    assert done.stdout.splitlines()[-1].startswith("whole recording (5.0 s): quiet 0.")


def test_a_folder_is_a_line_for_each_file_and_a_summary(command, folder):
    done = command("tag", folder, *MODEL)
    assert done.returncode == 1, "broken.wav failed"
    assert any(line.startswith(f"{folder}/far/b.wav  loud 0.") for line in done.stdout.splitlines())
    assert "broken.wav: the sample at second 2.000 is nan" in done.stderr
    summary = done.stdout[done.stdout.index("class") :].splitlines()
    assert summary[0].split() == ["class", "files", "seconds"] and summary[1].split()[0] == "loud"
    assert summary[-1] == "3 tagged, 1 failed, 2 neither image nor sound"


def test_json_has_all_of_every_file(command, folder):
    done = command("tag", folder, *MODEL, "--json")
    found = {entry["path"]: entry for entry in json.loads(done.stdout)}
    assert len(found) == 6 and found["a.wav"]["root"] == str(folder)
    assert found["a.wav"]["segments"][0] == {
        **{"label": "loud", "id": "", "channel": None, "start": 0.0, "stop": 2.5},
        **{key: found["a.wav"]["segments"][0][key] for key in ("mean", "peak")},
    }
    assert found["broken.wav"]["status"] == "failed" and "nan" in found["broken.wav"]["reason"]


def test_csv_has_a_row_for_every_segment_class_and_failure(command, folder):
    rows = list(csv.DictReader(io.StringIO(command("tag", folder, *MODEL, "--csv").stdout)))
    of_a = [row for row in rows if row["path"] == "a.wav"]
    assert [(row["start"], row["stop"], row["label"]) for row in of_a] == [
        ("0.000", "2.500", "loud"),
        ("1.500", "5.000", "quiet"),
    ]
    assert {row["status"] for row in rows} == {"ok", "failed", "not-media"}
    assert {row["path"] for row in rows} == {"a.wav", "far/b.wav", "stereo.wav", "broken.wav", "notes.txt", "empty.wav"}


def test_a_label_track_for_audacity(command, folder, tmp_path):
    done = command("tag", folder / "a.wav", *MODEL, "--audacity")
    assert done.stdout == "0.000000\t2.500000\tloud\n1.500000\t5.000000\tquiet\n"
    assert command("tag", folder / "a.wav", *MODEL, "--audacity", "-o", tmp_path / "a.txt").stdout == ""
    assert (tmp_path / "a.txt").read_text() == done.stdout


def test_label_tracks_of_several_files_go_to_a_folder(command, folder, tmp_path):
    refused = command("tag", folder, *MODEL, "--audacity")
    assert refused.returncode == 2 and "expected a folder for the label tracks; name it with --out" in refused.stderr
    done = command("tag", folder, *MODEL, "--audacity", "-o", tmp_path)
    assert "3 label tracks in" in done.stdout
    assert {path.name for path in tmp_path.glob("*.txt")} == {"a.txt", "b.txt", "stereo.txt"}


def test_label_tracks_of_files_of_one_name_stay_apart(command, folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for number, name in enumerate(("a.wav", "a (2).wav")):
        soundfile.write(other / name, loud_and_silent(2 + number), RATE, "FLOAT")
    command("tag", folder / "a.wav", other, *MODEL, "--audacity", "-o", tmp_path)
    assert {path.name for path in tmp_path.glob("*.txt")} == {"a.txt", "a (2).txt", "a (3).txt"}


def test_a_selection_table_for_raven(command, folder):
    lines = command("tag", folder, *MODEL, "--raven", "--channels", "each").stdout.splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    assert [int(row["Selection"]) for row in rows] == list(range(1, len(rows) + 1))
    assert {(row["Begin File"], row["Channel"], row["Label"]) for row in rows if row["Begin File"] == "stereo.wav"} == {
        ("stereo.wav", "1", "loud"),
        ("stereo.wav", "2", "quiet"),
    }
    assert rows[0]["Begin Time (s)"] == "0.000000" and float(rows[0]["High Freq (Hz)"]) == RATE / 2


def test_names_cannot_break_any_format(command, tmp_path):
    name = "=cmd()\t[red]\n.wav"
    soundfile.write(tmp_path / name, loud_and_silent(2), RATE, "FLOAT", format="WAV")
    rows = list(csv.DictReader(io.StringIO(command("tag", tmp_path, *MODEL, "--csv").stdout)))
    assert rows[0]["path"] == "./=cmd()\\t[red]\\n.wav"
    assert len(command("tag", tmp_path, *MODEL, "--raven").stdout.splitlines()) == 2
    assert "=cmd()\\t[red]\\n.wav  loud" in command("tag", tmp_path, *MODEL).stdout
    assert json.loads(command("tag", tmp_path, *MODEL, "--json").stdout)[0]["path"] == name


def test_a_name_that_is_not_utf_8_is_spelled_out(command, tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    with open(path, "wb") as file:
        soundfile.write(file, loud_and_silent(2), RATE, "FLOAT", format="WAV")
    for form in ((), ("--csv",), ("--raven",), ("--json",)):
        done = command("tag", tmp_path, *MODEL, *form)
        assert done.returncode == 0 and "caf" in done.stdout, done.stderr


def test_a_wav_is_read_from_standard_input_as_it_comes(install, folder):
    """The first segment is printed while the other end still holds the pipe open."""
    running = made.start_command(install("tiny"), "tag", "-", *MODEL, "--include", "loud", pipe=True)
    content = (folder / "a.wav").read_bytes()
    running.stdin.buffer.write(content)
    running.stdin.flush()
    assert running.stdout.readline().split()[:2] == ["0.00-2.50", "loud"]
    assert running.poll() is None
    running.stdin.close()
    out, err = running.stdout.read(), running.stderr.read()  # `communicate` would lose what `readline` has read ahead
    assert running.wait(60) == 0, err
    assert "1 segment" in out.splitlines()
    assert out.splitlines()[-1].startswith("whole recording (5.0 s): loud 0.")


def test_standard_input_gives_what_the_file_gives(folder, command):
    content = (folder / "a.wav").read_bytes()
    done = command("tag", "-", *MODEL, "--csv", given=content, process=True)
    assert done.returncode == 0, done.stderr
    of_file = list(csv.DictReader(io.StringIO(command("tag", folder / "a.wav", *MODEL, "--csv").stdout)))
    of_pipe = list(csv.DictReader(io.StringIO(done.stdout)))
    for row in (*of_file, *of_pipe):
        del row["path"], row["root"], row["file"]
    assert of_file and of_file == of_pipe


@pytest.mark.parametrize("content", [b"", b"hello" * 1000], ids=["empty", "text"])
def test_standard_input_that_is_no_wav_is_refused_in_one_line(command, content):
    done = command("tag", "-", *MODEL, given=content)
    assert done.returncode == 2 and done.stderr.startswith("sightsound: standard input: cannot read audio")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-", "x.wav"), "- is read alone"),
        (("-", "--plot", "x.png"), "- is read alone"),
        (("{}", "-o", "x.txt"), "--audacity and --raven write .txt"),
        (("{}", "--plot", "x.png"), "--plot draws one recording"),
        (("{}/a.wav", "--threshold", "3"), "threshold: expected a score from 0 to 1"),
        (("{}/a.wav", "--include", "lout"), "did you mean 'loud'"),
        (("{}/gone.wav",), "no such file"),
        (("{}/a.wav", "--csv", "-o", "{}/gone/x.csv"), "x.csv: cannot be written (No such file or directory)"),
    ],
)
def test_wrong_options_exit_with_2(command, folder, words, text):
    done = command("tag", *(word.format(folder) for word in words), *MODEL)
    assert done.returncode == 2 and text in done.stderr, done.stderr


def test_a_single_file_that_is_no_media_exits_with_1(command, folder):
    done = command("tag", folder / "notes.txt", *MODEL)
    assert (done.returncode, done.stdout) == (1, "") and "notes.txt: neither an image nor a sound" in done.stderr


# -- plots -------------------------------------------------------------------------------------------------------


def test_a_recording_is_drawn(command, folder, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra `plot`")
    done = command("tag", folder / "a.wav", *MODEL, "--plot", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert picture.shape[0] > 300 and picture.shape[1] > 900
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_a_recording_without_segments_is_drawn_too(command, folder, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra `plot`")
    rules = ("--include", "loud", "--threshold", "1")
    done = command("tag", folder / "a.wav", *MODEL, *rules, "--plot", tmp_path / "a.png")
    assert done.returncode == 0 and Image.open(tmp_path / "a.png").size[0] > 900, done.stderr


def test_words_are_drawn_by_seconds_times_score(command, folder, tmp_path):
    pytest.importorskip("wordcloud", reason="needs the extra `plot`")
    done = command("tag", folder, *MODEL, "--wordcloud", tmp_path / "w.png")
    assert done.returncode == 1 and Image.open(tmp_path / "w.png").size == (1000, 600), done.stderr
    again = command("tag", folder, *MODEL, "--wordcloud", tmp_path / "w2.png")
    assert again.returncode == 1 and (tmp_path / "w.png").read_bytes() == (tmp_path / "w2.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--include", "loud", "--threshold", "1", "--wordcloud", "w.png"), "w.png: nothing to draw"),
        (("--plot", "gone/a.png"), "gone/a.png: cannot be written (No such file or directory)"),
        (("--plot", "a.xyz"), "a.xyz: Format 'xyz' is not supported; name a .png"),
        (("--wordcloud", "w.xyz"), "w.xyz: Format 'xyz' is not supported; name a .png"),
    ],
)
def test_plots_that_cannot_be_drawn_are_refused(command, folder, words, text, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the extra `plot`")
    monkeypatch.chdir(tmp_path)
    done = command("tag", folder / "a.wav", *MODEL, *words)
    assert done.returncode == 2 and text in done.stderr, done.stderr
    assert not list(tmp_path.glob(".sightsound-*"))


def test_a_picture_has_no_plot(tiny, zoo, command):
    done = command("tag", zoo / "cats" / "0.png", "-m", "tf_efficientnet_lite0.in1k", "--plot", "x.png")
    assert done.returncode == 2 and "expected a recording for --plot, got an image" in done.stderr


def test_classes_are_weighted_by_seconds_times_mean_score():
    from sightsound import Segment
    from sightsound.plot.sounds import segment_weights

    found = segment_weights([Segment("a", 0, 2, 0.5, 1), Segment("b", 0, 1, 0.9, 1), Segment("a", 5, 6, 0.5, 1)])
    assert dict(found) == {"a": 1.5, "b": 0.9}


# -- files of equal names, odd names, and interrupts -------------------------------------------------------------


@pytest.fixture
def namesakes(tmp_path):
    """Two recordings with the same name in two folders."""
    for name, rate in (("one", RATE), ("two", RATE * 2)):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "x.wav", np.full(2 * rate, 0.9, np.float32), rate, "FLOAT")
    return tmp_path / "one", tmp_path / "two"


@pytest.mark.parametrize("typed", ["folders", "files"])
def test_files_of_equal_names_can_be_told_apart_in_every_table(command, namesakes, typed):
    words = [*(namesakes if typed == "folders" else (folder / "x.wav" for folder in namesakes)), *MODEL]
    rows = list(csv.DictReader(io.StringIO(command("tag", *words, "--csv").stdout)))
    assert {(row["root"], row["path"]) for row in rows} == {(str(folder), "x.wav") for folder in namesakes}
    lines = command("tag", *words, "--raven").stdout.splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    assert {row["Begin File"] for row in rows} == {"x.wav"}
    assert {row["Begin Path"] for row in rows} == {str(folder / "x.wav") for folder in namesakes}
    shown = command("tag", *words).stdout.splitlines()[:2]
    assert [line.split()[0] for line in shown] == [str(folder / "x.wav") for folder in namesakes]


def test_raven_gets_the_band_and_the_offset_of_each_recording(command, namesakes):
    lines = command("tag", *namesakes, *MODEL, "--raven").stdout.splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t"))
    bands = {row["Begin Path"]: float(row["High Freq (Hz)"]) for row in rows}
    assert bands == {str(namesakes[0] / "x.wav"): RATE / 2, str(namesakes[1] / "x.wav"): RATE}
    begins = [float(row["Begin Time (s)"]) - float(row["File Offset (s)"]) for row in rows]
    assert begins == [0 if row["Begin Path"] == str(namesakes[0] / "x.wav") else 2 for row in rows], (
        "times are of both recordings of 2 s, one after the other"
    )
    assert {0, 2} == set(begins)


def test_a_path_that_looks_like_a_formula_still_names_the_file(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-x.wav", "=x.wav"):
        soundfile.write(tmp_path / name, loud_and_silent(2), RATE, "FLOAT")
    rows = list(csv.DictReader(io.StringIO(command("tag", tmp_path, *MODEL, "--csv").stdout)))
    assert {row["path"] for row in rows} == {"./-x.wav", "./=x.wav"}
    assert all(os.path.isfile(row["path"]) for row in rows)


def test_an_image_has_no_label_track(command, tiny, zoo, tmp_path, monkeypatch):
    from sightsound.cli import exports
    from sightsound.contract.results import Classified, Item, Outcome, Prediction

    found = Classified(Item(str(zoo), "0.png"), Outcome(Item(str(zoo), "0.png"), "ok"), "m", (Prediction("a", 1),))
    with pytest.raises(SightsoundError, match="0.png: expected a recording for --audacity, got an image; leave it out"):
        exports.export([found], "audacity", None)
    assert not list(tmp_path.glob("*.txt"))


def wav(samples):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, "FLOAT", format="WAV")
    return file.getvalue()


def test_standard_input_without_samples_fails_as_the_file_does(command, tmp_path):
    (tmp_path / "none.wav").write_bytes(wav(np.zeros(0, np.float32)))
    of_file = command("tag", tmp_path / "none.wav", *MODEL)
    of_pipe = command("tag", "-", *MODEL, given=wav(np.zeros(0, np.float32)))
    assert (of_file.returncode, of_file.stderr) == (1, f"{tmp_path}/none.wav: no samples\n")
    assert (of_pipe.returncode, of_pipe.stdout, of_pipe.stderr) == (1, "", "-: no samples\n")


def test_what_was_found_is_exported_when_tag_is_interrupted(command, namesakes, tmp_path, monkeypatch):
    from sightsound.classify import tag as module

    run = module.tag

    def interrupted(*arguments, **options):
        yield next(run(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "tag", interrupted)
    done = command("tag", *namesakes, *MODEL, "--csv", "-o", tmp_path / "x.csv")
    assert done.returncode == 130
    kept = f"what was found in 1 file is in {tmp_path / 'x.csv'}, the rest is not kept"
    assert done.stderr.splitlines()[-1] == f"sightsound: stopped; {kept}"
    rows = list(csv.DictReader((tmp_path / "x.csv").open()))
    assert {row["root"] for row in rows} == {str(namesakes[0])}
    done = command("tag", *namesakes, *MODEL)
    assert done.returncode == 130 and done.stderr.splitlines()[-1] == "sightsound: stopped; nothing is kept"


def test_what_was_heard_is_exported_when_standard_input_is_interrupted(command, tmp_path, monkeypatch):
    from sightsound.classify.classify import SoundStream

    step = SoundStream.__next__
    heard = []

    def interrupted(self):
        if heard:
            raise KeyboardInterrupt
        heard.append(step(self))
        return heard[0]

    monkeypatch.setattr(SoundStream, "__next__", interrupted)
    done = command("tag", "-", *MODEL, "--csv", "-o", tmp_path / "x.csv", given=wav(loud_and_silent(2, 3, 4)))
    assert done.returncode == 130 and "what was found in 1 file is in" in done.stderr
    assert [row["label"] for row in csv.DictReader((tmp_path / "x.csv").open())] == ["loud"]


def test_classes_with_commas_are_told_apart(capsys):
    from sightsound.cli import tag as module
    from sightsound.contract.results import Classified, Item, Outcome, Prediction

    top = (Prediction("tabby, tabby cat", 0.5), Prediction("tiger cat", 0.25))
    found = Classified(Item("/x", "a.png"), Outcome(Item("/x", "a.png"), "ok"), "m", top)
    assert module._classes(found, 2) == "tabby, tabby cat 0.50; tiger cat 0.25"
