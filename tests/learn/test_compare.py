"""Comparison of networks, alone and combined, on held-out items."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sightsound import Labels, SightsoundError, Stack, compare, fit_stack, load_dataset
from sightsound.learn.compare import compare_stored

pytestmark = pytest.mark.usefixtures("few_strengths")

FAST = Stack(Cs=(1e-2, 1.0), cv=2)
SHORT_GRID = (1e-4, 1e-2, 1.0, 100.0)


def load(place, *models, **options):
    return [load_dataset(place, model, **options) for model in models]


def test_each_candidate_has_a_gain_over_the_best_network_and_a_cost(coloured):
    both = load(coloured, "colours.tiny", "tints.tiny")
    found = compare(both, stack=FAST, milliseconds={"colours.tiny": 3.0, "tints.tiny": 4.0})
    assert [candidate.name for candidate in found.candidates] == [
        "colours.tiny",
        "tints.tiny",
        "features side by side",
        "average of probabilities",
        "stack (svm on concatenated)",
    ]
    best = max(found.candidates[:2], key=lambda candidate: candidate.accuracy.value)
    assert best.gain == 0 and best.gain_per_ms is None and best.milliseconds in (3.0, 4.0)
    for each in found.candidates[2:]:
        assert each.gain == pytest.approx(100 * (each.accuracy.value - best.accuracy.value))
        assert each.milliseconds == 7.0 and each.gain_low <= each.gain <= each.gain_high
        assert each.gain_per_ms == pytest.approx(each.gain / (7.0 - best.milliseconds))
    assert found.report.accuracy == found.candidates[-1].accuracy and found.report.groups == 36


def test_without_times_there_is_no_cost(coloured):
    candidates = compare(load(coloured, "colours.tiny", "tints.tiny"), stack=Stack(None, Cs=FAST.Cs, cv=2)).candidates
    assert {each.milliseconds for each in candidates} == {None}
    assert candidates[-1].name == "stack (no on concatenated)"


@pytest.mark.slow
def test_the_accuracy_on_shuffled_classes_is_that_of_chance(coloured):
    """No held-out item leaks through the choice of C or through the classifier on top."""
    random = np.random.default_rng(1)
    both = load(coloured, "colours.tiny", "tints.tiny")
    many = [random.permutation(both[0].y) for _ in range(4)]
    stack = Stack(Cs=SHORT_GRID, cv=3)
    found = [compare([dataclasses.replace(data, y=y) for data in both], stack=stack).candidates for y in many]
    for at in range(5):
        assert np.mean([candidates[at].accuracy.value for candidates in found]) < 0.5


def test_a_stack_keeps_the_spaces_of_its_networks(coloured):
    both = load(coloured, "colours.tiny", "tints.tiny")
    stack = fit_stack(both, Stack("logistic", Cs=FAST.Cs, cv=2))
    assert [spec.space.name for spec in stack.feature_specs_] == ["colours.tiny", "tints.tiny"]
    assert stack.top == "logistic" and len(stack.seen_) == 36


def test_official_folds_are_used(coloured, tmp_path):
    lines = [f"{name}/{i}.png,{name},{i % 3}" for name in ("red", "blue", "green") for i in range(12)]
    (tmp_path / "t.csv").write_text("path,kind,part\n" + "\n".join(lines))
    labels = Labels(str(tmp_path / "t.csv"), "kind", fold_column="part")
    found = compare(load(coloured, "colours.tiny", "tints.tiny", labels=labels), stack=FAST)
    assert found.report.how == "cross-validation over 3 folds"


def test_data_sets_that_cannot_be_compared_are_refused(coloured, rhythms):
    one = load(coloured, "colours.tiny")
    with pytest.raises(SightsoundError, match="stack: expected two different networks or more, got colours.tiny; name"):
        compare(one * 2)
    with pytest.raises(SightsoundError, match="stack: expected items with one class each; leave out --level window"):
        compare([*one, *load(rhythms, "loudness.tiny", level="window")])
    few = [data.subset([0, 1, 2, 12, 13, 24, 25]) for data in load(coloured, "colours.tiny", "tints.tiny")]
    for call in (compare, fit_stack):
        with pytest.raises(
            SightsoundError, match="stack: expected two classes with 3 items or more, got blue; add ite"
        ):
            call(few)


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_with_few_items_does_not_stop_a_comparison(coloured, count):
    """With one item the class is used for training alone; with two it is held out, but not in the inner folds."""
    both = load(coloured, "colours.tiny", "tints.tiny")
    items = [i for name in both[0].classes for i in np.flatnonzero(both[0].y == name)[: count if name == "red" else 9]]
    few = [data.subset(items) for data in both]
    found = compare(few, stack=FAST)
    assert found.report.rows == 18 + (count if count > 1 else 0)
    note = "too few items to hold some out, so used for training alone: red"
    assert (note in found.report.notes) == (count == 1)
    assert max(each.accuracy.value for each in found.candidates[:2]) > 0.5
    stack = fit_stack(few, FAST)
    assert stack.classes_.tolist() == ["blue", "green", "red"]
    assert stack.predict_proba([data.X for data in few]).shape == (len(items), 3)


def test_a_stack_averages_in_a_comparison_where_inner_folds_have_too_few_items(coloured):
    both = load(coloured, "colours.tiny", "tints.tiny")
    sizes = {"red": 2, "blue": 3, "green": 3}  # two folds, so that one or two items of a class remain in each
    items = [i for name in both[0].classes for i in np.flatnonzero(both[0].y == name)[: sizes[name]]]
    found = compare([data.subset(items) for data in both], stack=FAST)
    assert found.report.rows == 8 and found.candidates[-1].name == "stack (svm on concatenated)"


def test_official_folds_of_single_classes_are_refused(coloured):
    both = [dataclasses.replace(data, folds=data.y) for data in load(coloured, "colours.tiny", "tints.tiny")]
    with pytest.raises(SightsoundError, match="stack: expected two classes in two folds or more, got most in one; u"):
        compare(both, stack=FAST)


def test_features_side_by_side_count_alike_whatever_the_scale_of_a_network(coloured):
    colours, tints = load(coloured, "colours.tiny", "tints.tiny")
    large = dataclasses.replace(colours, X=1000 * colours.X)
    accuracies = [compare([data, tints], stack=FAST).candidates[2].accuracy for data in (colours, large)]
    assert accuracies[0] == accuracies[1]


def test_a_library_is_compared_with_measured_times_and_a_fitted_stack(coloured, tiny):
    found = compare_stored(coloured, stack=FAST, fit=True, host=tiny)
    expected = compare(load(coloured, "colours.tiny", "tints.tiny"), stack=FAST)
    assert found.report == expected.report and found.stack.report_ == found.report
    assert [each.accuracy for each in found.candidates] == [each.accuracy for each in expected.candidates]
    assert all(each.milliseconds > 0 for each in found.candidates)
    assert compare_stored(coloured, ["colours.tiny", "tints.tiny"], stack=FAST, host=tiny).stack is None
