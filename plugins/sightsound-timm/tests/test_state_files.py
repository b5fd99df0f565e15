"""Networks in safetensors files: exported and imported again they are the same, with a head too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

import sightsound_timm
from seeded_networks import saved, seeded
from sightsound import (
    ClassList,
    FeatureSpec,
    Host,
    LinearProbe,
    ModelSettings,
    export_model,
    import_model,
)
from sightsound.testing import check_model
from sightsound_timm.frameworks import timm, torchvision

RESNET, SMALL = "resnet18.a1_in1k", "squeezenet1_1.tv_in1k"
LARGER = (RESNET, "googlenet.tv_in1k")


@pytest.fixture
def host_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Host]:
    """`host_of(name)`: a host with a network of seeded numbers, and an empty folder of models."""
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))

    def make(name: str) -> Host:
        known = Host(installed=False)
        known.register(sightsound_timm, "timm")
        card, arch = known.card(name), name.partition(".")[0]
        extra = {"transform_input": True, "init_weights": True} if arch == "googlenet" else {}
        of_timm = timm.is_model(name)
        net = seeded(
            lambda: timm.create_model(name) if of_timm else torchvision.models.get_model(arch, weights=None, **extra)
        )
        file = saved(net, tmp_path / f"seeded{Path(card.weights[0].name).suffix}")
        host = Host(installed=False, weights=[f"{card.weights[0].name}={file}"])
        host.register(sightsound_timm, "timm")
        host.reload_models()
        return host

    return make


def image(seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (250, 300, 3), dtype=np.uint8)


def mine(**more: Any) -> ModelSettings:
    return ModelSettings(name="mine", **more)


@pytest.mark.parametrize("name", [SMALL, *(pytest.param(each, marks=pytest.mark.slow) for each in LARGER)])
def test_what_is_exported_is_imported_as_the_same(tmp_path: Path, host_of: Callable[[str], Host], name: str) -> None:
    host = host_of(name)
    assert export_model(name, tmp_path / "net.safetensors", host=host) == [tmp_path / "net.safetensors"]
    card = import_model(tmp_path / "net.safetensors", mine(), host=host)
    base = host.card(name)
    assert (card.classes, card.scores, card.input_shape) == (base.classes, base.scores, base.input_shape)
    parent = {"parent": base.name, "parent_fingerprint": host.space(name).fingerprint}
    assert {**card.constants} == {**base.constants, **parent}
    (_, expected, scores), (_, rows, new_scores) = host.load(name).rows(image()), host.load("mine").rows(image())
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(new_scores, scores, atol=1e-6)


@pytest.mark.slow
def test_a_probe_is_the_head_and_stays_it(tmp_path: Path, host_of: Callable[[str], Host]) -> None:
    host = host_of(RESNET)
    model = host.load(RESNET)
    rows = np.concatenate([model.rows(image(seed))[1] for seed in range(8)])
    rows = np.concatenate([rows + np.float32(0.01) * step for step in range(4)])
    probe = LinearProbe(C=10.0).fit(rows, np.where(rows[:, 0] > np.median(rows[:, 0]), "yes", "no"))
    probe.feature_spec_ = FeatureSpec(model.space)
    export_model(RESNET, tmp_path / "net.safetensors", probe=probe, host=host)
    card = import_model(tmp_path / "net.safetensors", mine(), host=host)
    assert (card.labels, card.scores) == (("no", "yes"), "softmax")
    imported = host.load("mine")
    assert "head.weight" in load_file(tmp_path / "net.safetensors")
    _, found, scores = imported.rows(image(3))
    np.testing.assert_allclose(found, model.rows(image(3))[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores, probe.predict_proba(found), atol=1e-5)

    export_model("mine", tmp_path / "again.safetensors", host=host)
    import_model(tmp_path / "again.safetensors", mine(), replace=True, host=host)
    np.testing.assert_allclose(host.load("mine").rows(image(3))[2], scores, atol=1e-6)


def test_a_derived_network_is_written_with_its_numbers_and_its_head(
    tmp_path: Path, host_of: Callable[[str], Host]
) -> None:
    from sightsound.plugin import ExportedNetwork

    host = host_of(SMALL)
    embedder: Any = host.load(SMALL).embedder
    state = {name: 1.1 * each for name, each in embedder.module().state_dict().items()}
    random = np.random.default_rng(0)
    head = random.normal(size=(2, 512)).astype(np.float32), random.normal(size=2).astype(np.float32)
    constants = {**embedder.card.constants, "parent": SMALL}
    two = ClassList("two", ("a", "b"))
    card = dataclasses.replace(embedder.card, name="tuned.mine", classes=two, constants=constants)
    derived = embedder.derive(card, state, head)
    exporter = host.exporters["safetensors"].exporter
    exporter.write(ExportedNetwork(embedder=derived, settings=None), tmp_path / "net.safetensors")
    import_model(tmp_path / "net.safetensors", mine(), host=host)
    inputs = random.normal(size=(2, 3, 224, 224)).astype(np.float32)
    expected, found = derived.embed(inputs), host.load("mine").embed(inputs)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


@pytest.mark.slow
def test_an_imported_network_conforms(tmp_path: Path, host_of: Callable[[str], Host]) -> None:
    host = host_of(SMALL)
    export_model(SMALL, tmp_path / "net.safetensors", host=host)
    import_model(tmp_path / "net.safetensors", mine(), host=host)
    results = check_model("mine", host=host)
    assert [(each.check, each.reason) for each in results if each.status == "failed"] == []
