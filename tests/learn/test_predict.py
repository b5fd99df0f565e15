"""Predictions of probes and stacks for files and for the items of a library."""

from __future__ import annotations

import numpy as np
import pytest

import made
from sightsound import (
    Library,
    LinearProbe,
    SightsoundError,
    SpaceMismatch,
    fit_probe,
    fit_stack,
    index,
    load_dataset,
    load_probe,
    predict,
    predict_stored,
    tag,
)


def load(place, model="colours.tiny", **options):
    return load_dataset(place, model, **options)


@pytest.fixture
def new(tmp_path):
    """Return a folder with a red, a blue and a broken image."""
    made.shade(tmp_path / "new" / "a.png", 0, 200, noise=9)
    made.shade(tmp_path / "new" / "b.png", 2, 201, noise=9)
    (tmp_path / "new" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return tmp_path / "new"


def test_files_are_classified_and_a_broken_one_fails(coloured, tiny, new):
    found = [*predict(fit_probe(load(coloured)), new, host=tiny)]
    assert [each.item.path for each in found] == ["a.png", "b.png", "c.png"]
    assert [each.top[0].label for each in found[:2]] == ["red", "blue"]
    assert sum(each.score for each in found[0].top) == pytest.approx(1)
    assert found[2].outcome.status == "failed" and found[2].top == ()


def test_the_items_of_a_library_are_classified_by_their_vectors(coloured):
    data = load(coloured)
    probe = fit_probe(data)
    with Library(coloured) as library:
        found = [*predict_stored(probe, library)]
    assert [each.top[0].label for each in found] == probe.predict(data.X).tolist()
    assert [each.item for each in found] == list(data.items)


def test_a_probe_of_windows_gives_the_probabilities_of_each_window(rhythms, tiny, tmp_path):
    probe = fit_probe(load(rhythms, "loudness.tiny", level="window"))
    file = made.rhythm(tmp_path / "x.wav", 1, 77)
    (found,) = predict(probe, file, host=tiny)
    assert found.top[0].label == "second" and found.windows.scores.shape == (7, 2)
    assert found.windows.spans[:, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    assert found.top[0].score == pytest.approx(found.windows.scores[:, 1].mean())
    with Library(rhythms) as library:
        assert next(iter(predict_stored(probe, library))).windows.scores.shape == (7, 2)


@pytest.mark.parametrize("pool", ["mean", "max", "mean+std"])
def test_a_probe_of_items_pools_windows_as_in_its_data_set(rhythms, tiny, tmp_path, pool):
    probe = fit_probe(load(rhythms, "loudness.tiny", pool=pool))
    (found,) = predict(probe, made.rhythm(tmp_path / "x.wav", 0, 78), host=tiny)
    assert found.top[0].label == "first" and found.windows is None


def test_a_stack_needs_the_vectors_of_each_of_its_networks(coloured, tiny, new, tmp_path):
    stack = fit_stack([load(coloured, model) for model in ("colours.tiny", "tints.tiny")])
    stack.save(tmp_path / "a.probe")
    found = [*predict(load_probe(tmp_path / "a.probe"), new, host=tiny)]
    assert [each.top[0].label for each in found[:2]] == ["red", "blue"]
    assert found[2].outcome.status == "failed"
    made.shade(new / "d.png", 1, 300)
    index(new / "d.png", coloured, models=["colours.tiny"], host=tiny)
    with Library(coloured) as library:
        *whole, last = predict_stored(stack, library)
    assert len(whole) == 36 and all(each.top for each in whole)
    assert last.outcome.reason == "no vectors in tints.tiny; index it with that model"


def test_another_version_of_the_network_is_refused(coloured, tiny, new):
    probe = fit_probe(load(coloured))
    changed = made.stand(tiny, "other.tiny", facts={"revision": 2})
    object.__setattr__(
        probe.feature_spec_, "space", type(probe.feature_spec_.space)(changed, probe.feature_spec_.space.facts)
    )
    with pytest.raises(SpaceMismatch, match="probe: another space; revision: expected 1, got 2"):
        predict(probe, new, host=tiny)
    data = load(coloured)
    with pytest.raises(SightsoundError, match="expected one that was fitted from a library and knows its network"):
        predict(LinearProbe().fit(data.X, data.y), new, host=tiny)


# -- as the classes of `tag` ---------------------------------------------------------------------------------------


def test_a_picture_is_tagged_with_the_classes_of_a_probe(coloured, tiny, new):
    found = [*tag(new, probes=[fit_probe(load(coloured))], host=tiny)]
    assert [tags.top[0].label for tags in found[:2]] == ["red", "blue"] and found[2].outcome.status == "failed"


def test_a_recording_has_segments_of_the_classes_of_a_probe(rhythms, tiny, tmp_path):
    probe = fit_probe(load(rhythms, "loudness.tiny", level="window"))
    (found,) = tag(made.rhythm(tmp_path / "x.wav", 0, 79), probes=[probe], host=tiny)
    assert found.top[0].label == "first" and {s.label for s in found.segments} <= {"first", "second"}
    assert found.model == "loudness.tiny"


def test_two_for_one_modality_and_a_hop_with_a_probe_are_told(rhythms, coloured, tiny):
    pooled = fit_probe(load(rhythms, "loudness.tiny", pool="mean+std"))
    with pytest.raises(SightsoundError, match="hop: expected none with a probe of sounds, .*, got 0.1"):
        tag(rhythms.parent / "rhythms", probes=[pooled], hop=0.1, host=tiny)
    probe = fit_probe(load(coloured))
    with pytest.raises(SightsoundError, match="expected one model for images, got two"):
        tag(rhythms, models="tints.tiny", probes=[probe], host=tiny)


@pytest.mark.parametrize("pool", ["mean", "max", "mean+std"])
def test_a_probe_of_items_says_of_the_whole_what_predict_says(rhythms, tiny, pool):
    probe = fit_probe(load(rhythms, "loudness.tiny", pool=pool))
    files = rhythms.parent / "rhythms"
    tagged, judged = tag(files, probes=[probe], host=tiny), predict(probe, files, host=tiny)
    for tags, each in zip(tagged, judged, strict=True):
        assert tags.item == each.item and tags.top == each.top
        assert bool(tags.segments) == (pool == "mean")


def test_scores_are_the_probabilities_of_the_probe(rhythms, tiny, tmp_path):
    from sightsound.classify.probe_model import probed

    data = load(rhythms, "loudness.tiny", level="window")
    probe = fit_probe(data)
    model = probed(tiny.load("loudness.tiny"), probe)
    assert model.card.labels == ("first", "second") and model.card.scores == "softmax"
    _, rows, scores = model.rows(made.loud(0.5, 0.5, 1.0))
    assert scores == pytest.approx(probe.predict_proba(rows), abs=1e-6) and scores.dtype == np.float32
