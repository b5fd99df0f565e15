"""Predictions of probes and stacks for files and for the items of a library."""

from __future__ import annotations

import pytest

import made
from sightsound import (
    Library,
    LinearProbe,
    SightsoundError,
    SpaceMismatch,
    Stack,
    fit_probe,
    fit_stack,
    index,
    load_dataset,
    load_probe,
    predict,
    predict_stored,
)

pytestmark = pytest.mark.usefixtures("few_strengths")


def load(place, model="colours.tiny", **options):
    return load_dataset(place, model, **options)


def fit(dataset):
    """Fit a probe with a short grid of C and without a learning curve, which takes little time."""
    return fit_probe(dataset, LinearProbe(Cs=(1e-2, 1.0)), curve=False)


def test_files_are_classified_and_a_broken_one_fails(coloured, tiny, new):
    found = [*predict(fit(load(coloured)), new, host=tiny)]
    assert [each.item.path for each in found] == ["a.png", "b.png", "c.png"]
    assert [each.top[0].label for each in found[:2]] == ["red", "blue"]
    assert sum(each.score for each in found[0].top) == pytest.approx(1)
    assert found[2].outcome.status == "failed" and found[2].top == ()


def test_the_items_of_a_library_are_classified_by_their_vectors(coloured):
    data = load(coloured)
    probe = fit(data)
    with Library(coloured) as library:
        found = [*predict_stored(probe, library)]
    assert [each.top[0].label for each in found] == probe.predict(data.X).tolist()
    assert [each.item for each in found] == list(data.items)


def test_a_probe_of_windows_gives_the_probabilities_of_each_window(rhythms, tiny, tmp_path):
    probe = fit(load(rhythms, "loudness.tiny", level="window"))
    file = made.write_rhythm(tmp_path / "x.wav", 1, 77)
    (found,) = predict(probe, file, host=tiny)
    assert found.top[0].label == "second" and found.windows.scores.shape == (7, 2)
    assert found.windows.spans[:, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert found.top[0].score == pytest.approx(found.windows.scores[:, 1].mean())
    with Library(rhythms) as library:
        assert next(iter(predict_stored(probe, library))).windows.scores.shape == (7, 2)


@pytest.mark.parametrize("pool", ["mean", "max", "mean+std"])
def test_a_probe_of_items_pools_windows_as_in_its_data_set(rhythms, tiny, tmp_path, pool):
    probe = fit(load(rhythms, "loudness.tiny", pool=pool))
    (found,) = predict(probe, made.write_rhythm(tmp_path / "x.wav", 0, 78), host=tiny)
    assert found.top[0].label == "first" and found.windows is None


def test_a_stack_needs_the_vectors_of_each_of_its_networks(coloured, tiny, new, tmp_path):
    stack = fit_stack([load(coloured, model) for model in ("colours.tiny", "tints.tiny")], Stack(Cs=(1e-2, 1.0), cv=2))
    stack.save(tmp_path / "a.probe")
    found = [*predict(load_probe(tmp_path / "a.probe"), new, host=tiny)]
    assert [each.top[0].label for each in found[:2]] == ["red", "blue"]
    assert found[2].outcome.status == "failed"
    made.write_shade(new / "d.png", 1, 300)
    index(new / "d.png", coloured, models=["colours.tiny"], host=tiny)
    with Library(coloured) as library:
        *whole, last = predict_stored(stack, library)
    assert len(whole) == 36 and all(each.top for each in whole)
    assert last.outcome.reason == "no vectors in tints.tiny; index it with that model"


def test_another_version_of_the_network_is_refused(coloured, tiny, new):
    probe = fit(load(coloured))
    changed = made.register_variant(tiny, "other.tiny", facts={"revision": 2})
    object.__setattr__(
        probe.feature_spec_, "space", type(probe.feature_spec_.space)(changed, probe.feature_spec_.space.facts)
    )
    with pytest.raises(SpaceMismatch, match="probe: another space; revision: expected 1, got 2"):
        predict(probe, new, host=tiny)
    data = load(coloured)
    with pytest.raises(SightsoundError, match="expected one that was fitted from a library and knows its network"):
        predict(LinearProbe().fit(data.X, data.y), new, host=tiny)
