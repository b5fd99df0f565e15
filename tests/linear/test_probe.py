"""The linear probe as scikit-learn's users meet it, and as a file that is handed on."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sightsound import LinearProbe, SightsoundError, load_probe
from sightsound.linear.estimator import BadInput
from sightsound.linear.metrics import ProbeReport
from sightsound.linear.probe import STRENGTHS


def rows(n=120, d=40, k=3, seed=0, noise=1.5):
    random = np.random.default_rng(seed)
    y = np.array(["ape", "bee", "cow", "dog"])[np.arange(n) % k]
    X = random.normal(size=(4, d))[np.arange(n) % k] + noise * random.normal(size=(n, d))
    return X.astype(np.float32), y


@parametrize_with_checks(
    [
        LinearProbe(),
        LinearProbe("ridge", scoring="f1_macro"),
        LinearProbe(C=1.0, standardize=False, tol=1e-16),
        LinearProbe("svm", C=0.1, class_weight="balanced"),
    ]
)
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


# -- the choice of C -----------------------------------------------------------------------------------------------


def test_the_grid_is_that_of_dinov2():
    assert len(STRENGTHS) == 45 and STRENGTHS[0] == 1e-6 and STRENGTHS[-1] == pytest.approx(1e5)


def test_cross_validation_agrees_with_scikit_learns_on_the_same_folds():
    X, y = rows(noise=3.0)
    folds = np.arange(len(X)) * 4 // len(X)
    Cs = [1e-4, 1e-2, 1.0, 100.0]
    probe = LinearProbe(Cs=Cs).fit(X, y, folds=folds)
    oracle = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=100_000)),
        {"logisticregression__C": Cs},
        cv=PredefinedSplit(folds),
    ).fit(X.astype(float), y)
    assert probe.scores_ == pytest.approx(oracle.cv_results_["mean_test_score"], abs=1.01 / len(X))
    assert oracle.best_params_["logisticregression__C"] == probe.C_
    assert (probe.predict(X) == oracle.predict(X.astype(float))).all()


def test_the_least_of_equally_good_strengths_is_taken():
    X, y = rows(noise=0.01)
    probe = LinearProbe(Cs=[1.0, 10.0, 0.1]).fit(X, y)
    assert probe.scores_.tolist() == [1, 1, 1] and probe.C_ == 0.1


def test_what_is_held_out_is_held_out():
    """Random classes cannot be guessed, whatever the strength; rows of one group give each other away."""
    random = np.random.default_rng(0)
    seen = random.normal(size=(60, 200))
    X, groups = np.repeat(seen, 4, axis=0), np.repeat(np.arange(60), 4)
    y = np.repeat(random.integers(0, 2, 60), 4)
    assert LinearProbe(Cs=STRENGTHS[::6]).fit(X, y, groups=groups).scores_.max() < 0.68
    assert LinearProbe(Cs=STRENGTHS[::6]).fit(X, y).scores_.max() > 0.95


def test_f1_counts_rare_classes_as_much_as_common_ones():
    random = np.random.default_rng(0)
    y = np.array([0] * 190 + [1] * 10)
    X = random.normal(size=(200, 5)) + 1.2 * y[:, None]
    by_accuracy, by_f1 = (LinearProbe(scoring=s, class_weight="balanced").fit(X, y) for s in ("accuracy", "f1_macro"))
    assert by_f1.report().macro_f1 >= by_accuracy.report().macro_f1


def test_class_weights_are_sample_weights():
    X, y = rows(noise=3.0)
    each = {"ape": 3.0, "bee": 1.0, "cow": 0.5}
    by_class = LinearProbe(C=1.0, class_weight=each).fit(X, y)
    by_row = LinearProbe(C=1.0).fit(X, y, sample_weight=[each[name] for name in y])
    assert by_class.coef_ == pytest.approx(by_row.coef_)


# -- several labels ------------------------------------------------------------------------------------------------


def test_several_labels_are_learnt_each_for_itself():
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
def test_probabilities_add_up_and_follow_the_decisions(kind, k):
    X, y = rows(k=k, noise=4.0)
    probe = LinearProbe(kind).fit(X, y)
    P, D = probe.predict_proba(X), probe.decision_function(X)
    assert P.sum(axis=1) == pytest.approx(1) and D.shape == ((len(X),) if k == 2 else (len(X), k))
    said = (D > 0).astype(int) if k == 2 else D.argmax(axis=1)
    assert (probe.classes_[said] == probe.predict(X)).all() and (P.argmax(axis=1) == said).all()


def test_the_temperature_calibrates_what_an_svm_says():
    X, y = rows(n=600, noise=2.0)
    report = LinearProbe("svm", C=None).fit(X, y).report()
    assert report.error < 0.6 * report.raw_error
    assert LinearProbe("svm", calibrate=False).fit(X, y).temperature_ == 1.0


# -- the report ----------------------------------------------------------------------------------------------------


def test_the_report_compares_with_guessing_and_with_neighbours_and_shows_the_way_there():
    X, y = rows(n=150, noise=3.0)
    probe = LinearProbe().fit(X, y)
    report = probe.report(X)
    assert report.how == "cross-validation over 5 folds" and (report.rows, report.groups) == (150, 150)
    assert report.accuracy.value == probe.scores_.max() and report.accuracy.low < report.accuracy.value
    assert report.majority == pytest.approx(1 / 3) and report.neighbours.value > 0.4
    assert report.corrected <= report.accuracy.value
    assert [size for size, *_ in report.curve] == [1, 2, 4, 8, 16, 32, 40]
    assert report.curve[0][1] < report.curve[-1][1]
    assert probe.report().curve == () and probe.report().neighbours is None


def test_other_rows_are_judged_too():
    X, y = rows(n=200, noise=2.0)
    probe = LinearProbe(C=1.0).fit(X[:100], y[:100])
    found = probe.evaluate(X[100:], y[100:])
    assert found.accuracy.value == pytest.approx(probe.score(X[100:], y[100:])) and found.rows == 100
    with pytest.raises(BadInput, match="report: nothing was held out, for C was given"):
        probe.report()
    with pytest.raises(BadInput, match=r"class 'elk': expected one of \['ape', 'bee', 'cow'\]; leave its items out"):
        probe.evaluate(X[:2], ["elk", "ape"])


# -- in scikit-learn -----------------------------------------------------------------------------------------------


def test_it_goes_through_pipelines_searches_and_copies():
    X, y = rows()
    assert cross_val_score(LinearProbe(C=1.0), X, y, cv=3).mean() > 0.9
    found = GridSearchCV(LinearProbe(C=1.0), {"kind": ["logistic", "ridge"]}, cv=2).fit(X, y)
    assert found.best_params_["kind"] in ("logistic", "ridge")
    assert repr(clone(LinearProbe("svm", C=2.0))) == "LinearProbe(kind='svm', C=2.0)"
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
def test_what_cannot_be_fitted_is_told(settings, change, text):
    X, y = rows()
    X, y = change(X, y) if change else (X, y)
    with pytest.raises((BadInput, SightsoundError), match=text):
        LinearProbe(**settings).fit(X, y)


def test_constant_features_do_no_harm():
    X, y = rows()
    X[:, :5] = 7
    assert LinearProbe().fit(X, y).coef_[:, :5] == pytest.approx(0)


# -- as a file -----------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    X, y = rows(k=3, noise=3.0)
    probe = LinearProbe().fit(X, y)
    probe.report_ = probe.report(X)
    probe.save(tmp_path / "a.probe")
    return tmp_path / "a.probe", probe, X


@pytest.mark.parametrize("kind", ["classes", "two", "numbers", "several"])
def test_a_saved_probe_says_the_same(tmp_path, kind):
    X, y = rows(k=2 if kind == "two" else 3, noise=3.0)
    truth = {"numbers": np.arange(120) % 3, "several": np.stack([y == "ape", X[:, 0] > 0], axis=1)}.get(kind, y)
    probe = LinearProbe().fit(X, truth)
    probe.save(tmp_path / "a.probe")
    found = load_probe(tmp_path / "a.probe")
    assert (found.predict(X) == probe.predict(X)).all() and found.classes_.dtype == probe.classes_.dtype
    assert found.predict_proba(X).tolist() == probe.predict_proba(X).tolist()
    assert (found.C_, found.temperature_) == (probe.C_, probe.temperature_)


def test_the_file_is_safetensors_with_json(saved):
    file, probe, _ = saved
    tensors = load_file(file)
    assert tensors["coef"].shape == (3, 40) and tensors["coef"].dtype == np.float64
    header = json.loads(file.read_bytes()[8 : 8 + int.from_bytes(file.read_bytes()[:8], "little")])
    told = json.loads(header["__metadata__"]["sightsound"])
    assert told["classes"] == ["ape", "bee", "cow"] and told["versions"]["sightsound"]
    assert sum(told["folds"]) == 120 and ProbeReport.from_json(told["report"]) == probe.report_


def test_predicting_needs_numpy_and_no_framework(saved, tmp_path):
    file, probe, X = saved
    np.save(tmp_path / "X.npy", X)
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('sklearn', 'scipy', 'torch', 'faiss', 'librosa', 'soundfile', 'PIL'):\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import numpy as np\n"
        "from sightsound import load_probe\n"
        "probe, X = load_probe(sys.argv[1]), np.load(sys.argv[2])\n"
        "print(*probe.predict(X)[:5], probe.predict_proba(X).sum(), probe.report_.accuracy.value)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), str(tmp_path / "X.npy")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[:5] == probe.predict(X)[:5].tolist() and float(words[5]) == pytest.approx(120)


def edited(file, change):
    """The same numbers with other facts."""
    data = file.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    told = json.loads(header["__metadata__"]["sightsound"])
    change(told)
    save_file(load_file(file), file, {"sightsound": json.dumps(told)})


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda f: f.write_bytes(b""), "expected a probe, got another file or a damaged one; make one"),
        (lambda f: f.write_bytes(b"\xff" * 100), "expected a probe, got another file or a damaged one"),
        (lambda f: f.write_bytes(f.read_bytes()[:-10]), "expected a probe, got another file or a damaged one"),
        (lambda f: save_file({"a": np.ones(3)}, f), "expected a probe, got another file or a damaged one"),
        (lambda f: edited(f, lambda t: t.update(format=2)), "expected a probe of format 1, got 2; upgrade sightsound"),
        (lambda f: edited(f, lambda t: t.update(kind="tree")), "expected a probe or a stack, got 'tree'"),
        (lambda f: edited(f, lambda t: t.update(classes=["a"])), r"damaged \(.*\); make it anew: sightsound probe fit"),
        (lambda f: edited(f, lambda t: t.pop("temperature")), "damaged"),
        (lambda f: edited(f, lambda t: t.update(temperature=-1)), "damaged"),
        (lambda f: edited(f, lambda t: t.update(params=[])), "damaged"),
        (lambda f: edited(f, lambda t: t.update(report={"how": 1})), "damaged"),
    ],
)
def test_a_file_that_is_no_probe_is_refused(saved, damage, text):
    damage(saved[0])
    with pytest.raises(SightsoundError, match=text):
        load_probe(saved[0])


def test_a_pickle_is_no_probe(tmp_path):
    import pickle

    (tmp_path / "a.probe").write_bytes(pickle.dumps({"coef": 1}))
    with pytest.raises(SightsoundError, match="expected a probe, got another file"):
        load_probe(tmp_path / "a.probe")


def test_what_cannot_be_read_or_written_is_told(saved, tmp_path):
    with pytest.raises(SightsoundError, match=r"cannot be read \(.*\); name a probe"):
        load_probe(tmp_path / "none.probe")
    with pytest.raises(SightsoundError, match="cannot be written"):
        saved[1].save(tmp_path / "no" / "a.probe")


# -- as ONNX -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["classes", "two", "several"])
def test_an_exported_probe_says_the_same(tmp_path, kind):
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    from onnx.reference import ReferenceEvaluator

    from sightsound.linear.onnx import export

    X, y = rows(k=2 if kind == "two" else 3, noise=3.0)
    probe = LinearProbe().fit(X, np.stack([y == "ape", X[:, 0] > 0], axis=1) if kind == "several" else y)
    export(probe, tmp_path / "a.onnx")
    graph = ReferenceEvaluator(str(tmp_path / "a.onnx"))
    found = dict(zip(("decisions", "probabilities", "label"), graph.run(None, {"vectors": X})))
    assert found["probabilities"] == pytest.approx(probe.predict_proba(X), abs=1e-4)
    if kind != "several":
        assert (probe.classes_[found["label"]] == probe.predict(X)).mean() > 0.99
    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert json.loads(facts["classes"]) == [str(name) for name in probe.classes_]
