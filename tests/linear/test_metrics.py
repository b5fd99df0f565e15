"""Metrics against scikit-learn, slow implementations, and properties that they must have."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
from sklearn.neighbors import KNeighborsClassifier

from sightsound import ProbeReport
from sightsound.linear import metrics
from sightsound.linear.calibration import fit_temperature
from sightsound.linear.decisions import probabilities


def random_case(seed, n=120, k=4):
    random = np.random.default_rng(seed)
    y = random.integers(0, k, n)
    y[:k] = np.arange(k)
    P = random.dirichlet(np.ones(k), n)
    P[np.arange(n), y] += random.random(n)
    return y, np.eye(k)[y], P / P.sum(axis=1, keepdims=True)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_scores_of_classes_and_confusion_are_those_of_scikit_learn(seed):
    y, Y, P = random_case(seed)
    found = metrics.report("", list("abcd"), Y, P)
    predicted = P.argmax(axis=1)
    precision, recall, f1, count = precision_recall_fscore_support(y, predicted, zero_division=0)
    assert [c.precision for c in found.classes] == pytest.approx(precision)
    assert [c.recall for c in found.classes] == pytest.approx(recall)
    assert [c.f1 for c in found.classes] == pytest.approx(f1)
    assert [c.count for c in found.classes] == count.tolist()
    assert found.macro_f1 == pytest.approx(f1.mean())
    assert np.array(found.confusion).tolist() == confusion_matrix(y, predicted).tolist()
    assert found.accuracy.value == pytest.approx((predicted == y).mean())
    assert found.majority == pytest.approx(np.bincount(y).max() / len(y))


def test_macro_f1_with_weights_is_that_of_scikit_learn():
    y, Y, P = random_case(0)
    weights = np.random.default_rng(0).random(len(y))
    predicted = np.eye(5)[P.argmax(axis=1)]  # no row has the fifth class
    expected = f1_score(y, P.argmax(axis=1), average="macro", sample_weight=weights)
    found = metrics.macro_f1(np.hstack([Y, np.zeros((len(Y), 1))]), predicted, weights)
    assert found == pytest.approx(expected)


def calibration_error_by_loops(P, y):
    total = 0.0
    for i in range(15):
        rows = [r for r in range(len(P)) if i / 15 <= P[r].max() < (i + 1) / 15 or (i == 14 and P[r].max() == 1)]
        if rows:
            confidence = np.mean([P[r].max() for r in rows])
            correct = np.mean([P[r].argmax() == y[r] for r in rows])
            total += len(rows) / len(P) * abs(confidence - correct)
    return total


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_calibration_error_is_that_of_loops(seed):
    y, Y, P = random_case(seed)
    assert metrics.report("", list("abcd"), Y, P).error == pytest.approx(calibration_error_by_loops(P, y))


def test_the_interval_of_a_proportion_is_that_of_the_binomial():
    correct = np.arange(400) < 360
    found = metrics.estimate(correct, np.arange(400))
    half = 1.96 * np.sqrt(0.9 * 0.1 / 400)
    assert (found.value, found.low, found.high) == pytest.approx((0.9, 0.9 - half, 0.9 + half), abs=0.006)


def test_the_interval_is_over_groups_not_over_their_rows():
    correct = np.repeat(np.arange(40) < 30, 50)
    wide = metrics.estimate(correct, np.repeat(np.arange(40), 50))
    narrow = metrics.estimate(correct, np.arange(2000))
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_the_interval_of_a_proportion_of_one_has_the_clopper_pearson_bound():
    found = metrics.estimate(np.ones(30, bool), np.arange(30))
    assert (found.value, found.high) == (1, 1) and found.low == pytest.approx(1 - 0.1157, abs=1e-4)  # scipy's binomtest
    assert metrics.estimate(np.zeros(30, bool), np.arange(30)).high == pytest.approx(0.1157, abs=1e-4)
    assert metrics.estimate(np.zeros(30), np.arange(30)).high == 0  # a difference


def test_the_corrected_accuracy_of_the_best_of_many_random_guesses_is_one_half():
    correct = np.random.default_rng(0).random((100, 45)) < 0.5
    assert correct.mean(axis=0).max() >= 0.58
    assert metrics.corrected(correct, np.arange(100)) == pytest.approx(0.5, abs=0.05)
    assert metrics.corrected(correct[:, :1], np.arange(100)) == pytest.approx(correct[:, 0].mean(), abs=0.01)


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
@pytest.mark.parametrize("single", [True, False])
def test_the_temperature_is_the_factor_by_which_decisions_were_scaled(factor, single):
    random = np.random.default_rng(0)
    decisions = random.normal(size=(20_000, 3)) * 2
    P = probabilities(decisions, 1.0, single)
    Y = np.eye(3)[[random.choice(3, p=row) for row in P]] if single else (random.random(P.shape) < P).astype(float)
    assert fit_temperature(decisions * factor, Y, single) == pytest.approx(factor, rel=0.05)


def test_the_nearest_neighbours_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = random.normal(size=(3, 8))[y] + 2 + random.normal(size=(90, 8))
    folds = np.arange(90) // 30
    predicted = metrics.neighbours(X, np.eye(3)[y], folds)
    for fold in range(3):
        oracle = KNeighborsClassifier(5, metric="cosine", weights=lambda d: np.maximum(1 - d, 0) + 1e-6)
        oracle.fit(X[folds != fold], y[folds != fold])
        assert predicted[folds == fold] == pytest.approx(oracle.predict_proba(X[folds == fold]), abs=1e-5)


def test_the_nearest_neighbours_of_many_rows_are_the_same(monkeypatch):
    random = np.random.default_rng(0)
    y = random.integers(0, 5, 800)
    X = random.normal(size=(5, 16))[y] + random.normal(size=(800, 16))
    folds = random.integers(0, 4, 800)
    few = metrics.neighbours(X, np.eye(5)[y], folds)
    monkeypatch.setattr(metrics, "_MANY", 100)
    assert metrics.neighbours(X, np.eye(5)[y], folds) == pytest.approx(few, abs=1e-6)
    rare = np.where(np.arange(800) < 797, 0, 1)  # three rows are all that is outside of a fold
    monkeypatch.setattr(metrics, "_MANY", 801)
    few = metrics.neighbours(X, np.eye(5)[y], rare)
    monkeypatch.setattr(metrics, "_MANY", 100)
    assert metrics.neighbours(X, np.eye(5)[y], rare) == pytest.approx(few, abs=1e-6)


def test_a_row_of_several_labels_is_correct_where_all_are():
    Y = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 1]], float)
    P = np.array([[0.9, 0.8, 0.1], [0.2, 0.2, 0.6], [0.9, 0.1, 0.9]])
    found = metrics.report("", list("abc"), Y, P, single=False)
    assert found.accuracy.value == pytest.approx(2 / 3) and found.confusion == ()
    assert [c.recall for c in found.classes] == [1, 1, 1] and found.classes[2].precision == 0.5
    assert sum(each.count for each in found.reliability) == 9


def test_a_report_is_the_same_after_json():
    _, Y, P = random_case(0)
    near = metrics.estimate(np.ones(5), np.arange(5))
    more = {"neighbours": near, "corrected": 0.5, "curve": ((1, 0.5, 0.4, 0.6),), "notes": ("a",)}
    found = metrics.report("so", list("abcd"), Y, P, **more)
    assert ProbeReport.from_json(json.loads(json.dumps(found.to_json()))) == found
    plain = dataclasses.replace(found, neighbours=None, corrected=None)
    assert ProbeReport.from_json(plain.to_json()) == plain
