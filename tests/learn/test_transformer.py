"""Embeddings as a step of a scikit-learn pipeline."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags

import made
from sightsound import EmbeddingTransformer, Host, SightsoundError, embed
from sightsound.linear.validation import BadInput


@pytest.fixture
def paths(shades):
    return sorted(str(path) for path in shades.glob("*/*.png"))


def classes(paths):
    return [os.path.basename(os.path.dirname(path)) for path in paths]


def test_a_pipeline_is_fitted_to_paths(tiny, paths):
    pipe = make_pipeline(EmbeddingTransformer("colours.tiny", host=tiny), LogisticRegression())
    assert pipe.fit(paths, classes(paths)).score(paths, classes(paths)) > 0.8
    assert cross_val_score(pipe, paths, classes(paths), cv=3).mean() > 0.6


def test_rows_are_those_of_embed(tiny, paths):
    rows = EmbeddingTransformer("colours.tiny", host=tiny).fit_transform(paths)
    assert rows.dtype == np.float32 and (rows == embed(paths, "colours.tiny", host=tiny).matrix()).all()


def test_paths_can_be_a_column(tiny, paths):
    step = EmbeddingTransformer("colours.tiny", host=tiny)
    assert (step.fit_transform(np.array(paths)[:, None]) == step.transform(paths)).all()


def test_each_file_is_embedded_once_until_it_changes(tiny, paths):
    seen = []

    def counted(inner, inputs):
        seen.append(len(inputs))
        return inner.embed(inputs)

    name = made.register_variant(tiny, "counted.tiny", embed=counted)
    step = EmbeddingTransformer(name, host=tiny)
    cross_val_score(make_pipeline(step, LogisticRegression()), paths, classes(paths), cv=3)
    assert sum(seen) == len(paths)
    before = step.transform(paths[:1])
    made.write_shade(Path(paths[0]), 1, 999)
    assert (step.transform(paths[:1]) != before).any() and sum(seen) == len(paths) + 1
    EmbeddingTransformer(name, host=tiny, cache=False).transform(paths)
    assert sum(seen) == 2 * len(paths) + 1


@pytest.mark.parametrize(("pool", "count"), [("mean", 17), ("max", 17), ("mean+std", 34)])
def test_the_windows_of_sounds_are_pooled(tiny, tmp_path, pool, count):
    files = [made.write_rhythm(tmp_path / f"{i}.wav", i) for i in range(2)]
    assert EmbeddingTransformer("loudness.tiny", pool=pool, host=tiny).fit_transform(files).shape == (2, count)


def test_parameters_can_be_searched_and_cloned(tiny, paths):
    pipe = make_pipeline(EmbeddingTransformer("colours.tiny", host=tiny), LogisticRegression())
    found = GridSearchCV(pipe, {"logisticregression__C": [0.1, 10.0]}, cv=2).fit(paths, classes(paths))
    assert found.best_score_ > 0.5
    assert clone(EmbeddingTransformer("a.b", pool="max")).get_params() == {
        "model": "a.b",
        "pool": "max",
        "device": "auto",
        "cache": True,
        "host": None,
    }


def test_values_that_are_not_paths_and_files_that_cannot_be_embedded_are_refused(tiny, tmp_path):
    step = EmbeddingTransformer("colours.tiny", host=tiny)
    with pytest.raises(BadInput, match=r"X: expected paths of files \(n,\), got ndarray of shape \(2, 2\)"):
        step.fit(np.zeros((2, 2)))
    with pytest.raises(SightsoundError, match=r"none.png: cannot be read \(No such file or directory\); name a file"):
        step.transform([str(tmp_path / "none.png")])
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.warns(UserWarning, match="a.png: not-media"), pytest.raises(SightsoundError, match="a.png"):
        step.transform([str(tmp_path / "a.png")])


def test_it_is_a_transformer_of_scikit_learn():
    step = EmbeddingTransformer("a.b", pool="max")
    assert isinstance(step, BaseEstimator) and isinstance(step, TransformerMixin)
    assert get_tags(step).input_tags.string and not get_tags(step).input_tags.two_d_array
    assert repr(step) == "EmbeddingTransformer(model='a.b', pool='max')"
    with pytest.raises(ValueError, match="Invalid parameter 'layer' for estimator EmbeddingTransformer"):
        step.set_params(layer="x")


def test_hosts_do_not_share_cached_rows(tiny, paths):
    import sightsound_tiny

    def negative(inner, output):
        return -inner.postprocess(output)

    other = Host(installed=False)
    other.register(sightsound_tiny, "tiny")
    for host, options in ((tiny, {}), (other, {"postprocess": negative})):
        made.register_variant(host, "same.tiny", **options)
    first, second = (EmbeddingTransformer("same.tiny", host=host).fit_transform(paths[:2]) for host in (tiny, other))
    assert first.any() and (first == -second).all()


def test_a_network_that_changed_is_not_taken_from_the_cache(paths, monkeypatch):
    """A transformer without a host makes one for each call, which finds the network that is installed by then."""
    import sightsound_tiny

    def installed(revision):
        host = Host(installed=False)
        host.register(sightsound_tiny, "tiny")
        stages = {"postprocess": lambda inner, output: revision * inner.postprocess(output)}
        made.register_variant(host, "changing.tiny", facts={"revision": revision}, **stages)
        monkeypatch.setattr("sightsound.learn.transformer.Host", lambda: host)

    step = EmbeddingTransformer("changing.tiny")
    installed(1)
    first = step.fit_transform(paths[:2])
    installed(2)
    assert first.any() and (step.fit_transform(paths[:2]) == 2 * first).all()
