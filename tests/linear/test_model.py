"""Fitted models: predictions of given coefficients, and what the cross-validation keeps."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from linear_data import rows
from sightsound import CrossValidation, FeatureSpec, LinearModel, LinearProbe, SightsoundError, Space, SpaceMismatch
from sightsound.linear.validation import BadInput


@pytest.mark.parametrize("k", [2, 3])
def test_a_model_with_the_coefficients_of_scikit_learn_gives_its_answers(k):
    X, y = rows(k=k, noise=3.0)
    oracle = LogisticRegression().fit(X, y)
    model = LinearModel(oracle.coef_, oracle.intercept_, oracle.classes_)
    assert model.decision_function(X) == pytest.approx(oracle.decision_function(X))
    assert model.predict_proba(X) == pytest.approx(oracle.predict_proba(X), abs=1e-6)
    assert (model.predict(X) == oracle.predict(X)).all()
    assert model.score(X, y) == oracle.score(X, y)


def test_the_probabilities_of_an_item_are_the_mean_over_its_windows():
    X, y = rows(d=4)
    probe = LinearProbe(C=1.0).fit(X, y)
    probe.feature_spec_ = FeatureSpec(Space("net.x", '{"modality": "sound", "dim": 4, "stages": []}'), level="window")
    ranked = probe.predict_item(X[:7])
    expected = dict(zip(probe.classes_, probe.predict_proba(X[:7]).mean(axis=0)))
    assert {each.label: each.score for each in ranked} == pytest.approx(expected)
    assert [each.score for each in ranked] == sorted(expected.values(), reverse=True)


def test_a_probe_that_knows_no_library_takes_no_items():
    X, y = rows()
    probe = LinearProbe(C=1.0).fit(X, y)
    with pytest.raises(SightsoundError, match="probe: expected one that was fitted from a library and knows its"):
        probe.predict_item(X)


def test_the_cross_validation_keeps_what_led_to_the_choice_of_C():
    X, y = rows(noise=3.0)
    probe = LinearProbe(Cs=[10.0, 0.01, 0.1]).fit(X, y)
    found = probe.cross_validation_
    assert isinstance(found, CrossValidation) and found.Cs == (0.01, 0.1, 10.0)
    assert (found.C, found.temperature) == (probe.C_, probe.temperature_)
    assert found.correct.mean(axis=0) == pytest.approx(found.scores)
    assert found.Cs[found.position] == found.C and found.scores[found.position] > found.scores.max() - 0.03
    assert found.corrected == probe.report().corrected and found.notes() == ()
    assert probe.fold_sizes_ == [24] * 5 == np.bincount(found.folds).tolist()


def test_official_folds_that_split_a_group_are_noted():
    X, y = rows(n=40, k=2)
    probe = LinearProbe(Cs=[1.0]).fit(X, y, groups=np.arange(40) // 2, folds=np.arange(40) // 3 % 4)
    (note,) = probe.report().notes
    assert note.endswith("groups have rows in several of the given folds, so the accuracy is too optimistic")


def test_without_a_choice_of_C_there_is_no_cross_validation():
    X, y = rows()
    probe = LinearProbe(C=1.0).fit(X, y)
    assert probe.cross_validation_ is None and probe.fold_sizes_ is None
    with pytest.raises(BadInput, match="held_out_probabilities: nothing was held out, for C was given"):
        probe.held_out_probabilities()


@pytest.mark.parametrize("scaling", ["none", "unit", "centred", "standard"])
@pytest.mark.parametrize("kind", ["two", "several classes", "labels"])
@pytest.mark.parametrize("pool", ["mean", "mean+max"])
def test_as_a_head_it_gives_its_probabilities(scaling, kind, pool):
    copies = 2 if pool == "mean+max" else 1
    X, y = rows(n=90, d=6, k=2 if kind == "two" else 3)
    doubled = np.tile(X, copies)
    targets = np.stack([y == y[0], X[:, 0] > 0], axis=1) if kind == "labels" else y
    probe = LinearProbe(scaling=scaling, sqrt=scaling == "unit", C=1.0).fit(doubled, targets)
    probe.temperature_ = 1.5
    space = Space("made.tiny", json.dumps({"dim": 6, "stages": []}))
    probe.feature_spec_ = FeatureSpec(space, pool=pool)
    head = probe.head_for(space)
    np.testing.assert_allclose(head(X), probe.predict_proba(doubled), atol=1e-6)
    assert head.kind == ("sigmoid" if kind == "labels" else "softmax")
    assert head.labels == tuple(map(str, probe.classes_))


def test_a_probe_that_takes_more_than_a_row_is_no_head():
    X, y = rows(n=60, d=6, k=2)
    probe, space = LinearProbe(C=1.0).fit(X, y), Space("made.tiny", json.dumps({"dim": 6, "stages": []}))
    with pytest.raises(SightsoundError, match="expected one that was fitted from a library"):
        probe.head_for(space)
    probe.feature_spec_ = FeatureSpec(space)
    with pytest.raises(SpaceMismatch, match="or fit the probe anew"):
        probe.head_for(Space("other.tiny", json.dumps({"dim": 6, "stages": []})))
    probe.feature_spec_ = FeatureSpec(space, use="scores", score_list="x", score_count=6)
    with pytest.raises(SightsoundError, match="--features embedding"):
        probe.head_for(space)
    probe.feature_spec_ = FeatureSpec(space, pool="mean+std")
    with pytest.raises(SightsoundError, match="--pool mean"):
        probe.head_for(space)
