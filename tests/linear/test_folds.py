"""Folds: stratified, with each group in one fold, and official ones as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold

from sightsound import LinearProbe, SightsoundError
from sightsound.linear.folds import count_split_groups, keep_for_training, official, partition, split


def targets(y):
    y = np.asarray(y)
    return np.eye(y.max() + 1)[y]


def test_classes_are_spread_evenly_over_the_folds():
    y = np.array([0] * 50 + [1] * 20)
    held_out = split(targets(y), ["a", "b"])
    counts = np.array([np.bincount(held_out[y == kind], minlength=5) for kind in (0, 1)])
    assert counts.tolist() == [[10] * 5, [4] * 5]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_group_is_in_two_folds(data):
    count = data.draw(st.integers(10, 40))
    groups = np.array(data.draw(st.lists(st.integers(0, count), min_size=60, max_size=60)))
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=60, max_size=60)))
    y[:2], groups[:2] = [0, 1], [100, 101]
    y[2:4], groups[2:4] = [0, 1], [102, 103]
    held_out = split(targets(y), ["a", "b"], groups, 2)
    assert count_split_groups(held_out, groups) == 0 and set(held_out) == {0, 1}


def test_windows_of_an_item_are_in_one_fold_and_items_are_spread_evenly():
    groups = np.repeat(np.arange(30), 7)
    y = np.repeat(np.arange(30) % 3, 7)
    held_out = split(targets(y), list("abc"), groups)
    assert count_split_groups(held_out, groups) == 0
    assert all(np.bincount(held_out[y == kind]).tolist() == [14] * 5 for kind in range(3))


def test_the_default_number_of_folds_is_five_or_the_size_of_the_smallest_class():
    assert set(split(targets([0] * 9 + [1] * 3), ["a", "b"])) == {0, 1, 2}
    assert set(split(targets([0] * 9 + [1] * 9), ["a", "b"])) == {0, 1, 2, 3, 4}


def test_rows_of_several_labels_are_spread_evenly_too():
    Y = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(float)
    held_out = split(Y, list("abc"), None, 5)
    assert np.bincount(held_out).tolist() == pytest.approx([12] * 5, abs=1)


@pytest.mark.parametrize(
    ("y", "folds", "text"),
    [
        (
            [0] * 9 + [1] * 3,
            5,
            "class 'wolf': expected at least 5 items, one for each fold, got 3; ask for fewer folds",
        ),
        ([0] * 9 + [1], None, "class 'wolf': expected at least 2 items, one for each fold, got 1; add items to it, or"),
        ([0] * 9 + [1] * 3, 1, "folds: expected 2 or more, got 1; 5 is usual"),
    ],
)
def test_a_class_with_fewer_items_than_folds_raises_an_error(y, folds, text):
    with pytest.raises(SightsoundError, match=text):
        split(targets(y), ["dog", "wolf"], None, folds)


def test_official_folds_are_kept():
    Y = targets([0, 1, 0, 1])
    assert official(["b", "b", "a", "a"], Y, ["x", "y"]).tolist() == [1, 1, 0, 0]


def test_official_folds_without_training_rows_of_a_class_raise_an_error():
    Y = targets([0, 0, 1, 1])
    with pytest.raises(SightsoundError, match="fold 2: expected every class outside of it, 'y' has none there"):
        official([1, 1, 2, 2], targets([0, 0, 1, 0]), ["x", "y"])
    with pytest.raises(SightsoundError, match="folds: expected two or more, got 1; name the column"):
        official([1, 1, 1, 1], Y, ["x", "y"])
    with pytest.raises(SightsoundError, match="folds: expected one for each of 4 rows, got 3"):
        official([1, 2, 1], Y, ["x", "y"])


def test_splits_of_scikit_learn_become_folds():
    from sklearn.model_selection import KFold, ShuffleSplit

    assert partition(KFold(3), np.zeros((6, 1))).tolist() == [0, 0, 1, 1, 2, 2]
    assert partition([([0, 1], [2, 3]), ([2, 3], [0, 1])], np.zeros((4, 1))).tolist() == [1, 1, 0, 0]
    with pytest.raises(SightsoundError, match="cv: expected each row in one test set, got a row in"):
        partition(ShuffleSplit(3, random_state=0), np.zeros((6, 1)))


@pytest.mark.parametrize("splitter", [StratifiedKFold(4), GroupKFold(4), StratifiedGroupKFold(4)])
def test_a_splitter_gets_the_classes_and_the_groups(splitter):
    """The rows are sorted by class, so that a split which ignores the classes cannot be stratified."""
    random = np.random.default_rng(0)
    y, groups = np.repeat(["ape", "bee", "cow"], 20), np.arange(60) // 2
    X = random.normal(size=(60, 4)) + np.repeat(np.eye(3, 4), 20, axis=0)
    expected = np.empty(60, int)
    for fold, (_, test) in enumerate(splitter.split(X, y, groups)):
        expected[test] = fold
    assert LinearProbe(Cs=[1.0], cv=splitter).fit(X, y, groups=groups).folds_.tolist() == expected.tolist()


def test_a_splitter_that_cannot_split_is_named():
    with pytest.raises(SightsoundError, match="cv: GroupKFold cannot split these rows .The 'groups' parameter should"):
        partition(GroupKFold(2), np.zeros((4, 1)), [0, 1, 0, 1])


# -- classes that are too small --------------------------------------------------------------------------------------


def test_a_class_with_one_group_is_kept_for_training():
    y = [0] * 9 + [1] * 6 + [2] * 3
    groups = [*range(9), *range(10, 16), 20, 20, 20]
    found = keep_for_training(split(targets(y), list("abc"), np.array(groups), strict=False), targets(y))
    assert found[15:].tolist() == [-1] * 3 and set(found[:15]) == {0, 1, 2, 3, 4}


def test_a_small_class_is_in_some_of_the_folds_that_were_asked_for():
    y = [0] * 9 + [1] * 3
    found = keep_for_training(split(targets(y), ["dog", "wolf"], None, 5, strict=False), targets(y))
    assert set(found) == {0, 1, 2, 3, 4} and len(set(found[9:])) == 3


def test_nothing_is_held_out_if_no_class_has_two_groups():
    y = [0, 1, 2]
    assert keep_for_training(split(targets(y), list("abc"), strict=False), targets(y)).tolist() == [-1] * 3


def test_nothing_is_held_out_if_only_one_class_could_be():
    """Held-out rows of one class alone say nothing about telling classes apart."""
    y = [0] * 6 + [1, 2]
    assert keep_for_training(split(targets(y), list("abc"), strict=False), targets(y)).tolist() == [-1] * 8
    X = np.random.default_rng(0).normal(size=(8, 40)) + 9 * np.eye(3, 40)[y]
    probe = LinearProbe().fit(X, y)
    assert probe.cross_validation_ is None and probe.predict(X).tolist() == y


def test_a_rare_class_does_not_stop_a_fit():
    random = np.random.default_rng(0)
    y = np.array(["ape"] * 10 + ["bee"] * 10 + ["fireworks"] * 4)
    X = random.normal(size=(24, 40)) + 9 * np.eye(3, 40)[np.unique(y, return_inverse=True)[1]]
    groups = [*range(20), 20, 20, 20, 20]
    probe = LinearProbe().fit(X, y, groups=groups)
    assert probe.folds_[20:].tolist() == [-1] * 4 and probe.predict(X[20:]).tolist() == ["fireworks"] * 4
    report = probe.report(X)
    assert report.rows == 20 and report.classes[2].count == 0
    assert report.notes == ("too few items to hold some out, so used for training alone: fireworks",)
    assert np.isfinite(probe.held_out_probabilities()).all() and len(report.curve) == 4
