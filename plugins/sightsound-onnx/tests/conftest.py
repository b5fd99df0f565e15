"""Small networks with seeded weights, written as ONNX by the onnx package, and hosts that import them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

import sightsound_onnx
from sightsound import Host
from sightsound_onnx import tflite

OPSET = 17


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """An empty folder of models."""
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def host(models) -> Host:
    """A host with this plugin alone."""
    host = Host(installed=False)
    host.register(sightsound_onnx, "onnx")
    host.register(tflite, "tflite")
    return host


class Nodes:
    """Collects the nodes and the seeded weights of a graph."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def weight(self, name: str, *shape: int) -> str:
        values = self.random.normal(size=shape) / np.sqrt(max(np.prod(shape[1:]), 1))
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(self, kind: str, given: list[str], result: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, given, [result], **attributes))
        return result

    def write(self, file, inputs, outputs, *, opset=OPSET, metadata=None) -> Path:
        """Write a graph; inputs and outputs are (name, shape) or (name, shape, type)."""
        infos = [
            [
                helper.make_tensor_value_info(name, kind[0] if kind else TensorProto.FLOAT, shape)
                for name, shape, *kind in each
            ]
            for each in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, "network", *infos, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        save_model(model, file)
        return Path(file)


@pytest.fixture
def nodes() -> Callable[[int], Nodes]:
    return Nodes


@pytest.fixture
def image_network() -> Callable[..., Path]:
    """Writes a classifier of images of 32 x 32 pixels: `maps` (n, 8, 16, 16), `pooled` (n, 8), 3 classes."""

    def write(file, *, batch="n", side=32, last="Softmax", channels_last=False, seed=0, dtype=None, **more):
        found, given = Nodes(seed), "input"
        if dtype:
            given = found.add("Cast", [given], "as_float", to=TensorProto.FLOAT)
        if channels_last:
            given = found.add("Transpose", [given], "transposed", perm=[0, 3, 1, 2])
        weights = [found.weight("kernel", 8, 3, 3, 3), found.weight("kernel_bias", 8)]
        found.add("Conv", [given, *weights], "convolved", strides=[2, 2], pads=[1, 1, 1, 1])
        found.add("Relu", ["convolved"], "maps")
        found.add("GlobalAveragePool", ["maps"], "pooled_maps")
        found.add("Flatten", ["pooled_maps"], "pooled")
        found.add("Gemm", ["pooled", found.weight("head", 8, 3), found.weight("head_bias", 3)], "logits")
        found.add(last, ["logits"], "scores")
        shape = [batch, side, side, 3] if channels_last else [batch, 3, side, side]
        return found.write(file, [("input", shape, dtype or TensorProto.FLOAT)], [("scores", [batch, 3])], **more)

    return write
