"""The int8 network of YAMNet as a graph of OpenVINO with the numbers of the network in torch.

OpenVINO computes a convolution in int8 if its inputs come from a FakeQuantize and its weights are int8 constants that
are converted and multiplied. What follows the sum of products is computed in float32, and its order decides how numbers
are rounded. Here it is that of TFLite's XNNPACK kernels: the whole bias is added to the whole sum, which is exact, then
comes one multiplication and one rounding, half to even. In the usual form the bias is multiplied on its own, so that
other numbers are rounded; one whole number that differs early in the network costs up to 0.002 of the cosine.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13

from sightsound.plugin import LinearHead
from sightsound_audioset.yamnet_int8 import Int8Yamnet, reciprocal
from sightsound_audioset.yamnet_weights import BLOCKS, Layer, float32_layer

op: Any = opset13  # the functions of the operators have no types that hold for nodes and their outputs alike

_SMALLEST_DISTANCE = 1e-6
"""Distance from the centre of a head below which a row of length 1 has no direction; as in `LinearHead`."""

SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,
}
"""With these a graph is compiled: without the first OpenVINO may compute what is not int8 in bf16."""


def int8_model(weights: Int8Yamnet, head: LinearHead | None = None, *, int8: bool = True) -> openvino.Model:
    """Return the int8 network as a graph: `input` to `embedding`, and to `scores` if there is a head.

    Parameters
    ----------
    weights : Int8Yamnet
        The network, as `yamnet_int8.read_tflite` reads it.
    head : LinearHead, optional
        What gives the scores of embeddings; computed in float32. The last layer of `weights` is not used otherwise.
    int8 : bool
        Whether the convolutions are such that OpenVINO computes them in int8. Otherwise they are in float32, with the
        same numbers; see `adds_exactly`.

    Returns
    -------
    openvino.Model
        From `input`, float32 (n, 96, 64), to `embedding`, float32 (n, 1024), and `scores`, float32 (n, classes). The
        number of inputs n is not set: `reshape([n, 96, 64])` sets it. If the graph is saved, its numbers must not be
        compressed to float16.
    """
    patches = op.parameter([-1, 96, 64], np.float32, name="input")
    patches.output(0).set_names({"input"})
    x = op.unsqueeze(patches, op.constant(np.int64(1)))
    x = op.round(op.multiply(x, _numbers(reciprocal(weights.input_scale))), "half_to_even")
    x = _clipped(x, weights.input_low, weights.input_high, int8)
    strides = [2] + [stride for _, second in BLOCKS for stride in (second, 1)]
    for layer, stride in zip(weights.layers[:-1], strides):
        # ReLU changes nothing: negative numbers become 0 in any case. But OpenVINO does not multiply before it
        x = op.relu(op.add(_convolution(x, layer, stride, int8), _numbers(layer.bias, channels=True)))
        assert layer.multiplier is not None
        x = op.round(op.multiply(x, _numbers(layer.multiplier, channels=True)), "half_to_even")
        x = _clipped(x, 0, 255, int8)
    mean = op.reduce_mean(x, op.constant(np.array([2, 3], np.int64)), False)
    results = {"embedding": op.multiply(mean, _numbers(weights.output_scale))}
    if head is not None:
        results["scores"] = _scores(results["embedding"], head)
    for name, node in results.items():
        node.output(0).set_names({name})
    return openvino.Model([op.result(node) for node in results.values()], [patches], "yamnet")


@cache
def adds_exactly() -> bool:
    """Return whether this processor adds the products of int8 numbers without loss, as OpenVINO uses it.

    Instructions older than VNNI add pairs of products in int16, where large ones saturate. This is tried with three
    layers of the largest weights, whose inputs are spread over all 256 values.
    """
    random = np.random.default_rng(0)
    layers = []
    for shape in ((64, 1, 3, 3), (64, 1, 3, 3), (64, 64)):
        kernel = random.choice([-127, 127], shape)
        multiplier = np.full(64, 1 / (127 * np.sqrt(kernel[0].size)), np.float32)
        layers.append(float32_layer(kernel, np.zeros(64), multiplier))
    probe = Int8Yamnet((*layers, layers[-1]), input_scale=1.0, input_low=-144, input_high=111, output_scale=1.0)
    patches = random.uniform(-144, 111, (2, 96, 64)).astype(np.float32)
    exact, found = (compiled(int8_model(probe, int8=int8), 2)(patches)[0] for int8 in (False, True))
    return bool(np.array_equal(exact, found))


def compiled(model: openvino.Model, count: int) -> openvino.CompiledModel:
    """Return a graph compiled for one core of the processor and a number of inputs."""
    model.reshape([count, 96, 64])
    return openvino.Core().compile_model(model, "CPU", SETTINGS)


def _convolution(x: Any, layer: Layer, stride: int, int8: bool) -> Any:
    """Return the sums of products, padded as TensorFlow's SAME for even sizes."""
    pointwise = layer.kernel.ndim == 2
    kernel = layer.kernel[:, :, np.newaxis, np.newaxis] if pointwise else layer.kernel
    depthwise = not pointwise and x.get_output_partial_shape(0)[1].get_length() > 1
    kernel = kernel[:, np.newaxis] if depthwise else kernel  # groups, out / groups, in / groups, height, width
    # multiplied by 1, or OpenVINO would make float32 numbers of the constant
    numbers = op.multiply(op.convert(op.constant(kernel.astype(np.int8)), "f32"), _numbers(1.0))
    before, after = (0 if pointwise or stride == 2 else 1), (0 if pointwise else 1)
    kind = op.group_convolution if depthwise else op.convolution
    return kind(x, numbers if int8 else _numbers(kernel), [stride] * 2, [before] * 2, [after] * 2, [1, 1])


def _clipped(x: Any, low: int, high: int, int8: bool) -> Any:
    """Return whole numbers clipped to 256 values; for int8 so that OpenVINO keeps them in a byte."""
    if not int8:
        return op.clamp(x, float(low), float(high))
    bounds = _numbers(low), _numbers(high)
    return op.fake_quantize(x, *bounds, *bounds, 256)


def _scores(rows: Any, head: LinearHead) -> Any:
    """Return the scores of rows (n, d), as `LinearHead` computes them."""
    x = op.concat([rows] * head.copies, 1) if head.copies > 1 else rows
    if head.sqrt:
        x = op.multiply(op.sign(x), op.sqrt(op.abs(x)))
    if head.unit:
        x = _unit(x, float(np.finfo(np.float32).tiny))
    if head.centre is not None:
        x = _unit(op.subtract(x, _numbers(head.centre[np.newaxis])), _SMALLEST_DISTANCE)
    logits = op.add(op.matmul(x, _numbers(head.weight), False, True), _numbers(head.bias[np.newaxis]))
    return op.softmax(logits, 1) if head.kind == "softmax" else op.sigmoid(logits)


def _unit(rows: Any, least: float) -> Any:
    """Return rows divided by their length, or by `least` if they are shorter."""
    length = op.reduce_l2(rows, op.constant(np.array([1], np.int64)), True)
    return op.divide(rows, op.maximum(length, _numbers(least)))


def _numbers(values: float | np.float32 | NDArray[Any], *, channels: bool = False) -> Any:
    """Return float32 constants; one for each channel has the shape (1, channels, 1, 1)."""
    array = np.asarray(values, np.float32)
    return op.constant(array.reshape(1, -1, 1, 1) if channels else array)
