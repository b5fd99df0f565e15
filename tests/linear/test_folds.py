"""Folds: stratified, never through a group, official ones as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightsound import SightsoundError
from sightsound.linear.folds import official, partition, split, torn


def targets(y):
    y = np.asarray(y)
    return np.eye(y.max() + 1)[y]


def test_classes_are_spread_evenly():
    y = np.array([0] * 50 + [1] * 20)
    held = split(targets(y), ["a", "b"])
    counts = np.array([np.bincount(held[y == kind], minlength=5) for kind in (0, 1)])
    assert counts.tolist() == [[10] * 5, [4] * 5]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_group_is_ever_on_both_sides(data):
    count = data.draw(st.integers(10, 40))
    groups = np.array(data.draw(st.lists(st.integers(0, count), min_size=60, max_size=60)))
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=60, max_size=60)))
    y[:2], groups[:2] = [0, 1], [100, 101]
    y[2:4], groups[2:4] = [0, 1], [102, 103]
    held = split(targets(y), ["a", "b"], groups, 2)
    assert torn(held, groups) == 0 and set(held) == {0, 1}


def test_windows_of_an_item_stay_together_and_items_are_spread():
    groups = np.repeat(np.arange(30), 7)
    y = np.repeat(np.arange(30) % 3, 7)
    held = split(targets(y), list("abc"), groups)
    assert torn(held, groups) == 0
    assert all(np.bincount(held[y == kind]).tolist() == [14] * 5 for kind in range(3))


def test_without_a_number_there_are_as_many_as_the_smallest_class_has():
    assert set(split(targets([0] * 9 + [1] * 3), ["a", "b"])) == {0, 1, 2}
    assert set(split(targets([0] * 9 + [1] * 9), ["a", "b"])) == {0, 1, 2, 3, 4}


def test_rows_of_several_labels_are_split_too():
    Y = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(float)
    held = split(Y, list("abc"), None, 5)
    assert np.bincount(held).tolist() == pytest.approx([12] * 5, abs=1)


@pytest.mark.parametrize(
    ("y", "folds", "text"),
    [
        (
            [0] * 9 + [1] * 3,
            5,
            "class 'wolf': expected at least 5 items, one for each fold, got 3; ask for fewer folds",
        ),
        ([0] * 9 + [1], None, "class 'wolf': expected at least 2 items, one for each fold, got 1; ask for fewer folds"),
        ([0] * 9 + [1] * 3, 1, "folds: expected 2 or more, got 1; 5 is usual"),
    ],
)
def test_a_class_that_is_smaller_than_the_folds_is_told(y, folds, text):
    with pytest.raises(SightsoundError, match=text):
        split(targets(y), ["dog", "wolf"], None, folds)


def test_official_folds_are_kept_whatever_their_names():
    Y = targets([0, 1, 0, 1])
    assert official(["b", "b", "a", "a"], Y, ["x", "y"]).tolist() == [1, 1, 0, 0]


def test_official_folds_that_cannot_teach_are_told():
    Y = targets([0, 0, 1, 1])
    with pytest.raises(SightsoundError, match="fold 2: expected every class outside of it, 'y' has none there"):
        official([1, 1, 2, 2], targets([0, 0, 1, 0]), ["x", "y"])
    with pytest.raises(SightsoundError, match="folds: expected two or more, got 1; name the column"):
        official([1, 1, 1, 1], Y, ["x", "y"])
    with pytest.raises(SightsoundError, match="folds: expected one for each of 4 rows, got 3"):
        official([1, 2, 1], Y, ["x", "y"])


def test_splits_of_scikit_learn_become_folds():
    from sklearn.model_selection import KFold, ShuffleSplit

    assert partition(KFold(3), 6).tolist() == [0, 0, 1, 1, 2, 2]
    assert partition([([0, 1], [2, 3]), ([2, 3], [0, 1])], 4).tolist() == [1, 1, 0, 0]
    with pytest.raises(SightsoundError, match="cv: expected each row in one test set, got a row in"):
        partition(ShuffleSplit(3, random_state=0), 6)
