"""The runtime `onnx`: the numbers of torch, a file that is found again, and the faster of two runtimes."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from sightsound import ClassList, Host, ModelSettings, hookimpl
from sightsound.host.compiler import difference, example_inputs
from sightsound.plugin import Inputs, LinearHead
from sightsound.torch import TorchEmbedder

pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
import sightsound_onnx
from sightsound_onnx.runtime import OnnxRuntime

SIZE = 64
CARD = ModelSettings(name="small.test", size=(SIZE, SIZE), mean=(0.5,), std=(0.25,)).card(
    dim=24, input_shape=(3, SIZE, SIZE), constants={"seed": 0}
)

CARD = dataclasses.replace(CARD, params=1000)


class Small(TorchEmbedder):
    def __init__(self, card, device):
        super().__init__(card, device, cpu_batch_size=4)
        self.preprocess = Inputs(card)
        self.built = 0

    def build(self):
        self.built += 1
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 24, 3), nn.BatchNorm2d(24), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(24, 24))

    def postprocess(self, output):
        return output.embeddings


class Networks:
    def __init__(self):
        self.loaded = []

    @hookimpl
    def register_embedders(self, register):
        def load(device, weights):
            self.loaded.append(Small(CARD, device))
            return self.loaded[-1]

        register(CARD, load)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("SIGHTSOUND_RUNTIME", "SIGHTSOUND_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache" / "sightsound" / "compiled"


@pytest.fixture
def host(cache):
    def new(*plugins, **options):
        found = Host(installed=False, **options)
        found.networks = Networks()
        found.register(found.networks, "networks")
        for plugin in plugins or (sightsound_onnx,):
            found.register(plugin, plugin.__name__)
        return found

    return new


@pytest.mark.parametrize("count", [1, 2, 5])
def test_rows_are_those_of_torch(host, count):
    ours, plain = host().load("small.test", "cpu"), host(runtime="none").load("small.test", "cpu")
    assert (ours.execution.runtime, ours.space) == ("onnx", plain.space)
    inputs = np.resize(example_inputs(plain.embedder), (count, *CARD.input_shape))
    apart = difference(plain.embed(inputs.copy()), ours.embed(inputs.copy()))
    assert apart.rows < 1e-6 and apart.lengths < 1e-5


def test_a_network_is_written_once_and_a_damaged_file_again(host, cache):
    first = host()
    inputs = example_inputs(first.load("small.test", "cpu").embedder)
    rows = first.load("small.test", "cpu").embed(inputs).embeddings
    again = host()
    assert np.array_equal(again.load("small.test", "cpu").embed(inputs).embeddings, rows)
    assert sum(each.built for each in again.networks.loaded) == 0
    (file,) = cache.rglob("network.onnx")
    for content in (b"", b"damaged", file.read_bytes()[:1000]):
        file.write_bytes(content)
        assert np.array_equal(host().load("small.test", "cpu").embed(inputs).embeddings, rows)


def test_a_head_that_was_derived_gives_the_scores(host, tmp_path):
    plain, random = host(runtime="none").load("small.test", "cpu").embedder, np.random.default_rng(0)
    head = LinearHead(
        weight=random.normal(size=(3, 24)), bias=random.normal(size=3), kind="sigmoid", labels=tuple("abc")
    )
    card = dataclasses.replace(plain.card, name="mine", classes=ClassList("mine", tuple("abc")), scores="sigmoid")
    derived, inputs = plain.derive(card, None, head), example_inputs(plain)
    compiled = OnnxRuntime().compile(derived, device="cpu", precision="float32", weights={}, cache=tmp_path)
    np.testing.assert_allclose(compiled.embed(inputs).scores, derived.embed(inputs).scores, atol=1e-5)


def test_a_network_that_rounds_to_int8_is_left_to_itself(host, cache):
    class Rounded(Networks):
        @hookimpl
        def register_embedders(self, register):
            def load(device, weights):
                embedder = Small(CARD, device)
                embedder.precision = "int8"
                return embedder

            register(CARD, load)

    found = Host(installed=False, runtime="onnx")
    found.register(Rounded(), "networks")
    found.register(sightsound_onnx, "onnx")
    model = found.load("small.test", "cpu")
    assert len(model.embed(example_inputs(model.embedder)).embeddings) == 4
    assert (model.execution.runtime, model.execution.precision) == ("", "int8")
    assert not list(cache.rglob("network.onnx"))


def test_of_two_runtimes_the_faster_is_used(host, cache):
    openvino = pytest.importorskip("sightsound_openvino", reason="needs the runtime openvino beside this one")
    found = host(sightsound_onnx, openvino).load("small.test", "cpu")
    notes = {file.parent.name.partition("-")[0]: json.loads(file.read_text()) for file in cache.rglob("speed.json")}
    speeds = {name: note["speed"] for name, note in notes.items()}
    assert set(speeds) == {"onnx", "openvino"} and min(speeds.values()) > 0
    fastest = max(speeds, key=speeds.__getitem__)
    assert found.execution.runtime == (fastest if speeds[fastest] > 0.95 else "")
    for name, speed in (("onnx", 30.0), ("openvino", 20.0), ("onnx", 10.0), ("openvino", 0.5), ("onnx", 0.5)):
        (file,) = (each for each in cache.rglob("speed.json") if each.parent.name.startswith(name))
        speeds[name] = speed
        file.write_text(json.dumps({**notes[name], "speed": speed}))
        fastest = max(speeds, key=speeds.__getitem__)
        chosen = host(sightsound_onnx, openvino).load("small.test", "cpu").execution.runtime
        assert chosen == (fastest if speeds[fastest] > 1 else ""), speeds
    assert host(sightsound_onnx, openvino, runtime="onnx").load("small.test", "cpu").execution.runtime == "onnx"
