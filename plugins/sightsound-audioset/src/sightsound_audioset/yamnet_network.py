"""YAMNet as published (yamnet.py of the model garden): a convolution, 13 separable ones, their mean, a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from torch.nn import functional

import torch
from sightsound.contract.arrays import Floats
from sightsound_audioset.yamnet_int8 import Int8Yamnet
from sightsound_audioset.yamnet_weights import BLOCKS, Layer
from torch import Tensor, nn

_Filled = TypeVar("_Filled", nn.Conv2d, nn.Linear)


class Yamnet(nn.Module):
    """Log-mel patches (n, 96, 64) -> embeddings (n, 1024) and scores (n, 521), the sigmoid of the classifier.

    `layers` are those of `yamnet_weights`. `entry` stands before the first, `product` makes the module of a pointwise
    layer, and the last feature map is in units of `unit`. Arranged for eager torch on a CPU: pointwise convolutions
    are fastest as matrix products on channels last.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        entry: nn.Module | None = None,
        product: Callable[[Layer], nn.Module] | None = None,
        unit: float = 1.0,
    ) -> None:
        super().__init__()
        product = product or _pointwise
        *convolutions, classifier = layers
        strides = [2] + [stride for _, second in BLOCKS for stride in (second, 1)]
        self.entry = entry or nn.Identity()
        self.body = nn.Sequential()
        channels = 1
        for layer, stride in zip(convolutions, strides):
            pointwise = layer.kernel.ndim == 2
            self.body.append(product(layer) if pointwise else _convolution(layer, channels, stride))
            self.body.append(nn.ReLU(inplace=True) if layer.multiplier is None else _Steps(layer.multiplier))
            channels = len(layer.kernel)
        self.classifier = _linear(classifier)
        self.unit = unit

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        images = self.entry(patches).unsqueeze(-1).permute(0, 3, 1, 2)  # one channel, channels last
        embeddings = self.body(images).mean((2, 3)) * self.unit
        return embeddings, torch.sigmoid(self.classifier(embeddings))


def int8(weights: Int8Yamnet, *, instructions: bool) -> Yamnet:
    """The int8 network, number for number; from the mean of the last feature map on nothing is rounded.

    With `instructions` its pointwise layers use the processor's own for int8, else float32: the numbers are the same.
    """
    entry = _Entry(weights.input_scale, weights.input_low, weights.input_high)
    product = _Int8Pointwise if instructions else _pointwise
    return Yamnet(weights.layers, entry=entry, product=product, unit=weights.output_scale)


def has_int8_instructions() -> bool:
    """Whether this processor multiplies int8 several times faster than float32, and torch can tell."""
    known = getattr(torch.cpu, "_is_vnni_supported", None)
    return hasattr(torch, "_int_mm") and known is not None and bool(known())


class _Entry(nn.Module):
    """Real numbers to whole steps between two bounds."""

    def __init__(self, scale: float, low: int, high: int) -> None:
        super().__init__()
        self.scale, self.low, self.high = scale, low, high

    def forward(self, x: Tensor) -> Tensor:
        return (x / self.scale).round_().clamp_(self.low, self.high)


class _Steps(nn.Module):
    """ReLU6 on whole numbers: sums to steps of the layer's output, 0 to 255, half to even as XNNPACK rounds."""

    multiplier: Tensor

    def __init__(self, multiplier: Floats) -> None:
        super().__init__()
        self.register_buffer("multiplier", torch.from_numpy(multiplier)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(self.multiplier).round_().clamp_(0, 255)


class _Pointwise(nn.Linear):
    """A 1 x 1 convolution as a product of matrices."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Int8Pointwise(nn.Module):
    """A 1 x 1 convolution of steps 0 to 255 in int8, about five times as fast as in float32 (Zen 4, one core).

    The instructions want signed numbers: 128 less in every input is 128 times the kernel's sum less in the output.
    """

    kernel: Tensor
    bias: Tensor

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        whole = layer.kernel.astype(np.int64)
        self.register_buffer("kernel", torch.from_numpy(whole.astype(np.int8).T.copy()))
        bias = layer.bias.astype(np.int64) + 128 * whole.sum(axis=1)
        self.register_buffer("bias", torch.from_numpy(bias.astype(np.int32)))

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(-1, channels).sub_(128).to(torch.int8)  # nobody needs x any more
        sums = torch._int_mm(rows, self.kernel).add_(self.bias)
        return sums.float().view(n, height, width, -1).permute(0, 3, 1, 2)


def _pointwise(layer: Layer) -> nn.Module:
    return _linear(layer, _Pointwise)


def _linear(layer: Layer, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    out, into = layer.kernel.shape
    return _filled(kind(into, out), torch.from_numpy(layer.kernel), layer.bias)


def _convolution(layer: Layer, channels: int, stride: int) -> nn.Conv2d:
    """A 3 x 3 convolution, depthwise but for the first, padded as TensorFlow's SAME on sides of even length.

    With stride 2 that pads only below and on the right. A 4 x 4 kernel whose first row and column are zero, padded
    by one on all sides, is the same and saves a copy of the feature map.
    """
    out, kernel = len(layer.kernel), torch.from_numpy(layer.kernel)
    if stride == 2:
        kernel = functional.pad(kernel, (1, 0, 1, 0))
    convolution = nn.Conv2d(channels, out, kernel.shape[2], stride, padding=1, groups=channels)
    return _filled(convolution, kernel, layer.bias)


def _filled(module: _Filled, kernel: Tensor, bias: Floats) -> _Filled:
    module.weight, module.bias = nn.Parameter(kernel), nn.Parameter(torch.from_numpy(bias))
    return module
