"""The choice of C on large sets against the usual one, which tries every strength on every fold."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from sightsound import LinearProbe
from sightsound.linear import large_fits, large_set
from sightsound.linear.cross_validation import DEFAULT_CS
from sightsound.linear.large_set import LargeSet
from sightsound.linear.pieces import Pieces, blocks
from sightsound.linear.rotated import FoldOrder, rotated
from sightsound.linear.sampling import sample_groups
from sightsound.linear.scaling import Preparation
from sightsound.linear.training import Trainer


@pytest.fixture
def all_large(monkeypatch):
    """Every set is large."""
    monkeypatch.setattr(large_set, "LARGE", 1)


def overlapping(n=1500, d=48, k=6, noise=3.0, seed=0):
    """Return float32 rows (n, d), the ReLU of mixed features, and classes (n,) that overlap."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % k
    latent = 0.8 * random.normal(size=(k, 12))[y] + noise / 3 * random.normal(size=(n, 12))
    mixed = latent @ random.normal(size=(12, d)) / 3 + 0.3 * random.normal(size=(n, d)) - 0.2
    return np.maximum(mixed, 0).astype(np.float32), y


def both(X, y, monkeypatch, kind="logistic", fit=None, **settings):
    """Return the usual probe, and the one that takes the rows for a large set."""
    usual = LinearProbe(kind, **settings).fit(X, y, **(fit or {}))
    with monkeypatch.context() as patched:
        patched.setattr(large_set, "LARGE", 1)
        return usual, LinearProbe(kind, **settings).fit(X, y, **(fit or {}))


# -- the choice ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scaling", "first", "seeds"),
    [
        ("standard", 5, (1, 2)),
        *(
            pytest.param(scaling, first, range(4), marks=pytest.mark.slow)
            for scaling in ("unit", "standard", "none")
            for first in (1, 5)
        ),
    ],
)
def test_strengths_that_are_left_early_do_not_change_the_accuracy(monkeypatch, scaling, first, seeds):
    """Accuracy by the usual cross-validation, of the C that few strengths lead to; all folds come first, or one."""
    monkeypatch.setattr(large_set, "ENOUGH", 300 * first)
    lost = []
    for seed in seeds:
        X, y = overlapping(noise=(1.5, 2.0, 3.0, 4.0)[seed], seed=seed)
        usual, found = both(X, y, monkeypatch, scaling=scaling, sqrt=False)
        scores = usual.scores_[[DEFAULT_CS.index(C) for C in (usual.C_, found.C_)]]
        lost.append(scores[0] - scores[1])
        assert len(found.cross_validation_.Cs) < 12 and len(found.scores_) == len(found.cross_validation_.Cs)
    assert max(lost) <= 0.006 and np.mean(lost) <= 0.002


def test_all_strengths_are_tried_where_none_can_be_left(monkeypatch):
    """The largest C is best, and clearly better than the usual one."""
    X, y = overlapping(noise=1.0, seed=3)
    usual, found = both(X * 1e-4, y, monkeypatch, scaling="none", sqrt=False, Cs=np.logspace(1, 9, 9).tolist())
    near = usual.scores_.max() - 0.005
    assert usual.scores_[usual.cross_validation_.Cs.index(found.C_)] >= near > usual.scores_[0]


def test_another_preparation_is_chosen_where_it_is_clearly_better(monkeypatch):
    random = np.random.default_rng(0)
    X, y = overlapping(noise=4.0)
    X = X * np.logspace(0, 3, X.shape[1])[random.permutation(X.shape[1])].astype(np.float32)
    usual, found = both(X, y, monkeypatch)
    assert usual.scaling_ == found.scaling_ == "standard"
    pair = [probe.cross_validation_.scores[probe.cross_validation_.position] for probe in (usual, found)]
    assert pair[1] >= pair[0] - 0.005


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "noise"), [(2, 3.0), (3, 1.5)])
def test_the_usual_preparation_is_kept_where_no_other_is_clearly_better(monkeypatch, seed, noise):
    """What was compared on all folds counts as compared."""
    X, y = overlapping(n=2000, noise=noise, seed=seed)
    usual, found = both(X, y, monkeypatch)
    assert (found.scaling_, found.sqrt_) == (usual.scaling_, usual.sqrt_) == ("unit", False)
    a, b = usual.cross_validation_, found.cross_validation_
    assert b.scores[b.position] >= a.scores[a.position] - 0.002
    assert b.compared is None or b.compared.shape == (len(X), 1)
    assert abs(b.corrected - a.corrected) < 0.01


@pytest.mark.parametrize(("seed", "clear"), [(3, True), (5, False)])
def test_the_preparation_is_chosen_on_a_sample(monkeypatch, all_large, seed, clear):
    """Where the sample shows which is best, classifiers of all rows have this preparation alone."""
    monkeypatch.setattr(large_set, "TRAINED", 400)
    monkeypatch.setattr(large_set, "TESTED", 800)
    X, y = overlapping(n=2400, noise=4.0 if clear else 2.0, seed=seed)
    if clear:
        X *= np.logspace(0, 3, X.shape[1])[np.random.default_rng(0).permutation(X.shape[1])].astype(np.float32)
    fits, fit = set(), large_fits.LargeFits._fit

    def spy(self, fold, C):
        fits.add((len(self.given.Y) == len(X), self.preparation))
        fit(self, fold, C)

    monkeypatch.setattr(large_fits.LargeFits, "_fit", spy)
    found = LinearProbe(Cs=[0.1, 1.0, 10.0, 100.0]).fit(X, y)
    assert found.preparation == Preparation("standard" if clear else "unit", False)
    assert [each for of_all, each in fits if of_all] == [found.preparation] and len(fits) == 5
    assert found.cross_validation_.compared is None and len(found.cross_validation_.rows) == len(X)


def test_a_sample_has_whole_groups_of_every_class_in_folds_of_their_own(monkeypatch):
    monkeypatch.setattr(large_set, "TRAINED", 300)
    monkeypatch.setattr(large_set, "TESTED", 600)
    random = np.random.default_rng(0)
    groups = random.permutation(np.arange(3000) // 3)
    y = np.where(groups == 999, 7, groups % 7)  # the last class has one group
    folds = groups % 5
    trainer = Trainer("logistic", tuple("abcdefgh"), True, None, "unit", None)
    given = LargeSet.of(trainer, np.zeros((3000, 2)), np.eye(8)[y], np.ones(3000), folds=folds, groups=groups)
    sample = given.sample()
    held, rest = sample.at.order[sample.at.inside(0)], sample.at.order[sample.at.ends[-1] :]
    assert sample.folds == sample.first == (0,)
    assert 580 <= len(held) <= 620 and 280 <= len(rest) <= 320
    assert not set(folds[held]) & set(folds[rest]) and set(y[rest]) >= set(range(7))
    for rows in (held, rest):
        assert (np.bincount(groups[rows], minlength=1000)[groups[rows]] == 3).all()
    assert (np.eye(8)[y][sample.at.order] == sample.Y).all() and (sample.groups == groups[sample.at.order]).all()
    assert (given.sample().at.order == sample.at.order).all()
    monkeypatch.setattr(large_set, "TESTED", 1500)
    assert given.sample() is given


def test_groups_are_drawn_with_the_share_of_their_class():
    classes = np.repeat([0, 1, 2], [600, 398, 2])
    groups = np.concatenate([np.arange(600) // 2, 300 + np.arange(398) // 2, [600, 600]])
    drawn = sample_groups(classes, groups, 100)
    assert np.bincount(classes[drawn]).tolist() == [60, 40, 2]
    assert (drawn == sample_groups(classes, groups, 100)).all() and (np.diff(drawn) > 0).all()
    assert (drawn != sample_groups(classes, groups, 100, seed=1)).any()
    assert (sample_groups(classes, groups, 1000) == np.arange(1000)).all()


# -- the classifiers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "k", "settings"),
    [
        ("logistic", 6, {}),
        ("logistic", 2, {}),
        ("svm", 3, {}),
        ("ridge", 3, {}),
        ("logistic", 6, {"class_weight": "balanced", "scoring": "f1_macro"}),
        ("logistic", 6, {"scaling": "standard"}),
        ("logistic", 6, {"scaling": "global", "sqrt": True}),
    ],
)
def test_the_classifiers_are_those_of_the_usual_way(monkeypatch, kind, k, settings):
    X, y = overlapping(k=k, n=900)
    y = np.where(np.arange(len(y)) % 5 == 0, 0, y)
    settings = {"scaling": "unit", "sqrt": False, "Cs": [1.0], **settings}
    usual, found = both(X, y, monkeypatch, kind, **settings)
    assert found.objective_ == pytest.approx(usual.objective_, rel=1e-3)
    spread = np.abs(usual.decision_function(X)).mean()
    assert np.abs(found.decision_function(X) - usual.decision_function(X)).mean() < 0.02 * spread
    a, b = usual.cross_validation_, found.cross_validation_
    assert (a.rows == b.rows).all() and (a.folds == b.folds).all() and (a.truth == b.truth).all()
    held = [each.decisions - each.decisions.mean(axis=1, keepdims=True) for each in (a, b)]  # softmax ignores the mean
    assert np.abs(held[0] - held[1]).mean() < 0.05 * np.abs(held[0]).mean()
    assert b.scores == pytest.approx(a.scores, abs=0.005)


def test_several_labels_are_fitted_alike(monkeypatch):
    X, y = overlapping(n=900)
    Y = np.stack([y % 2, y < 3, y == 4], axis=1).astype(int)
    usual, found = both(X, Y, monkeypatch, scaling="unit", sqrt=False, Cs=[0.1, 1.0, 10.0])
    assert found.C_ == usual.C_ and (found.predict(X) == usual.predict(X)).mean() > 0.995
    assert found.scores_.max() == pytest.approx(usual.scores_.max(), abs=0.005)


def test_a_given_C_is_fitted_alike(monkeypatch):
    X, y = overlapping(n=900)
    usual, found = both(X, y, monkeypatch, C=2.0, scaling="unit", sqrt=False)
    assert found.objective_ == pytest.approx(usual.objective_, rel=1e-3)
    assert found.cross_validation_ is None and (found.predict(X) == usual.predict(X)).mean() > 0.99


def test_weights_groups_and_rows_that_are_kept_for_training_count_alike(monkeypatch):
    X, y = overlapping(n=900)
    y[0] = 6  # a class of a single row
    fit = {"groups": np.arange(900) // 3, "sample_weight": np.random.default_rng(0).uniform(0.5, 2, 900)}
    usual, found = both(X, y, monkeypatch, scaling="unit", sqrt=False, Cs=[1.0], fit=fit)
    assert (found.folds_ == usual.folds_).all() and found.folds_[0] == -1
    assert (found.cross_validation_.weights == usual.cross_validation_.weights).all()
    assert found.scores_ == pytest.approx(usual.scores_, abs=0.005)
    assert found.objective_ == pytest.approx(usual.objective_, rel=1e-3)


def test_held_out_rows_are_not_seen(all_large):
    """Classes by chance cannot be predicted, though all folds share their axes."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(2000, 200)).astype(np.float32), random.integers(0, 2, 2000)
    probe = LinearProbe(scaling="unit", sqrt=False, Cs=DEFAULT_CS[24:]).fit(X, y)
    assert probe.score(X, y) > 0.6 and abs(probe.scores_ - 0.5).max() < 0.04


def test_a_report_with_all_its_parts_is_made_of_a_large_set(all_large):
    X, y = overlapping(n=600)
    report = LinearProbe(scaling="unit", sqrt=False).fit(X, y).report(X)
    assert report.curve and report.neighbours.value > 0.3 and 0 < report.corrected <= report.accuracy.value


# -- which sets are large ------------------------------------------------------------------------------------------


def test_other_sets_are_left_to_the_usual_way(monkeypatch):
    X, y = overlapping(n=300)
    monkeypatch.setattr(large_fits.LargeFits, "__init__", None)  # it cannot be made
    LinearProbe(Cs=[1.0]).fit(X, y)  # small
    monkeypatch.setattr(large_set, "LARGE", 1)
    with pytest.raises(TypeError):
        LinearProbe(Cs=[1.0]).fit(X, y)
    LinearProbe(Cs=[1.0], scaling="centred").fit(X, y)
    LinearProbe(Cs=[1.0], scaling="unit", tol=1e-9).fit(X, y)
    LinearProbe(Cs=[1.0], scaling="standard").fit(X.astype(float) * 1e200, y)
    LinearProbe(Cs=[1.0], scaling="unit").fit(X[:60], y[:60])  # folds have no more rows than features
    LinearProbe(Cs=[1.0], scaling="unit").fit(X, y, sample_weight=np.arange(300) > 5)


# -- the rows ------------------------------------------------------------------------------------------------------


def test_pieces_are_multiplied_like_their_rows():
    random = np.random.default_rng(0)
    Z = random.normal(size=(9001, 7)).astype(np.float32)
    pieces, W, G = Pieces(Z[:4500], Z[4500:4500], Z[4500:]), random.normal(size=(7, 3)), random.normal(size=(9001, 3))
    assert pieces.shape == Z.shape and len(pieces) == len(Z)
    assert pieces @ W == pytest.approx(Z @ W) and np.allclose(pieces.T @ G, Z.T @ G, rtol=1e-4, atol=1e-4)
    assert (np.concatenate([block for _, block in blocks(pieces)]) == Z).all()
    assert all((Z[rows] == block).all() for rows, block in blocks(pieces))


@pytest.mark.parametrize(
    "preparation", [Preparation(s, sqrt) for s in ("unit", "none", "standard", "global") for sqrt in (0, 1)]
)
def test_rotated_rows_keep_decisions_and_distances(preparation):
    X = overlapping(n=200, d=20)[0]
    X[:, 3] = 7.0
    at = FoldOrder.of(np.where(np.arange(200) == 5, -1, np.arange(200) % 3))
    axes = rotated(X, preparation, np.ones(200), at.order)
    assert at.order[-1] == 5 and at.ends.tolist() == [0, 67, 134, 199]
    W, b = np.random.default_rng(0).normal(size=(20, 2)), np.ones(2)
    coef, intercept = axes.to_features(W, b)
    expected = preparation.rows(X)[at.order] @ coef + intercept
    assert axes.Z @ W + b == pytest.approx(expected, rel=1e-3, abs=1e-3)
    gram = axes.Z.T @ axes.Z
    assert np.abs(gram - np.diag(axes.eigenvalues)).max() < 1e-4 * axes.eigenvalues[-1]


# -- memory --------------------------------------------------------------------------------------------------------

FIT = """
import sys
import numpy as np
from pathlib import Path
from sightsound import LinearProbe

def peak():
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

random = np.random.default_rng(0)
few = random.normal(size=(300, 40)).astype(np.float32)
LinearProbe(Cs=[1.0]).fit(few, np.arange(300) % 2)
before = peak()
n, d, k = 60_000, 512, 8
y = np.arange(n) % k
means = 0.2 * random.normal(size=(k, d)).astype(np.float32)
X = np.empty((n, d), np.float32)
for start in range(0, n, 1000):
    X[start : start + 1000] = means[y[start : start + 1000]] + random.normal(size=(1000, d))
made = (peak() - before) / X.nbytes
probe = LinearProbe(Cs=[0.01, 0.1, 1.0], scaling="unit", sqrt=False).fit(X, y)
print(made, (peak() - before) / X.nbytes, probe.scores_.max())
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak memory from /proc")
def test_memory_is_at_most_three_times_the_rows():
    done = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=True, timeout=600)
    made, peak, accuracy = map(float, done.stdout.split())
    assert 0.9 < made < 1.3 and peak <= 3 and accuracy > 0.5
