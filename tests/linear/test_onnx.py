"""A probe as an ONNX graph, run by the reference implementation of ONNX."""

from __future__ import annotations

import json

import numpy as np
import pytest

from linear_data import rows
from sightsound import ClassList, LinearProbe, SightsoundError, Space, export_onnx, load_probe
from sightsound.linear.features import FeatureSpec


@pytest.mark.parametrize("kind", ["classes", "two", "several", "few"])
def test_an_exported_probe_gives_the_same_answers(tmp_path, kind):
    onnx = pytest.importorskip("onnx", reason="needs the extra export")
    from onnx.reference import ReferenceEvaluator

    X, y = rows(n=30 if kind == "few" else 120, k=2 if kind == "two" else 3, noise=3.0)
    probe = LinearProbe().fit(X, np.stack([y == "ape", X[:, 0] > 0], axis=1) if kind == "several" else y)
    probe.save(tmp_path / "a.probe")
    export_onnx(load_probe(tmp_path / "a.probe"), tmp_path / "a.onnx")
    graph = ReferenceEvaluator(str(tmp_path / "a.onnx"))
    found = dict(zip(("decisions", "probabilities", "label"), graph.run(None, {"vectors": X})))
    assert found["probabilities"] == pytest.approx(probe.predict_proba(X), abs=1e-4)
    if kind != "several":
        assert (probe.classes_[found["label"]] == probe.predict(X)).mean() > 0.99
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "a.onnx").metadata_props}
    assert json.loads(properties["classes"]) == [str(name) for name in probe.classes_]


@pytest.mark.parametrize("use", ["embedding", "both"])
def test_the_graph_takes_rows_and_names_what_they_are_made_of(tmp_path, use):
    onnx = pytest.importorskip("onnx", reason="needs the extra export")
    X, y = rows(n=60, k=2)
    probe, names = LinearProbe(C=1.0).fit(X, y), ClassList("names", ("x", "y"))
    dim = X.shape[1] - (2 if use == "both" else 0)
    spec = FeatureSpec(Space("made.tiny", json.dumps({"dim": dim})))
    probe.feature_spec_ = spec.using(use, names)
    export_onnx(probe, tmp_path / "a.onnx")
    graph = onnx.load(tmp_path / "a.onnx")
    properties = {entry.key: entry.value for entry in graph.metadata_props}
    assert properties["use"] == use and properties.get("score_list", "") == probe.feature_spec_.score_list
    assert graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value == probe.feature_spec_.features


def test_without_the_package_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr("sightsound.linear.onnx.find_spec", lambda name: None)
    X, y = rows()
    with pytest.raises(SightsoundError, match="onnx is not installed; run `pip install sightsound"):
        export_onnx(LinearProbe(C=1.0).fit(X, y), tmp_path / "a.onnx")
