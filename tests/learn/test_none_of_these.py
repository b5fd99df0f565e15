"""Files that have none of the classes of a probe."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import made
from sightsound import (
    Labels,
    LinearProbe,
    SegmentRules,
    SightsoundError,
    Stack,
    evaluate_stored,
    fit_probe,
    fit_stack,
    index,
    load_dataset,
    load_probe,
    predict,
    predict_stored,
    tag,
)

pytestmark = pytest.mark.usefixtures("few_strengths")

FAST = LinearProbe(Cs=(1e-2, 1.0, 100.0))


@pytest.fixture
def greys(coloured, tiny, tmp_path):
    """The library `coloured` with 24 more images, which are rather grey; their folders are `grey` and `plain`."""
    for i in range(24):
        made.write_shade(tmp_path / "shades" / ("grey" if i < 12 else "plain") / f"{i}.png", 3, 400 + i)
    index(tmp_path / "shades" / "grey", coloured, models=["colours.tiny", "tints.tiny"], host=tiny, label_from="folder")
    index(tmp_path / "shades" / "plain", coloured, models=["colours.tiny"], host=tiny)
    return coloured


def load(place, background=None, **options):
    return load_dataset(place, "colours.tiny", Labels(background=background), **options)


@pytest.mark.parametrize(("background", "classes"), [("grey", 3), ("unlabelled", 4)])
def test_at_most_5_percent_of_the_background_get_a_class(greys, background, classes):
    data = load(greys, background)
    assert len(data.background) == 12 and data.background[0].shape == (1, 48) and len(data.classes) == classes
    probe = fit_probe(data, FAST, curve=False)
    folder = "grey" if background == "grey" else "plain"
    found = [*predict_stored(probe, greys, none_below="auto")]
    of_background = [each for each in found if each.item.path.startswith(folder)]
    assert len(of_background) == 12
    assert [each.label for each in of_background] == 12 * [None]  # 5 % of 12 is none
    others = [each for each in found if each not in of_background and each.label is not None]
    assert others and all(each.label == each.top[0].label for each in others)
    assert all(each.label is not None for each in predict_stored(probe, greys))
    kept = sum(score >= probe.none_below_ for score in probe.held_out_probabilities().max(axis=1))
    assert probe.report_.notes[-1] == (
        f"no class under {probe.none_below_:.3f} (--none-below auto): 0 of 12 background items "
        f"and {kept} of {len(data.items)} held-out items get one"
    )
    assert "items without a label left out" in " ".join(probe.report_.notes) or background == "unlabelled"


def test_without_background_95_percent_of_the_correct_held_out_items_get_a_class(greys):
    data = load(greys)
    probe = fit_probe(data, FAST, curve=False)
    P = probe.held_out_probabilities()
    correct = probe.classes_[P.argmax(axis=1)] == data.y
    assert correct.sum() > 20 and 0.95 <= (P.max(axis=1)[correct] >= probe.none_below_).mean() < 1
    assert probe.report_.notes == ("12 items without a label left out",)


def test_the_threshold_of_a_probe_of_windows_is_for_the_mean_of_an_item(rhythms):
    data = load_dataset(rhythms, "loudness.tiny", level="window")
    probe = fit_probe(data, FAST, curve=False)
    P = probe.held_out_probabilities()
    means = np.array([P[data.item_index == i].mean(axis=0).max() for i in range(20)])
    assert probe.none_below_ in means and probe.none_below_ <= np.quantile(means, 0.06)


def test_files_are_classified_by_a_number_or_by_the_threshold_of_a_saved_probe(coloured, tiny, new, tmp_path):
    probe = fit_probe(load(coloured), FAST, curve=False)
    probe.save(tmp_path / "a.probe")
    loaded = load_probe(tmp_path / "a.probe")
    assert loaded.none_below_ == probe.none_below_
    plain, all_, none, auto = ([*predict(loaded, new, none_below=t, host=tiny)] for t in (None, 0, 1.0, "auto"))
    assert [each.label for each in plain] == [each.label for each in all_] == ["red", "blue", None]
    assert [each.label for each in none] == [None, None, None] and none[0].top == plain[0].top
    assert [each.label for each in auto[:2]] == [
        each.label if each.top[0].score >= probe.none_below_ else None for each in plain[:2]
    ]
    with pytest.raises(SightsoundError, match="none below: expected auto or a number from 0 to 1, got 60"):
        predict(loaded, new, none_below=60, host=tiny)


def test_a_stack_takes_a_number(coloured, tiny, new):
    both = [load_dataset(coloured, model) for model in ("colours.tiny", "tints.tiny")]
    stack = fit_stack(both, Stack(Cs=(1e-2, 1.0), cv=2))
    assert [each.label for each in predict(stack, new, none_below=1, host=tiny)][:2] == [None, None]
    with pytest.raises(SightsoundError, match="none below auto: expected a probe with a threshold"):
        predict(stack, new, none_below="auto", host=tiny)


def test_an_evaluation_says_how_many_background_items_get_a_class(greys):
    probe = fit_probe(load(greys, "grey"), FAST, curve=False)
    report = evaluate_stored(probe, greys, Labels(background="grey"))
    assert report.rows == 36 and report.notes[1].startswith(f"no class under {probe.none_below_:.3f}")
    assert "0 of 12 background items and " in report.notes[1] and "of 36 labelled items" in report.notes[1]


def test_a_background_that_is_not_there_is_refused(coloured):
    text = "coloured: expected background items, noise in the column 'label', got none in colours.tiny; see `sights"
    with pytest.raises(SightsoundError, match=text):
        load(coloured, "noise")


def test_background_is_no_class_of_several_labels(coloured, tmp_path):
    lines = [f"{name}/{i}.png,{name}" for name in ("red", "blue", "green") for i in range(12)]
    lines += [f"red/{i}.png,noisy" for i in range(3)] + ["green/0.png,noisy"]
    (tmp_path / "t.csv").write_text("path,kind\n" + "\n".join(lines))
    labels = Labels(str(tmp_path / "t.csv"), multi_label=True, background="green")
    data = load_dataset(coloured, "colours.tiny", labels)
    assert data.classes == ("blue", "noisy", "red") and len(data.background) == 11 and len(data.items) == 25
    found = {item.path: row.tolist() for item, row in zip(data.items, data.truth)}
    assert found["green/0.png"] == [0, 1, 0] and found["red/0.png"] == [0, 1, 1]
    with pytest.raises(SightsoundError, match="expected background items, noisy"):
        load_dataset(
            coloured, "colours.tiny", dataclasses.replace(labels, background="noisy")
        )  # all have another class


def test_tag_gives_files_and_windows_no_class_under_the_threshold(rhythms, coloured, tiny, new, tmp_path):
    images = fit_probe(load(coloured), FAST, curve=False)
    found = [*tag(new, probes=[images], none_below=1.0, host=tiny)]
    assert [(each.label, len(each.top)) for each in found[:2]] == [(None, 3), (None, 3)]
    assert [each.label for each in tag(new, probes=[images], host=tiny)][:2] == ["red", "blue"]
    sounds = fit_probe(load_dataset(rhythms, "loudness.tiny", level="window"), FAST, curve=False)
    file = made.write_rhythm(tmp_path / "x.wav", 1, 77)
    rules = SegmentRules(threshold=0.1)
    (kept,) = tag(file, probes=[sounds], none_below=0.2, rules=rules, host=tiny)
    (none,) = tag(file, probes=[sounds], none_below=1.0, rules=rules, host=tiny)
    assert kept.label == "second" and kept.segments and none.label is None and not none.segments
    assert none.top == kept.top
    with pytest.raises(SightsoundError, match="none below: expected a probe, whose probabilities it is for, got none"):
        tag(file, none_below=0.5, host=tiny)
