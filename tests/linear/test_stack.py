"""Several networks as one classifier."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.base import clone

from sightsound import LinearProbe, SightsoundError, Stack, load_probe
from sightsound.linear.estimator import BadInput


def views(n=180, k=3, seed=0, noise=2.0):
    """Two networks that each see one half of what tells the classes apart, and the classes."""
    random = np.random.default_rng(seed)
    kind = np.arange(n) % k
    means = random.normal(size=(k, 16))
    X = means[kind] + noise * random.normal(size=(n, 16))
    return [X[:, :8], X[:, 8:]], np.array(["ape", "bee", "cow"])[kind]


@pytest.mark.parametrize("top", ["svm", "logistic", "ridge", None])
@pytest.mark.parametrize("combine", ["concatenate", "average"])
def test_two_networks_know_more_than_each(top, combine):
    (A, B), y = views(n=600)
    first, last = slice(0, 300), slice(300, 600)
    stack = Stack(top, combine=combine).fit([A[first], B[first]], y[first])
    alone = max(LinearProbe().fit(X[first], y[first]).score(X[last], y[last]) for X in (A, B))
    assert stack.score([A[last], B[last]], y[last]) > alone
    assert stack.predict_proba([A[last], B[last]]).sum(axis=1) == pytest.approx(1)


def test_the_top_learns_from_rows_that_the_networks_had_not_seen():
    """Networks that know every row by heart and nothing else would make a top that trusts them."""
    random = np.random.default_rng(0)
    y = np.arange(400) % 2
    good = y[:, None] + 0.8 * random.normal(size=(400, 4))
    Xs, rest = [random.normal(size=(400, 500)), good], slice(100, 400)
    stack = Stack("logistic").fit([X[:100] for X in Xs], y[:100])
    alone = LinearProbe().fit(good[:100], y[:100]).score(good[rest], y[rest])
    assert stack.score([X[rest] for X in Xs], y[rest]) > alone - 0.03 > 0.8


def test_without_a_top_it_is_the_average():
    Xs, y = views()
    stack = Stack(None).fit(Xs, y)
    expected = np.mean([probe.predict_proba(X) for probe, X in zip(stack.probes_, Xs)], axis=0)
    assert stack.predict_proba(Xs) == pytest.approx(expected) and stack.top_ is None


@pytest.mark.parametrize("top", ["svm", None])
def test_a_saved_stack_says_the_same(tmp_path, top):
    Xs, y = views()
    stack = Stack(top, combine="average").fit(Xs, y)
    stack.save(tmp_path / "a.probe")
    with pytest.raises(SightsoundError, match="damaged .parts are missing."):  # for it does not know its networks
        load_probe(tmp_path / "a.probe")


def test_parameters_can_be_copied():
    assert repr(clone(Stack("ridge", combine="average"))) == "Stack(top='ridge', combine='average')"


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
def test_what_cannot_be_stacked_is_told(change, text):
    Xs, y = change(*views())
    with pytest.raises(BadInput, match=text):
        Stack().fit(Xs, y)


def test_words_that_are_no_way_to_combine_and_too_few_networks_are_told():
    Xs, y = views()
    with pytest.raises(BadInput, match="combine: expected concatenate or average, got 'sum'"):
        Stack(combine="sum").fit(Xs, y)
    with pytest.raises(BadInput, match="Xs: expected rows of 2 networks, got 1"):
        Stack().fit(Xs, y).predict(Xs[:1])


def test_a_stack_with_a_part_missing_is_refused(tmp_path):
    from sightsound.contract.space import Space
    from sightsound.linear.features import FeatureSpec

    Xs, y = views()
    stack = Stack().fit(Xs, y)
    facts = json.dumps({"modality": "image", "dim": 8, "stages": []})
    stack.feature_specs_ = [FeatureSpec(Space(name, facts)) for name in ("a.x", "b.x")]
    for probe, origin in zip(stack.probes_, stack.feature_specs_):
        probe.feature_spec_ = origin
    file = tmp_path / "a.probe"
    stack.save(file)
    found = load_probe(file)
    assert found.predict(Xs).tolist() == stack.predict(Xs).tolist() and found.feature_specs_ == stack.feature_specs_
    tensors = load_file(file)
    size = int.from_bytes(file.read_bytes()[:8], "little")
    told = json.loads(json.loads(file.read_bytes()[8 : 8 + size])["__metadata__"]["sightsound"])
    del told["parts"]["top"]
    save_file(tensors, file, {"sightsound": json.dumps(told)})
    with pytest.raises(SightsoundError, match="damaged .parts are missing.; make it anew: sightsound stack"):
        load_probe(file)
