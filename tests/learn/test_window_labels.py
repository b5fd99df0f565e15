"""Windows that have the labels of the time ranges that they overlap."""

from __future__ import annotations

import json

import numpy as np
import pytest

from made import RATE
from sightsound import (
    Labels,
    Library,
    SightsoundError,
    evaluate_stored,
    fit_probe,
    import_labels,
    index,
    load_dataset,
    load_datasets,
    set_labels,
)
from sightsound.library.window_choice import matching_windows

pytestmark = pytest.mark.usefixtures("few_strengths")

SPANS = np.array([[0, 1], [0.5, 1.5], [1, 2], [1.5, 2.5], [2, 2.2]])


@pytest.mark.parametrize(
    ("start", "stop", "least", "expected"),
    [
        (0, 1, 0.5, [0, 1]),
        (0, 1, 0.51, [0]),
        (0, 1, 0.01, [0, 1]),
        (0.6, 0.7, 1, [0, 1]),  # a short range counts where it lies wholly inside
        (0.9, 1.1, 0.5, [0, 1, 2]),
        (0.9, 1.1, 0.6, [1]),
        (0, 9, 1, [0, 1, 2, 3, 4]),
        (2.05, 9, 0.5, [4]),  # the last window is shorter
        (1, 1, 0.5, [1, 2]),  # a moment
        (5, 6, 0.5, []),
    ],
)
def test_a_range_is_matched_to_windows_by_the_shorter_of_the_two(start, stop, least, expected):
    assert matching_windows(SPANS, start, stop, least).tolist() == expected


def test_overlap_agrees_with_the_definition_for_random_ranges():
    random = np.random.default_rng(0)
    starts = random.uniform(0, 10, 200)
    spans = np.stack([starts, starts + random.uniform(0.1, 2, 200)], axis=1)
    for start, length, least in random.uniform([0, 0.01, 0.05], [10, 4, 1], (200, 3)):
        found = matching_windows(spans, start, start + length, least)
        expected = [
            i
            for i, (a, b) in enumerate(spans)
            if max(0, min(b, start + length) - max(a, start)) / min(b - a, length) >= least
        ]
        assert found.tolist() == expected


@pytest.fixture
def annotated(tiny, tmp_path):
    """Six recordings of 4 s, loud in one second of each, with a range there; a seventh without a range."""
    import soundfile

    rows = ["path,start,stop,call"]
    for i in range(7):
        samples = np.random.default_rng(i).choice([-0.05, 0.05], 4 * RATE)
        samples[(i % 3) * RATE : (i % 3 + 1) * RATE] *= 15
        (tmp_path / "in").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "in" / f"{i}.wav", samples, RATE, "FLOAT")
        rows += [f"{i}.wav,{i % 3},{i % 3 + 1},hoo"] * (i < 6)
    index(tmp_path / "in", tmp_path / "lib", models=["loudness.tiny"], host=tiny)
    (tmp_path / "r.csv").write_text("\n".join(rows) + "\n")
    import_labels(tmp_path / "r.csv", tmp_path / "lib")
    return tmp_path / "lib"


def test_windows_have_the_labels_of_their_ranges_and_others_of_the_same_recordings(annotated):
    data = load_dataset(annotated, "loudness.tiny", Labels(ranges=True, others="rest", min_overlap=0.75))
    assert data.feature_spec.level == "window" and data.feature_spec.column == "call"
    assert data.classes == ("hoo", "rest") and len(data.items) == 6 and len(set(data.groups)) == 6
    for span, label, item in zip(data.spans, data.y, data.item_index):
        begin = item % 3
        assert label == ("hoo" if span[0] == begin else "rest")
    assert "1 items without a label left out" in data.notes


def test_windows_without_a_range_are_left_out_without_a_class_for_them(annotated):
    data = load_dataset(annotated, "loudness.tiny", Labels(ranges=True, min_overlap=0.75), min_classes=1)
    assert data.y.tolist() == ["hoo"] * 6
    wider = load_dataset(annotated, "loudness.tiny", Labels(ranges=True, min_overlap=0.5), min_classes=1)
    assert len(wider.y) > 6 and len(wider.spans) == len(wider.X) == len(wider.y)
    assert any("windows without a label left out" in note for note in wider.notes)


def test_a_recording_without_ranges_has_its_own_label_in_all_windows(annotated):
    with Library(annotated) as library:
        (last,) = (item for item in library.items() if item.path == "6.wav")
        set_labels(library, last.file, put={"call": "silence"})
    data = load_dataset(annotated, "loudness.tiny", Labels(ranges=True))
    assert data.classes == ("hoo", "silence")
    assert {data.items[i].path for i in data.item_index[data.y == "silence"]} == {"6.wav"}
    assert (data.y == "silence").sum() == 7


def test_windows_with_several_labels_need_multi_label(annotated, tmp_path):
    (tmp_path / "more.csv").write_text("path,start,stop,call\n0.wav,0,1,hoo\n0.wav,0,4,rain\n")
    import_labels(tmp_path / "more.csv", annotated)
    single = load_dataset(annotated, "loudness.tiny", Labels(ranges=True, min_overlap=0.75))
    assert "1 windows with several labels left out; see --multi-label" in single.notes
    several = load_dataset(annotated, "loudness.tiny", Labels(ranges=True, min_overlap=0.75, multi_label=True))
    assert several.classes == ("hoo", "rain") and several.y.sum(axis=1).max() == 2
    assert len(several.y) == len(single.y) + 1


def test_copies_with_other_ranges_are_left_out(annotated, tiny, tmp_path):
    (tmp_path / "in" / "copy.wav").write_bytes((tmp_path / "in" / "0.wav").read_bytes())
    index(tmp_path / "in", annotated, models=["loudness.tiny"], host=tiny)
    (tmp_path / "c.csv").write_text("path,start,stop,call\ncopy.wav,2,3,hoo\n")
    import_labels(tmp_path / "c.csv", annotated)
    data = load_dataset(annotated, "loudness.tiny", Labels(ranges=True, others="rest"))
    assert "2 copies of one content with different labels left out" in data.notes and len(data.items) == 5


@pytest.mark.parametrize("features", ["auto", "embedding"])
def test_a_probe_of_ranges_is_fitted_on_folds_of_recordings_and_evaluated(annotated, tmp_path, command, features):
    words = ["probe", "fit", "-l", annotated, "-m", "loudness.tiny", "--windows", "--others", "rest"]
    out = tmp_path / "calls.probe"
    done = command(*words, "--min-overlap", "0.75", "--features", features, "--no-curve", "-o", out)
    assert done.returncode == 0, done.stderr
    shown = json.loads(command("probe", "show", out, "--json").stdout)
    assert shown["classes"] == ["hoo", "rest"] and shown["spaces"][0]["level"] == "window"
    assert shown["report"]["accuracy"]["value"] > 0.9
    how = ["--windows", "--others", "rest", "--min-overlap", "0.75"]
    assert command("probe", "eval", out, "-l", annotated, *how).returncode == 0
    found = json.loads(command("probe", "predict", out, "-l", annotated, "--json").stdout)
    first = next(each for each in found if each["path"] == "1.wav")
    loud = [w["start"] for w in first["windows"] if w["scores"]["hoo"] > 0.5]
    assert 1.0 in loud and not {0.0, 3.0} & set(loud)


def test_folds_are_grouped_by_recording(annotated):
    data = load_dataset(annotated, "loudness.tiny", Labels(ranges=True, others="rest"))
    held_out = fit_probe(data, curve=False).cross_validation_.folds
    for item in range(len(data.items)):
        assert len(set(held_out[data.item_index == item])) == 1


def test_what_cannot_be_meant_is_refused(annotated, coloured, tmp_path, command):
    ranges = Labels(ranges=True)
    with pytest.raises(SightsoundError, match="min_overlap: expected a number over 0 and up to 1, got 0"):
        load_dataset(annotated, "loudness.tiny", Labels(ranges=True, min_overlap=0))
    with pytest.raises(SightsoundError, match="expected a network of sounds and no background, got colours.tiny"):
        load_dataset(coloured, "colours.tiny", ranges)
    with pytest.raises(SightsoundError, match="expected one network, whose rows are windows"):
        load_datasets(annotated, labels=ranges)
    with pytest.raises(SightsoundError, match=r"expected labels of whole files, got those of time ranges; store them"):
        load_dataset(annotated, "loudness.tiny", Labels(str(tmp_path / "r.csv")))
    done = command(
        *["probe", "fit", "-l", annotated, "-m", "loudness.tiny", "--others", "rest", "-o", tmp_path / "a.probe"]
    )
    assert done.returncode == 2 and "--min-overlap and --others go with --windows" in done.stderr


def test_a_probe_of_items_is_not_evaluated_on_ranges(rhythms, tmp_path, tiny):
    probe = fit_probe(load_dataset(rhythms, "loudness.tiny"), curve=False)
    with pytest.raises(SightsoundError, match="expected a probe of windows, got one of items"):
        evaluate_stored(probe, rhythms, Labels(ranges=True))
    with pytest.raises(SightsoundError, match="expected time ranges in the library, found none; sightsound label"):
        load_dataset(rhythms, "loudness.tiny", Labels(ranges=True))
