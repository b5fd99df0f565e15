"""Probes, stacks and scikit-learn's pipelines on real photographs with real weights."""

from __future__ import annotations

import functools
import json
import os

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sightsound import EmbeddingTransformer

MODELS = ("tf_efficientnet_lite0.in1k", "mobilenet_v2.tv_in1k", "tf_efficientnet_lite1.in1k")


@pytest.fixture(scope="module")
def pictures(shared):
    """Six photographs of each of ten classes of Imagenette."""
    folders = sorted((shared / "data" / "imagenette" / "train").iterdir())
    return [str(path) for folder in folders for path in sorted(folder.iterdir())[:6]]


@pytest.fixture
def run(command):
    """The command line with the plugins that are installed."""
    return functools.partial(command, plugins=())


def test_scikit_learn_learns_from_paths(pictures):
    y = [os.path.basename(os.path.dirname(path)) for path in pictures]
    pipe = make_pipeline(EmbeddingTransformer("tf_efficientnet_lite0.in1k"), LogisticRegression())
    assert cross_val_score(pipe, pictures, y, cv=2).mean() > 0.9


@pytest.mark.slow
def test_three_networks_are_compared_stacked_and_asked(pictures, run, tmp_path):
    for path in pictures:
        place = tmp_path / "some" / os.path.basename(os.path.dirname(path)) / os.path.basename(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, place) if os.stat(path).st_dev == os.stat(tmp_path).st_dev else place.symlink_to(path)
    models = [word for model in MODELS for word in ("-m", model)]
    done = run("index", tmp_path / "some", "-l", tmp_path / "lib", "--label-from", "folder", *models)
    assert done.returncode == 0, done.stderr
    done = run("stack", "-l", tmp_path / "lib", "-o", tmp_path / "s.probe", "--plot", tmp_path / "s.png", "--json")
    assert done.returncode == 0, done.stderr
    rivals = {rival["name"]: rival for rival in json.loads(done.stdout)}
    assert set(MODELS) < set(rivals) and len(rivals) == 6
    stack = rivals["stack (svm on concatenated)"]
    assert stack["accuracy"]["value"] > 0.9 and stack["gain"] > -8
    assert stack["milliseconds"] == pytest.approx(sum(rivals[model]["milliseconds"] for model in MODELS))
    said = run("probe", "predict", tmp_path / "s.probe", pictures[0])
    assert said.returncode == 0 and os.path.basename(os.path.dirname(pictures[0])) in said.stdout
    assert "Stack() on items of" in run("probe", "show", tmp_path / "s.probe").stdout
    refused = run("probe", "export", tmp_path / "s.probe", "-o", tmp_path / "s.onnx")
    assert refused.returncode == 2 and "expected a probe, got a stack" in refused.stderr
