"""A stack of several networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from sampling import sampled
from sightsound import FeatureSpec, LinearProbe, SightsoundError, Space, Stack, load_probe
from sightsound.linear.cross_validation import COARSE_CS
from sightsound.linear.validation import BadInput


def views(n=180, k=3, seed=0, noise=2.0):
    """Return the rows of two networks, each with half of the informative features, and the classes."""
    random = np.random.default_rng(seed)
    kind = np.arange(n) % k
    means = random.normal(size=(k, 16))
    X = means[kind] + noise * random.normal(size=(n, 16))
    return [X[:, :8], X[:, 8:]], np.array(["ape", "bee", "cow"])[kind]


@pytest.mark.parametrize(
    ("top", "combine"),
    sampled(
        (
            ("svm", "concatenate"),
            ("logistic", "concatenate"),
            ("ridge", "concatenate"),
            ("svm", "average"),
            (None, "average"),
        ),
        ("svm", "concatenate"),
        (None, "average"),
    ),
)
def test_a_stack_of_two_networks_is_better_than_each(top, combine):
    (A, B), y = views(n=600)
    first, last = slice(0, 300), slice(300, 600)
    stack = Stack(top, combine=combine).fit([A[first], B[first]], y[first])
    alone = max(LinearProbe(Cs=COARSE_CS).fit(X[first], y[first]).score(X[last], y[last]) for X in (A, B))
    assert stack.score([A[last], B[last]], y[last]) > alone
    assert stack.predict_proba([A[last], B[last]]).sum(axis=1) == pytest.approx(1)


def test_the_top_is_fitted_to_held_out_probabilities():
    """A network that overfits must not mislead the top, which in-sample probabilities of it would."""
    random = np.random.default_rng(0)
    y = np.arange(400) % 2
    good = y[:, None] + 0.8 * random.normal(size=(400, 4))
    Xs, rest = [random.normal(size=(400, 500)), good], slice(100, 400)
    stack = Stack("logistic").fit([X[:100] for X in Xs], y[:100])
    alone = LinearProbe().fit(good[:100], y[:100]).score(good[rest], y[rest])
    assert stack.score([X[rest] for X in Xs], y[rest]) > alone - 0.03 > 0.8


def test_without_a_top_the_probabilities_are_averaged():
    Xs, y = views()
    stack = Stack(None).fit(Xs, y)
    expected = np.mean([probe.predict_proba(X) for probe, X in zip(stack.probes_, Xs)], axis=0)
    assert stack.predict_proba(Xs) == pytest.approx(expected) and stack.top_ is None


@pytest.mark.parametrize("top", ["svm", None])
def test_a_saved_stack_gives_the_same_answers(tmp_path, top):
    Xs, y = views()
    stack = Stack(top, combine="average").fit(Xs, y)
    metadata = json.dumps({"modality": "image", "dim": 8, "stages": []})
    stack.feature_specs_ = [FeatureSpec(Space(name, metadata)) for name in ("a.x", "b.x")]
    stack.save(tmp_path / "a.probe")
    loaded = load_probe(tmp_path / "a.probe")
    assert loaded.predict_proba(Xs).tolist() == stack.predict_proba(Xs).tolist()
    assert (loaded.predict(Xs) == stack.predict(Xs)).all() and loaded.feature_specs_ == stack.feature_specs_


@pytest.mark.parametrize("top", ["svm", "logistic", None])
def test_a_class_with_one_row_is_learned_from_the_networks_that_were_fitted_to_it(top):
    Xs, y = views(noise=0.3)
    one = np.flatnonzero(y == "cow")[0]
    kept = np.append(np.flatnonzero(y != "cow"), one)
    stack = Stack(top).fit([X[kept] for X in Xs], y[kept])
    assert stack.classes_.tolist() == ["ape", "bee", "cow"]
    assert stack.score(Xs, y) > 0.8 and (stack.predict(Xs)[y == "cow"] == "cow").any()


def test_rows_that_are_all_of_different_classes_cannot_be_stacked():
    Xs, _ = views()
    few = [X[:3] for X in Xs]
    with pytest.raises(
        SightsoundError, match="stack: expected two classes with two items or more in two folds; or use"
    ):
        Stack().fit(few, ["ape", "bee", "cow"])
    assert Stack(None).fit(few, ["ape", "bee", "cow"]).predict(few).tolist() == ["ape", "bee", "cow"]


def test_a_stack_can_be_cloned():
    assert repr(clone(Stack("ridge", combine="average"))) == "Stack(combine='average', top='ridge')"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda Xs, y: ([], y), "Xs: expected rows of the same items for each network, got none"),
        (
            lambda Xs, y: ([Xs[0], Xs[1][:5]], y),
            r"Xs: expected rows of the same items for each network, got \(180, 8\), \(5",
        ),
        (lambda Xs, y: (Xs, np.stack([y == "ape", y == "bee"], 1)), "y: expected one class a row, got several labels"),
    ],
)
def test_what_cannot_be_stacked_raises_an_error(change, text):
    Xs, y = change(*views())
    with pytest.raises(BadInput, match=text):
        Stack().fit(Xs, y)


def test_an_unknown_combination_and_too_few_networks_raise_an_error():
    Xs, y = views()
    with pytest.raises(BadInput, match="combine: expected concatenate or average, got 'sum'"):
        Stack(combine="sum").fit(Xs, y)
    with pytest.raises(BadInput, match="Xs: expected rows of 2 networks, got 1"):
        Stack().fit(Xs, y).predict(Xs[:1])


def test_the_tags_say_that_rows_are_no_single_matrix():
    tags = get_tags(Stack())
    assert not is_classifier(Stack()) and not tags.input_tags.two_d_array and tags.target_tags.required
    with pytest.raises(NotFittedError, match="not fitted"):
        Stack().predict(views()[0])
