"""YAMNet as published (yamnet.py of the model garden): a convolution, 13 separable ones, their mean, a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from sightsound.types import Floats
from sightsound_audioset.yamnet_int8 import Int8Yamnet
from sightsound_audioset.yamnet_weights import BLOCKS, Layer

_Filled = TypeVar("_Filled", nn.Conv2d, nn.Linear)


class Yamnet(nn.Module):
    """Log-mel patches (n, 96, 64) -> embeddings (n, 1024) and scores (n, 521), the sigmoid of the classifier.

    `layers` are those of `yamnet_weights`. `entry` stands before the first, and the last feature map is in units of
    `unit`. Arranged for eager torch on a CPU: pointwise convolutions are fastest as matrix products on channels last.
    """

    def __init__(self, layers: Sequence[Layer], *, entry: nn.Module | None = None, unit: float = 1.0) -> None:
        super().__init__()
        *convolutions, classifier = layers
        strides = [2] + [stride for _, second in BLOCKS for stride in (second, 1)]
        self.entry = entry or nn.Identity()
        self.body = nn.Sequential()
        channels = 1
        for layer, stride in zip(convolutions, strides):
            pointwise = layer.kernel.ndim == 2
            self.body.append(_linear(layer, _Pointwise) if pointwise else _convolution(layer, channels, stride))
            self.body.append(nn.ReLU(inplace=True) if layer.multiplier is None else _Steps(layer.multiplier))
            channels = len(layer.kernel)
        self.classifier = _linear(classifier)
        self.unit = unit

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        images = self.entry(patches).unsqueeze(-1).permute(0, 3, 1, 2)  # one channel, channels last
        embeddings = self.body(images).mean((2, 3)) * self.unit
        return embeddings, torch.sigmoid(self.classifier(embeddings))


def int8(weights: Int8Yamnet) -> Yamnet:
    """The int8 network in float32, number for number; from the mean of the last feature map on nothing is rounded."""
    entry = _Entry(weights.input_scale, weights.input_low, weights.input_high)
    return Yamnet(weights.layers, entry=entry, unit=weights.output_scale)


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
