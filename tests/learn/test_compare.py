"""What networks are worth alone and together, on items that nothing had seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sightsound import Library, SightsoundError, Stack, compare
from sightsound.learn import compare as comparison
from sightsound.learn import dataset


def load(place, *models, **more):
    with Library(place) as library:
        return [dataset.load_dataset(library, model, **more) for model in models]


def test_every_way_is_in_the_table_with_its_gain_and_its_price(coloured):
    both = load(coloured, "colours.tiny", "tints.tiny")
    rivals, report = compare(both, milliseconds={"colours.tiny": 3.0, "tints.tiny": 4.0})
    assert [rival.name for rival in rivals] == [
        "colours.tiny",
        "tints.tiny",
        "features side by side",
        "average of probabilities",
        "stack (svm on concatenated)",
    ]
    best = max(rivals[:2], key=lambda rival: rival.accuracy.value)
    assert best.gain == 0 and best.gain_per_ms is None and best.milliseconds in (3.0, 4.0)
    for rival in rivals[2:]:
        assert rival.gain == pytest.approx(100 * (rival.accuracy.value - best.accuracy.value))
        assert rival.milliseconds == 7.0 and rival.gain_low <= rival.gain <= rival.gain_high
        assert rival.gain_per_ms == pytest.approx(rival.gain / (7.0 - best.milliseconds))
    assert report.accuracy == rivals[-1].accuracy and report.groups == 36


def test_without_times_there_is_no_price(coloured):
    rivals, _ = compare(load(coloured, "colours.tiny", "tints.tiny"), stack=Stack(None))
    assert {rival.milliseconds for rival in rivals} == {None} and rivals[-1].name == "stack (no on concatenated)"


def test_shuffled_classes_are_guessed(coloured):
    """Nothing of a held-out item leaks, through no strength and no top."""
    random = np.random.default_rng(1)
    both = load(coloured, "colours.tiny", "tints.tiny")
    many = [random.permutation(both[0].y) for _ in range(4)]
    found = [compare([dataclasses.replace(data, y=y) for data in both])[0] for y in many]
    for at in range(5):
        assert np.mean([rivals[at].accuracy.value for rivals in found]) < 0.5


def test_a_stack_on_all_items_knows_its_spaces(coloured):
    both = load(coloured, "colours.tiny", "tints.tiny")
    stack = comparison.fit(both, Stack("logistic"))
    assert [origin.space.name for origin in stack.feature_specs_] == ["colours.tiny", "tints.tiny"]
    assert stack.top == "logistic" and len(stack.seen_) == 36


def test_official_folds_are_used(coloured, tmp_path):
    lines = [f"{name}/{i}.png,{name},{i % 3}" for name in ("red", "blue", "green") for i in range(12)]
    (tmp_path / "t.csv").write_text("path,kind,part\n" + "\n".join(lines))
    given = dataset.Labels(str(tmp_path / "t.csv"), "kind", folds="part")
    _, report = compare(load(coloured, "colours.tiny", "tints.tiny", given=given))
    assert report.how == "cross-validation over 3 folds"


def test_what_cannot_be_compared_is_told(coloured, rhythms):
    one = load(coloured, "colours.tiny")
    with pytest.raises(SightsoundError, match="stack: expected two different networks or more, got colours.tiny; name"):
        compare(one * 2)
    with pytest.raises(SightsoundError, match="stack: expected items with one class each; leave out --level window"):
        compare([*one, *load(rhythms, "loudness.tiny", level="window")])
    few = [data.only([0, 1, 12, 13, 24, 25]) for data in load(coloured, "colours.tiny", "tints.tiny")]
    with pytest.raises(SightsoundError, match="class 'blue': expected 3 items or more for a stack, got 2; add some"):
        compare(few)
