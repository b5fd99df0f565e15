"""What the held-out rows show: the learning curve and its bound, and the accuracy corrected for choices."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from linear_data import rows
from sightsound import CrossValidation, LinearProbe
from sightsound.linear import cross_validation

# -- the learning curve --------------------------------------------------------------------------------------------


def held_out(n, k=2, folds=5, windows=1):
    """Return a cross-validation of n items in k classes, each with some windows, without predictions."""
    items = np.repeat(np.arange(n), windows)
    truth = np.eye(k)[items % k]
    rows = np.arange(len(items))
    empty = np.zeros((len(items), 1))
    parts = {"groups": items, "folds": items // k % folds, "weights": np.ones(len(items)), "Cs": (1.0,)}
    rest = {"scores": empty[0], "position": 0, "decisions": truth, "correct": empty > 0, "single": True}
    return CrossValidation(rows=rows, truth=truth, **parts, **rest)


def fits_by_size(found):
    """Return the rows of each fit of a learning curve, by the size that they are for."""
    fits = []

    def predict(rows, out):
        fits.append(len(rows))
        return found.truth[out]

    sizes = [size for size, *_ in found.learning_curve(predict)]
    rows_of_size = len(found.truth) // len(np.unique(found.groups)) * found.truth.shape[1]
    by_size = {size: [rows for rows in fits if rows == size * rows_of_size] for size in sizes}
    assert sum(map(len, by_size.values())) == len(fits)
    return by_size


@pytest.mark.parametrize("windows", [1, 7])
def test_a_size_of_the_learning_curve_takes_a_bounded_number_of_rows(monkeypatch, windows):
    monkeypatch.setattr(cross_validation, "_MOST_DRAWN", 400)
    monkeypatch.setattr(cross_validation, "_MOST_FITTED", 1000)
    by_size = fits_by_size(held_out(1000, windows=windows))
    assert [*by_size] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 400]
    for found in by_size.values():
        assert len(found) >= 1 and (len(found) == 1 or sum(found) <= 1000)
    assert len(by_size[1]) == 20 and len(by_size[400]) == 1  # four samples for each of five folds; a single fit


def test_without_a_bound_in_reach_each_fold_has_a_sample_of_each_size():
    by_size = fits_by_size(held_out(200))
    assert {len(found) for found in by_size.values()} == {20}


def test_the_curve_can_be_left_out(monkeypatch):
    X, y = rows(n=60)
    probe = LinearProbe(Cs=[0.1, 10.0]).fit(X, y)
    assert probe.report(X).curve
    monkeypatch.delattr(CrossValidation, "learning_curve")
    report = probe.report(X, curve=False)
    assert report.curve == () and report.neighbours is not None


# -- the corrected accuracy ----------------------------------------------------------------------------------------


def test_the_accuracy_is_corrected_for_the_scalings_that_were_compared():
    """On random classes the best of many settings is better than chance by choice alone."""
    best, corrected, by_C, Cs = [], [], [], np.logspace(-4, 4, 9)
    for seed in range(6):
        random = np.random.default_rng(seed)
        X, y = random.normal(size=(120, 40)).astype(np.float32), random.permutation(np.arange(120) % 2)
        found = LinearProbe(Cs=Cs, random_state=seed).fit(X, y).cross_validation_
        assert found.compared.shape == (120, 3 * 5)
        best.append(max(found.correct.mean(axis=0).max(), found.compared.mean(axis=0).max()))
        corrected.append(found.corrected)
        by_C.append(dataclasses.replace(found, compared=None).corrected)
    assert np.mean(best) > 0.53 and np.mean(corrected) < np.mean(best) - 0.04
    assert np.mean(corrected) <= np.mean(by_C) + 0.005 and abs(np.mean(corrected) - 0.5) < 0.04


def test_nothing_is_compared_where_the_scaling_is_given_or_rows_are_few():
    X, y = rows(n=150, noise=3.0)
    assert LinearProbe(scaling="unit", sqrt=False).fit(X, y).cross_validation_.compared is None
    assert LinearProbe().fit(X[:60], y[:60]).cross_validation_.compared is None
    assert LinearProbe().fit(X, y).cross_validation_.compared is not None
