"""Probes as the classes of `tag`."""

from __future__ import annotations

import numpy as np
import pytest

import made
from sightsound import LinearProbe, SightsoundError, fit_probe, load_dataset, predict, tag
from sightsound.classify.probe_model import attach_probe

pytestmark = pytest.mark.usefixtures("few_strengths")


def load(place, model="colours.tiny", **options):
    return load_dataset(place, model, **options)


def fit(dataset):
    """Fit a probe with a short grid of C and without a learning curve, which takes little time."""
    return fit_probe(dataset, LinearProbe(Cs=(1e-2, 1.0)), curve=False)


def test_an_image_is_tagged_with_the_classes_of_a_probe(coloured, tiny, new):
    found = [*tag(new, probes=[fit(load(coloured))], host=tiny)]
    assert [tags.top[0].label for tags in found[:2]] == ["red", "blue"] and found[2].outcome.status == "failed"


def test_a_recording_has_segments_of_the_classes_of_a_probe(rhythms, tiny, tmp_path):
    probe = fit(load(rhythms, "loudness.tiny", level="window"))
    (found,) = tag(made.write_rhythm(tmp_path / "x.wav", 0, 79), probes=[probe], host=tiny)
    assert found.top[0].label == "first" and {s.label for s in found.segments} <= {"first", "second"}
    assert found.model == "loudness.tiny"


def test_two_models_of_one_modality_and_a_hop_with_a_probe_are_refused(rhythms, coloured, tiny):
    pooled = fit(load(rhythms, "loudness.tiny", pool="mean+std"))
    with pytest.raises(SightsoundError, match="hop: expected none with a probe of sounds, .*, got 0.1"):
        tag(rhythms.parent / "rhythms", probes=[pooled], hop=0.1, host=tiny)
    probe = fit(load(coloured))
    with pytest.raises(SightsoundError, match="expected one model for images, got two"):
        tag(rhythms, models="tints.tiny", probes=[probe], host=tiny)


@pytest.mark.parametrize("pool", ["mean", "max", "mean+max", "mean+std"])
def test_tags_by_a_probe_of_items_are_those_of_predict(rhythms, tiny, pool):
    probe = fit(load(rhythms, "loudness.tiny", pool=pool))
    files = rhythms.parent / "rhythms"
    tagged, predicted = tag(files, probes=[probe], host=tiny), predict(probe, files, host=tiny)
    for tags, expected in zip(tagged, predicted, strict=True):
        assert tags.item == expected.item and tags.top == expected.top
        assert bool(tags.segments) == (pool != "mean+std")


def test_the_scores_of_windows_are_the_probabilities_of_the_probe(rhythms, tiny):
    data = load(rhythms, "loudness.tiny", level="window")
    probe = fit(data)
    model = attach_probe(tiny.load("loudness.tiny"), probe)
    assert model.card.labels == ("first", "second") and model.card.scores == "softmax"
    _, rows, scores = model.rows(made.loud_and_silent(0.5, 0.5, 1.0))
    assert scores == pytest.approx(probe.predict_proba(rows), abs=1e-6) and scores.dtype == np.float32
