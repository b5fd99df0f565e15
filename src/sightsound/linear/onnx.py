"""A probe as an ONNX graph, for programs without Python. Needs the extra `onnx`."""

from __future__ import annotations

import json
import os
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

from sightsound._atomic import atomic_path
from sightsound.contract.errors import SightsoundError
from sightsound.linear.probe import LinearProbe

OPSET = 17


def export(probe: LinearProbe, file: str | os.PathLike[str]) -> None:
    """Writes a graph `vectors` float32 (n, d) -> `decisions` float32 (n, k), `probabilities` float32 (n, k), and for
    one class a row `label` int64 (n,), the place in `classes`, which its metadata have as JSON beside the space.

    Raises `SightsoundError` where the package onnx is missing, or the file cannot be written.
    """
    if find_spec("onnx") is None:
        raise SightsoundError("onnx is not installed; run `pip install sightsound[onnx]`")
    from onnx import TensorProto, checker, helper, numpy_helper

    coef, intercept = probe.columns()
    numbers = {"coef": coef, "intercept": intercept, "temperature": np.array(probe.temperature_)}
    given = [numpy_helper.from_array(value.astype(np.float64), name) for name, value in numbers.items()]
    nodes = [
        helper.make_node("Cast", ["vectors"], ["exact"], to=TensorProto.DOUBLE),
        helper.make_node("Gemm", ["exact", "coef", "intercept"], ["decided"]),
        helper.make_node("Div", ["decided", "temperature"], ["scaled"]),
        helper.make_node("Softmax" if probe.single else "Sigmoid", ["scaled"], ["likely"]),
        helper.make_node("Cast", ["decided"], ["decisions"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["likely"], ["probabilities"], to=TensorProto.FLOAT),
    ]
    count, features = coef.shape[1], coef.shape[0]
    floats: Any = TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info(name, floats, ["n", count]) for name in ("decisions", "probabilities")]
    if probe.single:
        nodes.append(helper.make_node("ArgMax", ["decisions"], ["label"], axis=1, keepdims=0))
        outputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    inputs = [helper.make_tensor_value_info("vectors", floats, ["n", features])]
    graph = helper.make_graph(nodes, "probe", inputs, outputs, given)
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="sightsound")
    model.producer_version = metadata.version("sightsound")
    helper.set_model_props(model, _facts(probe))
    checker.check_model(model)
    with atomic_path(file) as part:
        part.write_bytes(model.SerializeToString())


def _facts(probe: LinearProbe) -> dict[str, str]:
    found = {"classes": json.dumps([str(label) for label in probe.classes_])}
    if probe.feature_spec_ is not None:
        origin = probe.feature_spec_
        found |= {"space": origin.space.name, "fingerprint": origin.space.fingerprint}
        found |= {"level": origin.level, "pool": origin.pool}
    return found
