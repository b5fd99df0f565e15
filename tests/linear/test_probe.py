"""The linear probe as an estimator of scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from linear_data import rows
from sampling import sampled
from sightsound import LinearProbe, SightsoundError
from sightsound.linear.calibration import log_loss
from sightsound.linear.cross_validation import DEFAULT_CS
from sightsound.linear.validation import BadInput

CS = [1e-3, 0.1]  # small, since one check wants decisions of two fits that agree to 1e-7


@parametrize_with_checks([LinearProbe(Cs=CS), LinearProbe("svm", C=0.1, class_weight="balanced")])
def test_it_passes_the_checks_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        LinearProbe("ridge", Cs=CS, scoring="f1_macro"),
        LinearProbe(C=1.0, scaling="none", tol=1e-16),
        LinearProbe(C=1.0, scaling="global", tol=1e-16),
        LinearProbe(Cs=CS, scaling="centred"),
    ]
)
def test_other_settings_pass_the_checks_of_scikit_learn_too(estimator, check):
    test_it_passes_the_checks_of_scikit_learn(estimator, check)


# -- the choice of C -----------------------------------------------------------------------------------------------


def test_the_default_values_of_C_are_those_of_dinov2():
    assert len(DEFAULT_CS) == 45 and DEFAULT_CS[0] == 1e-6 and DEFAULT_CS[-1] == pytest.approx(1e5)


def test_scores_agree_with_those_of_scikit_learn_on_the_same_folds():
    X, y = rows(noise=3.0)
    folds = np.arange(len(X)) * 4 // len(X)
    Cs = [1e-4, 1e-2, 1.0, 100.0]
    probe = LinearProbe(Cs=Cs, scaling="standard").fit(X, y, folds=folds)
    oracle = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=100_000)),
        {"logisticregression__C": Cs},
        cv=PredefinedSplit(folds),
    ).fit(X.astype(float), y)
    assert probe.scores_ == pytest.approx(oracle.cv_results_["mean_test_score"], abs=1.01 / len(X))
    best = LinearProbe(C=oracle.best_params_["logisticregression__C"], scaling="standard").fit(X, y)
    assert (best.predict(X) == oracle.predict(X.astype(float))).all()


def test_the_usual_C_of_equal_scores_is_chosen():
    X, y = rows(noise=0.01)
    probe = LinearProbe(Cs=[1e4, 50.0, 0.1]).fit(X, y)
    assert probe.scores_.tolist() == [1, 1, 1] and probe.scaling_ == "unit" and probe.C_ == 50.0


def test_another_C_than_the_usual_one_is_chosen_where_it_is_clearly_better():
    X, y = rows(n=600, d=300, noise=8.0)
    probe = LinearProbe(Cs=[1.0, 1e5], scaling="unit", sqrt=False).fit(X, y)
    assert probe.C_ == 1.0 and probe.scores_[0] > probe.scores_[1] + 0.02


def test_rows_of_one_group_do_not_leak_across_folds():
    """Random classes cannot be predicted with groups; without groups copies of a row leak them."""
    random = np.random.default_rng(0)
    seen = random.normal(size=(60, 200))
    X, groups = np.repeat(seen, 4, axis=0), np.repeat(np.arange(60), 4)
    y = np.repeat(random.integers(0, 2, 60), 4)
    assert LinearProbe(Cs=DEFAULT_CS[::6]).fit(X, y, groups=groups).scores_.max() < 0.68
    assert LinearProbe(Cs=DEFAULT_CS[::6]).fit(X, y).scores_.max() > 0.95


def test_scoring_by_macro_f1_does_not_lower_macro_f1():
    random = np.random.default_rng(0)
    y = np.array([0] * 190 + [1] * 10)
    X = random.normal(size=(200, 5)) + 1.2 * y[:, None]
    by_accuracy, by_f1 = (LinearProbe(scoring=s, class_weight="balanced").fit(X, y) for s in ("accuracy", "f1_macro"))
    assert by_f1.report().macro_f1 >= by_accuracy.report().macro_f1


def test_class_weights_act_as_sample_weights():
    X, y = rows(noise=3.0)
    each = {"ape": 3.0, "bee": 1.0, "cow": 0.5}
    by_class = LinearProbe(C=1.0, class_weight=each).fit(X, y)
    by_row = LinearProbe(C=1.0).fit(X, y, sample_weight=[each[name] for name in y])
    assert by_class.coef_ == pytest.approx(by_row.coef_)


# -- several labels ------------------------------------------------------------------------------------------------


def test_each_of_several_labels_is_a_problem_of_its_own():
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 10))
    Y = (X[:, :3] + 0.3 * random.normal(size=(200, 3)) > 0).astype(int)
    probe = LinearProbe(C=1.0).fit(X, Y)
    for label in range(3):
        alone = LinearProbe(C=1.0).fit(X, Y[:, label])
        assert probe.predict_proba(X)[:, label] == pytest.approx(alone.predict_proba(X)[:, 1], abs=1e-5)
    chosen = LinearProbe().fit(X, Y)
    assert chosen.predict(X).shape == (200, 3) and chosen.score(X, Y) > 0.7
    report = chosen.report(X)
    assert report.accuracy.value > 0.6 and report.macro_f1 > 0.85 and report.confusion == ()


# -- probabilities -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["logistic", "svm", "ridge"])
@pytest.mark.parametrize("k", [2, 3])
def test_probabilities_add_up_to_one_and_agree_with_decisions(kind, k):
    X, y = rows(k=k, noise=4.0)
    probe = LinearProbe(kind, Cs=[1e-2, 1.0]).fit(X, y)
    P, D = probe.predict_proba(X), probe.decision_function(X)
    assert P.sum(axis=1) == pytest.approx(1) and D.shape == ((len(X),) if k == 2 else (len(X), k))
    predicted = (D > 0).astype(int) if k == 2 else D.argmax(axis=1)
    assert (probe.classes_[predicted] == probe.predict(X)).all() and (P.argmax(axis=1) == predicted).all()


def test_the_temperature_calibrates_an_svm():
    X, y = rows(n=600, noise=2.0)
    Cs = [1e-3, 1e-1, 10.0]
    report = LinearProbe("svm", Cs=Cs).fit(X, y).report()
    assert report.error < 0.6 * report.raw_error
    assert LinearProbe("svm", Cs=Cs, calibrate=False).fit(X, y).temperature_ == 1.0


# -- the report ----------------------------------------------------------------------------------------------------


def test_the_report_has_baselines_and_a_learning_curve():
    X, y = rows(n=150, noise=3.0)
    probe = LinearProbe().fit(X, y)
    report = probe.report(X)
    assert report.how == "cross-validation over 5 folds" and (report.rows, report.groups) == (150, 150)
    assert report.accuracy.value == probe.scores_[probe.cross_validation_.position] > probe.scores_.max() - 0.03
    assert report.accuracy.low < report.accuracy.value
    assert report.majority == pytest.approx(1 / 3) and report.neighbours.value > 0.4
    assert report.corrected <= report.accuracy.value
    assert [size for size, *_ in report.curve] == [1, 2, 4, 8, 16, 32, 40]
    assert report.curve[0][1] < report.curve[-1][1]
    assert probe.report().curve == () and probe.report().neighbours is None


def test_a_probe_is_evaluated_on_other_rows():
    X, y = rows(n=200, noise=2.0)
    probe = LinearProbe(C=1.0).fit(X[:100], y[:100])
    found = probe.evaluate(X[100:], y[100:])
    assert found.accuracy.value == pytest.approx(probe.score(X[100:], y[100:])) and found.rows == 100
    with pytest.raises(BadInput, match="report: nothing was held out, for C was given"):
        probe.report()
    with pytest.raises(BadInput, match=r"class 'elk': expected one of \['ape', 'bee', 'cow'\]; leave its items out"):
        probe.evaluate(X[:2], ["elk", "ape"])


# -- in scikit-learn -----------------------------------------------------------------------------------------------


def test_it_works_in_pipelines_searches_and_clones():
    X, y = rows()
    assert cross_val_score(LinearProbe(C=1.0), X, y, cv=3).mean() > 0.9
    found = GridSearchCV(LinearProbe(C=1.0), {"kind": ["logistic", "ridge"]}, cv=2).fit(X, y)
    assert found.best_params_["kind"] in ("logistic", "ridge")
    assert repr(clone(LinearProbe("svm", C=2.0))) == "LinearProbe(C=2.0, kind='svm')"
    assert make_pipeline(StandardScaler(), LinearProbe(C=1.0)).fit(X, y).score(X, y) > 0.9


# -- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "change", "text"),
    [
        ({"kind": "tree"}, None, "kind: expected one of logistic, svm, ridge, got 'tree'"),
        ({"C": -1}, None, "C: expected a positive number or None, got -1"),
        ({"Cs": []}, None, "Cs: expected positive numbers, got"),
        ({"scoring": "auc"}, None, "scoring: expected accuracy or f1_macro, got 'auc'"),
        ({}, lambda X, y: (X, ["ape"] * len(X)), r"y: expected two classes or more, got 1 class \(ape\); label items"),
        ({}, lambda X, y: (X, y[:-1]), "y: expected one target for each of 120 rows, got 119"),
        ({}, lambda X, y: (X[0], y), "X: expected 2D array"),
        ({}, lambda X, y: (X, None), "requires y to be passed, but the target y is None"),
        ({"cv": 50}, None, "class 'ape': expected at least 50 items, one for each fold, got 40"),
        (
            {},
            lambda X, y: (np.where(np.arange(len(X))[:, None] == 7, np.nan, X), y),
            r"X: expected finite numbers, got NaN in 1 of 120 rows \(the first is row 7\)",
        ),
        ({}, lambda X, y: (X, np.stack([y == "ape", y != "elk"], axis=1)), "label 1: expected rows with it and rows"),
    ],
)
def test_what_cannot_be_fitted_raises_an_error_that_names_it(settings, change, text):
    X, y = rows()
    X, y = change(X, y) if change else (X, y)
    with pytest.raises((BadInput, SightsoundError), match=text):
        LinearProbe(**settings).fit(X, y)


def test_constant_features_get_no_coefficient():
    X, y = rows()
    X[:, :5] = 7
    assert LinearProbe(scaling="standard").fit(X, y).coef_[:, :5] == pytest.approx(0)


# -- few examples --------------------------------------------------------------------------------------------------


def sparse(n, seed):
    """Return rows (n, 400) that are mostly zero, most of which say nothing, and the classes (n,)."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 4
    X = np.where(random.random((n, 400)) < 0.03, random.exponential(size=(n, 400)), 0)
    for kind in range(4):
        X[np.ix_(y == kind, range(10 * kind, 10 * kind + 10))] += random.exponential(size=((y == kind).sum(), 10))
    return X.astype(np.float32), y


def test_the_default_suits_few_examples_of_sparse_features():
    new, truth = sparse(400, 1)
    X, y = sparse(8, 2)
    probe, former = LinearProbe().fit(X, y), LinearProbe(scaling="standard", sqrt=False).fit(X, y)
    assert (probe.scaling_, probe.sqrt_) == ("centred", True)
    assert probe.score(new, truth) > former.score(new, truth) + 0.1


def families(kinds, seed):
    """Return rows (n, 100) of 20 kinds, of which each five are alike."""
    same, random = np.random.default_rng(0), np.random.default_rng(seed)
    family, own = np.repeat(same.exponential(size=(4, 100)), 5, axis=0), same.exponential(size=(20, 100))
    return (family[kinds] + 0.6 * own[kinds] + random.exponential(size=(len(kinds), 100))).astype(np.float32)


@pytest.mark.parametrize("size", sampled((1, 2, 4), 1))
def test_few_examples_of_a_class_and_of_similar_ones_find_it_among_all(size):
    """What the examples share, which most other classes lack, is no sign of the class."""
    kinds = np.arange(400) % 20
    new, found = families(kinds, 100), {"auto": [], "unit": []}
    for seed in range(10):
        others = 1 + np.random.default_rng(seed).integers(0, 4, size)
        X = families(np.concatenate([np.zeros(size, int), others]), seed)
        for scaling, precisions in found.items():
            probe = LinearProbe(scaling=scaling).fit(X, np.arange(2 * size) < size)
            precisions.append(average_precision_score(kinds == 0, probe.decision_function(new)))
    assert np.mean(found["auto"]) > np.mean(found["unit"]) + 0.1


def test_rows_are_centred_where_they_are_few_and_have_many_features():
    X, y = rows(n=120, d=40)
    scalings = [LinearProbe(C=1.0).fit(X[:n, :d], y[:n]).scaling_ for n, d in [(99, 40), (100, 40), (99, 31)]]
    assert scalings == ["centred", "unit", "standard"]


def test_the_centre_is_the_mean_of_the_rows_at_length_1():
    X, y = rows(n=30, noise=3.0)
    unit = normalize(X.astype(float))
    centred = normalize(unit - unit.mean(axis=0))
    oracle = LogisticRegression(C=10.0, tol=1e-10, max_iter=100_000).fit(centred, y)
    probe = LinearProbe(C=10.0, scaling="centred").fit(X, y)
    assert probe.centre_ == pytest.approx(unit.mean(axis=0), abs=1e-6)
    assert probe.predict_proba(X) == pytest.approx(oracle.predict_proba(centred), abs=1e-4)
    assert LinearProbe(C=10.0, scaling="unit").fit(X, y).centre_ is None


def test_held_out_rows_do_not_move_the_centre():
    X, y = rows(n=30, noise=3.0)
    probe = LinearProbe(Cs=[1.0], scaling="centred", calibrate=False).fit(X, y)
    for fold in range(5):
        out = probe.folds_ == fold
        rest = LinearProbe(C=1.0, scaling="centred").fit(X[~out], y[~out])
        assert probe.held_out_probabilities()[out] == pytest.approx(rest.predict_proba(X[out]), abs=1e-3)


def test_rows_without_a_direction_can_be_centred():
    X, y = rows(n=12)
    probe = LinearProbe().fit(np.ones_like(X) / 3, y)
    assert probe.scaling_ == "centred" and probe.predict_proba(X) == pytest.approx(1 / 3)
    X[0] = 0
    assert np.isfinite(LinearProbe().fit(X, y).decision_function(X)).all()


def test_one_example_of_each_class_is_enough_to_fit():
    X, y = sparse(4, 0)
    probe = LinearProbe().fit(X, y)
    assert probe.predict(X).tolist() == [0, 1, 2, 3] and probe.cross_validation_ is None and probe.C_ == 100
    with pytest.raises(BadInput, match="report: nothing was held out, for there are too few items"):
        probe.report()


def test_the_temperature_is_only_used_where_it_lowers_the_loss():
    used = []
    for seed in range(6):
        X, y = sparse(28, seed)
        found = LinearProbe(Cs=[1.0, 100.0]).fit(X, y).cross_validation_
        raw, calibrated = (
            log_loss(found.probabilities(calibrate=each), found.truth, True, found.weights) for each in (False, True)
        )
        assert calibrated <= raw and (found.temperature == 1) == (calibrated == raw)
        used.append(found.temperature != 1)
    assert any(used)
