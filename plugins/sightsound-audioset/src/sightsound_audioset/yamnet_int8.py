"""Read the int8 TFLite build of YAMNet, so that it can be computed exactly without TFLite.

The build works with whole numbers between layers: activations are 0 to 255 times one scale per layer (6 / 255 or less,
because of ReLU6), weights are -127 to 127. No sum of products reaches 2^24, so float32 adds them without rounding, in
any order. One multiplication and one rounding per activation then give exactly the numbers of TFLite's kernels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Floats
from sightsound_audioset.yamnet_weights import Layer, checked, float32_layer, wrong_file

LARGEST_SUM = 2**24
"""From here on float32 cannot represent every whole number."""


@dataclass(frozen=True)
class Int8Yamnet:
    """YAMNet in whole numbers.

    Attributes
    ----------
    layers : tuple of Layer
        All layers. The classifier, the last one, has real weights; the others have whole numbers.
    input_scale : float
        A log-mel value x becomes round(x * reciprocal(input_scale)).
    input_low, input_high : int
        Bounds that this is clipped to.
    output_scale : float
        A value of the last feature map is a whole number times this.
    """

    layers: tuple[Layer, ...]
    input_scale: float
    input_low: int
    input_high: int
    output_scale: float


def reciprocal(scale: float) -> np.float32:
    """Return 1 / scale as float32, the factor that XNNPACK's kernels multiply real numbers with."""
    return np.float32(1) / np.float32(scale)


def read_tflite(path: Path) -> Int8Yamnet:
    """Read the file. Raises `SightsoundError` if it is not a TFLite model with the layers of YAMNet in int8."""
    from tflite import Model

    content = path.read_bytes()
    try:
        if not Model.ModelBufferHasIdentifier(content, 0):
            raise ValueError("another format")
        model = Model.GetRootAs(content)
        graph = model.Subgraphs(0)
        steps = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        *convolutions, classifier = [step for step in steps if _has_int8_weights(model, graph, step)]
        layers = [_int8_layer(model, graph, step) for step in convolutions]
        first, last = graph.Tensors(convolutions[0].Inputs(0)), graph.Tensors(convolutions[-1].Outputs(0))
        zero = _zero_point(first)
        return Int8Yamnet(
            layers=checked(path, [*layers, _real_layer(model, graph, classifier)]),
            input_scale=float(_scales(first)[0]),
            input_low=-128 - zero,
            input_high=127 - zero,
            output_scale=float(_scales(last)[0]),
        )
    except (ValueError, TypeError, AttributeError, IndexError, struct.error) as error:
        raise wrong_file(path, "the int8 TFLite build of YAMNet", error) from error


def _has_int8_weights(model: Any, graph: Any, step: Any) -> bool:
    from tflite import BuiltinOperator, TensorType

    code = model.OperatorCodes(step.OpcodeIndex())
    layers = (BuiltinOperator.CONV_2D, BuiltinOperator.DEPTHWISE_CONV_2D, BuiltinOperator.FULLY_CONNECTED)
    # older writers use only the deprecated field, newer ones fill both
    known = max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) in layers
    return known and graph.Tensors(step.Inputs(1)).Type() == TensorType.INT8


def _int8_layer(model: Any, graph: Any, step: Any) -> Layer:
    """Return a convolution in whole numbers. Raises `ValueError` if float32 would not give TFLite's numbers."""
    source, weights, out = graph.Tensors(step.Inputs(0)), graph.Tensors(step.Inputs(1)), graph.Tensors(step.Outputs(0))
    kernel = _torch_order(_values(model, weights, "<i1"))
    bias = _values(model, graph.Tensors(step.Inputs(2)), "<i4")
    if _zero_point(out) != -128 or _scales(out)[0] * 255 > 6.0001 or np.any(_zero_points(weights)):
        raise ValueError("activations that are not 0 to 255 steps up to 6, or weights that are not symmetric")
    sums = 255 * np.abs(kernel.astype(np.int64)).reshape(len(kernel), -1).sum(axis=1) + np.abs(bias.astype(np.int64))
    if sums.max() >= LARGEST_SUM:
        raise ValueError("sums of 2^24 or more")
    # in float32 and in this order, as TFLite's XNNPACK kernels compute it
    return float32_layer(kernel, bias, _scales(source) * _scales(weights) / _scales(out))


def _real_layer(model: Any, graph: Any, step: Any) -> Layer:
    """Return a layer in real numbers: whole numbers times their scales."""
    weights, bias = graph.Tensors(step.Inputs(1)), graph.Tensors(step.Inputs(2))
    kernel = _torch_order(_values(model, weights, "<i1"))
    scale = _scales(weights).astype(np.float64)[:, np.newaxis]
    return float32_layer(kernel * scale, _values(model, bias, "<i4") * _scales(bias).astype(np.float64))


def _torch_order(kernel: NDArray[Any]) -> NDArray[Any]:
    """Return a kernel with the axes out, in / groups[, height, width] for one in TFLite's order."""
    if kernel.ndim == 2:  # fully connected: out, in
        return kernel
    if kernel.shape[1:3] == (1, 1):  # pointwise: out, 1, 1, in
        return kernel[:, 0, 0, :]
    if kernel.shape[3] == 1:  # the first convolution: out, height, width, in
        return kernel.transpose(0, 3, 1, 2)
    return kernel.transpose(3, 0, 1, 2)  # depthwise: 1, height, width, channel


def _values(model: Any, tensor: Any, dtype: str) -> NDArray[Any]:
    values: NDArray[Any] = model.Buffers(tensor.Buffer()).DataAsNumpy()
    return values.view(dtype).reshape(tensor.ShapeAsNumpy())


def _scales(tensor: Any) -> Floats:
    return np.asarray(tensor.Quantization().ScaleAsNumpy(), np.float32)


def _zero_points(tensor: Any) -> NDArray[np.int64]:
    return np.asarray(tensor.Quantization().ZeroPointAsNumpy(), np.int64)


def _zero_point(tensor: Any) -> int:
    return int(_zero_points(tensor)[0])
