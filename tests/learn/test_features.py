"""Vectors, scores or both as the features of a probe."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import made
from sightsound import (
    ClassList,
    Item,
    Labels,
    Library,
    LinearProbe,
    SightsoundError,
    Space,
    evaluate_stored,
    fit_probe,
    index,
    load_dataset,
    load_probe,
    predict,
    predict_stored,
    tag,
)
from sightsound.contract.arrays import scores_as_kept
from sightsound.learn.dataset import Dataset, FeatureParts
from sightsound.library.store.score_format import pack, unpack
from sightsound.linear.features import FeatureSpec

pytestmark = pytest.mark.usefixtures("few_strengths")

USES = ("embedding", "scores", "both")


@pytest.fixture
def scored(tiny, warm, shades, tmp_path):
    """A library of `shades` in the space of a classifier of three colours, with its scores."""
    index(shades, tmp_path / "scored", models=[warm], host=tiny, label_from="folder")
    return tmp_path / "scored"


@pytest.fixture
def unscored(tiny, warm, shades, tmp_path):
    """The same without scores."""
    index(shades, tmp_path / "unscored", models=[warm], host=tiny, label_from="folder", scores=False)
    return tmp_path / "unscored"


def fit(dataset):
    """Fit a probe with a short grid of C and without a learning curve, which takes little time."""
    return fit_probe(dataset, LinearProbe(Cs=(1e-2, 1.0)), curve=False)


def probabilities(found):
    """Return the classes of each item, and their probabilities, which are equal up to the rounding of float32."""
    return [[(each.label, pytest.approx(each.score, abs=1e-6)) for each in one.top] for one in found]


def classes(found):
    return [[(each.label, each.score) for each in one.top] for one in found]


def test_rows_are_vectors_roots_of_scores_or_both(scored, warm):
    embedding, scores, both = (load_dataset(scored, warm, features=use) for use in USES)
    with Library(scored) as library:
        (space,) = library.spaces
        kept = {each.outcomes[0].item.id: each.scores for each in library.scores_in(space)}
    expected = np.concatenate([np.sqrt(kept[item.id]) for item in scores.items])
    assert pytest.approx(expected) == scores.X and scores.feature_spec.score_count == 3
    unit = [X / np.linalg.norm(X, axis=1, keepdims=True) for X in (embedding.X, scores.X)]
    assert pytest.approx(np.hstack(unit), abs=1e-6) == both.X
    assert [each.feature_spec.features for each in (embedding, scores, both)] == [
        each.X.shape[1] for each in (embedding, scores, both)
    ]
    assert not any(each.automatic for each in (embedding, scores, both)) and load_dataset(scored, warm).automatic


@pytest.mark.parametrize("use", USES)
def test_a_probe_of_images_is_saved_and_classifies_files_and_items_alike(scored, shades, tiny, warm, tmp_path, use):
    probe = fit(load_dataset(scored, warm, features=use))
    probe.save(tmp_path / "a.probe")
    loaded = load_probe(tmp_path / "a.probe")
    assert loaded.feature_spec_ == probe.feature_spec_ and loaded.feature_spec_.use == use
    assert loaded.report_ == probe.report_
    stored = probabilities(predict_stored(loaded, scored))
    assert classes(predict(loaded, shades, host=tiny)) == stored
    assert classes(tag(shades, probes=[loaded], host=tiny)) == stored
    assert evaluate_stored(loaded, scored).accuracy.value > 0.8


@pytest.mark.parametrize("use", ["scores", "both"])
@pytest.mark.parametrize("pool", ["mean", "max", "mean+max", "mean+std"])
def test_a_probe_of_sounds_classifies_files_and_items_alike(rhythms, tiny, use, pool):
    data = load_dataset(rhythms, "loudness.tiny", pool=pool, features=use)
    probe, files = fit(data), rhythms.parent / "rhythms"
    assert data.X.shape[1] == probe.feature_spec_.features
    stored = probabilities(predict_stored(probe, rhythms))
    predicted = classes(predict(probe, files, host=tiny))
    assert predicted == stored and (use == "both" or predicted == classes(predict_stored(probe, rhythms)))
    assert classes(tag(files, probes=[probe], host=tiny)) == predicted


def test_a_probe_of_windows_uses_their_scores(rhythms, tiny, tmp_path):
    data = load_dataset(rhythms, "loudness.tiny", level="window", features="both")
    probe = fit(data)
    file = made.write_rhythm(tmp_path / "x.wav", 1, 77)
    (found,), (tagged,) = predict(probe, file, host=tiny), tag(file, probes=[probe], host=tiny)
    assert found.windows.scores.shape == (7, 2)
    assert classes([tagged]) == probabilities([found])


def test_the_report_has_the_accuracy_of_each_kind_in_the_same_folds(scored, warm):
    reports = [fit_probe(load_dataset(scored, warm, features=use), curve=False).report_ for use in ("auto", "both")]
    assert [each.use for each in reports[0].by_features] == [*USES]
    assert reports[0].by_features == reports[1].by_features
    embedding = load_dataset(scored, warm, features="embedding")
    assert embedding.parts is None and fit(embedding).report_.by_features == ()


def test_few_examples_keep_to_the_embedding(scored, warm):
    assert fit(load_dataset(scored, warm)).feature_spec_.use == "embedding"


def many(informative, n=120, seed=0):
    """Return a data set of two classes, whose embeddings or scores tell them apart."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 2
    signal, noise = y[:, None] + random.normal(0, 0.1, (n, 2)), random.normal(0, 1, (n, 2))
    parts = [signal if informative == "embedding" else noise, np.abs(signal if informative == "scores" else noise)]
    embeddings, scores = (np.asarray(each, np.float32) for each in parts)
    spec = FeatureSpec(Space("made.tiny", json.dumps({"dim": 2, "modality": "image"})))
    return Dataset(
        spec, embeddings, np.array(["a", "b"])[y], ("a", "b"), tuple(Item("r", f"{i}", id=i) for i in range(n)),
        np.arange(n), np.arange(n), None, None, np.arange(n).astype(np.uint64),
        parts=FeatureParts(ClassList("two", ("x", "y")), embeddings, scores), automatic=True,
    )  # fmt: skip


def test_another_kind_is_chosen_where_it_is_clearly_better():
    chosen = fit(many("scores"))
    assert chosen.feature_spec_.use == "scores" and chosen.report_.accuracy.value > 0.9
    assert chosen.report_.corrected <= chosen.report_.accuracy.value
    assert fit(many("embedding")).feature_spec_.use == "embedding"
    assert fit(many("scores", n=60)).feature_spec_.use == "embedding"
    assert fit(replace(many("scores"), automatic=False)).feature_spec_.use == "embedding"
    assert fit_probe(many("scores"), LinearProbe(C=1.0)).feature_spec_.use == "embedding"


def test_folds_that_come_one_by_one_serve_every_kind():
    folds = ((np.flatnonzero(np.arange(120) % 3 != i), np.flatnonzero(np.arange(120) % 3 == i)) for i in range(3))
    probe = fit_probe(many("scores"), LinearProbe(Cs=(1e-2, 1.0), cv=folds), curve=False)
    assert probe.feature_spec_.use == "scores" and probe.report_.how == "cross-validation over 3 folds"


def test_without_scores_auto_is_the_embedding_and_others_are_refused(unscored, scored, warm, tiny):
    data = load_dataset(unscored, warm)
    assert data.feature_spec.use == "embedding" and data.parts is None and data.notes == ()
    for use in ("scores", "both"):
        with pytest.raises(SightsoundError, match="unscored has no scores in warm.tiny; .* index PATH --scores"):
            load_dataset(unscored, warm, features=use)
    with pytest.raises(SightsoundError, match="features: expected one of auto, embedding, scores, both, got 'all'"):
        load_dataset(scored, warm, features="all")
    probe = fit(load_dataset(scored, warm, features="both"))
    with pytest.raises(SightsoundError, match="no scores in warm.tiny; .* --scores"):
        evaluate_stored(probe, unscored)
    found = [*predict_stored(probe, unscored)]
    assert {each.outcome.status for each in found} == {"failed"}
    assert "needs the scores of 3 classes, got none; keep them: sightsound index" in found[0].outcome.reason


def test_scores_of_some_items_are_not_enough(unscored, shades, warm, tiny):
    made.write_shade(shades / "red" / "more.png", 0, 99)
    index(shades, unscored, models=[warm], host=tiny, label_from="folder")
    assert load_dataset(unscored, warm).parts is None
    with pytest.raises(SightsoundError, match="no scores of all items in warm.tiny"):
        load_dataset(unscored, warm, features="scores")
    index(shades, unscored, models=[warm], host=tiny, scores=True)
    assert load_dataset(unscored, warm, features="scores").X.shape == (37, 3)


def test_scores_of_other_classes_are_refused(scored, warm, shades, tiny):
    probe = fit(load_dataset(scored, warm, features="scores"))
    probe.feature_spec_ = replace(probe.feature_spec_, score_list="0" * 64)
    for call in (
        lambda: predict(probe, shades, host=tiny),
        lambda: evaluate_stored(probe, scored),
        lambda: [*tag(shades, probes=[probe], host=tiny)],
    ):
        with pytest.raises(SightsoundError, match="the probe needs scores of the class list 000000000000, got "):
            call()
    assert {each.outcome.status for each in predict_stored(probe, scored)} == {"failed"}
    with pytest.raises(SightsoundError, match="expected scores of shape"):
        probe.feature_spec_.rows(np.ones((1, 3), np.float32), np.ones((1, 4), np.float32))
    with pytest.raises(SightsoundError, match="needs the scores of 3 classes, got none; .* --scores"):
        probe.predict_item(np.ones((1, 3), np.float32))


def test_background_has_the_same_features(scored, warm):
    data = load_dataset(scored, warm, Labels(background="blue"), features="both")
    assert {rows.shape for rows in data.background} == {(1, data.feature_spec.features)}
    assert fit(data).none_below_ is not None


@pytest.mark.parametrize(("kind", "count"), [("sigmoid", 30), ("softmax", 30), ("softmax", 5)])
def test_the_scores_of_a_file_are_rounded_as_a_library_keeps_them(kind, count):
    scores = np.random.default_rng(0).dirichlet(np.ones(count), 8).astype(np.float32)
    assert scores_as_kept(scores, kind).tolist() == unpack(pack(scores, kind), count).tolist()


def test_a_feature_spec_of_scores_survives_json():
    spec = FeatureSpec(Space("made.tiny", json.dumps({"dim": 2})), pool="mean+max")
    both = spec.using("both", ClassList("two", ("x", "y")))
    assert FeatureSpec.from_json(both.to_json()) == both and both.features == 8
    assert "use" not in spec.to_json() and FeatureSpec.from_json(spec.to_json()) == spec
    for change in ({"score_count": "0"}, {"score_count": "many"}, {"use": "all"}, {"use": "embedding"}):
        with pytest.raises((ValueError, SightsoundError)):
            FeatureSpec.from_json({**both.to_json(), **change})
