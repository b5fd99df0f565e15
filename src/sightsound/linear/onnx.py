"""Export a linear classifier as an ONNX graph, for programs without Python. Needs the extra `export`."""

from __future__ import annotations

import json
import os
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

from sightsound._atomic import atomic_path
from sightsound.contract.errors import SightsoundError
from sightsound.contract.linear_head import ROUNDING
from sightsound.linear.model import LinearModel

OPSET = 17


def export_onnx(model: LinearModel, file: str | os.PathLike[str]) -> None:
    """Write a classifier as an ONNX graph.

    The graph maps `vectors` float32 (n, d) to `decisions` float32 (n, k), `probabilities` float32 (n, k) and, for one
    class a row, `label` int64 (n,): the position in `classes`. The metadata of the graph have `classes` as JSON, and
    the space, its fingerprint, level, pool and use. Where scores are used, `vectors` are rows that `FeatureSpec.rows`
    makes, and `score_list` is the fingerprint of the classes. It computes in float64.

    Parameters
    ----------
    model : LinearModel
        A fitted `LinearProbe`, or what `load_probe` returned.
    file : path
        The file.

    Raises
    ------
    SightsoundError
        Where the package onnx is missing, or the file cannot be written.
    """
    if find_spec("onnx") is None:
        raise SightsoundError("onnx is not installed; run `pip install sightsound[export]`")
    from onnx import checker, helper

    graph = _graph(model)
    opsets = [helper.make_opsetid("", OPSET)]
    exported = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="sightsound")
    exported.producer_version = metadata.version("sightsound")
    helper.set_model_props(exported, _properties(model))
    checker.check_model(exported)
    with atomic_path(file) as part:
        part.write_bytes(exported.SerializeToString())


def _graph(model: LinearModel) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    coef, intercept = model.columns()
    constants = {"coef": coef, "intercept": intercept, "temperature": np.array(model.temperature_)}
    if model.scaling_ in ("unit", "centred"):
        constants["tiny"] = np.array(np.finfo(np.float64).tiny)
    if model.centre_ is not None:
        constants |= {"centre": model.centre_, "rounding": np.array(ROUNDING)}
    preparing, prepared = _prepare(model)
    initializers = [numpy_helper.from_array(value.astype(np.float64), name) for name, value in constants.items()]
    nodes = [
        helper.make_node("Cast", ["vectors"], ["rows"], to=TensorProto.DOUBLE),
        *preparing,
        helper.make_node("Gemm", [prepared, "coef", "intercept"], ["values"]),
        helper.make_node("Div", ["values", "temperature"], ["scaled"]),
        helper.make_node("Softmax" if model.single else "Sigmoid", ["scaled"], ["exact"]),
        helper.make_node("Cast", ["values"], ["decisions"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["exact"], ["probabilities"], to=TensorProto.FLOAT),
    ]
    features, classes = coef.shape
    float32: Any = TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info(name, float32, ["n", classes]) for name in ("decisions", "probabilities")]
    if model.single:
        nodes.append(helper.make_node("ArgMax", ["decisions"], ["label"], axis=1, keepdims=0))
        outputs.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]))
    inputs = [helper.make_tensor_value_info("vectors", float32, ["n", features])]
    return helper.make_graph(nodes, "probe", inputs, outputs, initializers)


def _prepare(model: LinearModel) -> tuple[list[Any], str]:
    """Return the nodes of `Preparation.rows` and `around`, and the name of their result."""
    from onnx import helper

    nodes, rows = [], "rows"
    if model.sqrt_:
        steps = [("Abs", ["rows"], "absolute"), ("Sqrt", ["absolute"], "root"), ("Sign", ["rows"], "sign")]
        steps += [("Mul", ["sign", "root"], "roots")]
        nodes, rows = [helper.make_node(kind, given, [result]) for kind, given, result in steps], "roots"
    if model.scaling_ in ("unit", "centred"):
        nodes += _to_length_1(rows, "unit", "tiny")
        rows = "unit"
    if model.centre_ is not None:
        nodes += [helper.make_node("Sub", [rows, "centre"], ["around"]), *_to_length_1("around", "centred", "rounding")]
        rows = "centred"
    return nodes, rows


def _to_length_1(rows: str, result: str, least: str) -> list[Any]:
    """Return the nodes that divide rows by their lengths, or by the least divisor."""
    from onnx import helper

    length, divisor = f"{result}_length", f"{result}_divisor"
    return [
        helper.make_node("ReduceL2", [rows], [length], axes=[1], keepdims=1),
        helper.make_node("Max", [length, least], [divisor]),
        helper.make_node("Div", [rows, divisor], [result]),
    ]


def _properties(model: LinearModel) -> dict[str, str]:
    properties = {"classes": json.dumps([str(label) for label in model.classes_])}
    if model.feature_spec_ is not None:
        spec = model.feature_spec_
        properties |= {"space": spec.space.name, "fingerprint": spec.space.fingerprint}
        properties |= {"level": spec.level, "pool": spec.pool, "use": spec.use}
        properties |= {"score_list": spec.score_list} if spec.uses_scores else {}
    return properties
