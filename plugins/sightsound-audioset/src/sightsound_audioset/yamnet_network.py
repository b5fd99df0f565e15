"""YAMNet as published (yamnet.py of the TensorFlow model garden), in float32 and in int8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sightsound.plugin import Floats
from sightsound_audioset.yamnet_int8 import Int8Yamnet, reciprocal
from sightsound_audioset.yamnet_weights import BLOCKS, Layer, float32_layer

_Filled = TypeVar("_Filled", nn.Conv2d, nn.Linear)


class Yamnet(nn.Module):
    """YAMNet: a convolution, 13 separable convolutions, the mean over their feature map, a classifier.

    It is arranged for eager torch on a CPU: pointwise convolutions are fastest as matrix products on channels last.

    Parameters
    ----------
    layers : sequence of Layer
        The 28 layers in order, as `yamnet_weights` reads them.
    entry : torch.nn.Module, optional
        Applied to the patches first.
    product : callable, optional
        Returns the module of a pointwise layer; by default one in float32.
    unit : float
        What 1 in the last feature map stands for.
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
            self.body.append(nn.ReLU(inplace=True) if layer.multiplier is None else _RequantizedRelu6(layer.multiplier))
            channels = len(layer.kernel)
        self.classifier = _linear(classifier)
        self.unit = unit

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (n, 1024) and scores (n, 521), the sigmoid of the logits, for patches (n, 96, 64)."""
        images = self.entry(patches).unsqueeze(-1).permute(0, 3, 1, 2)  # one channel, channels last
        embeddings = self.body(images).mean((2, 3)) * self.unit
        return embeddings, torch.sigmoid(self.classifier(embeddings))


def int8_network(weights: Int8Yamnet) -> Yamnet:
    """Return the int8 network with exactly the numbers of TFLite up to the last feature map, in float32.

    The mean and the classifier after it are not rounded here. With gradients, rounding passes them on as they are, so
    that the network can be trained.

    Parameters
    ----------
    weights : Int8Yamnet
        The network, as `yamnet_int8.read_tflite` reads it.
    """
    entry = _Quantize(weights.input_scale, weights.input_low, weights.input_high)
    return Yamnet(weights.layers, entry=entry, unit=weights.output_scale)


def layers_of(network: nn.Module) -> tuple[Layer, ...]:
    """Return the layers of a network of `int8_network`, the classifier last.

    Raises `ValueError` if one is not in whole numbers of int8 any more, for example because it was trained.
    """
    body = network.get_submodule("body")
    assert isinstance(body, nn.Sequential)
    layers = []
    for position in range(0, len(body), 2):
        convolution, relu = body[position], body[position + 1]
        assert isinstance(convolution, nn.Linear | nn.Conv2d) and isinstance(relu, _RequantizedRelu6)
        kernel, bias = _arrays(convolution)
        outside = False
        if kernel.shape[2:] == (4, 4):  # see `_convolution`
            outside = bool(kernel[:, :, 0].any() or kernel[:, :, :, 0].any())
            kernel = kernel[:, :, 1:, 1:]
        if outside or not _is_int8(convolution):
            raise ValueError(f"others in body.{position}")
        layers.append(float32_layer(kernel, bias, relu.multiplier[:, 0, 0].numpy()))
    classifier = network.get_submodule("classifier")
    assert isinstance(classifier, nn.Linear)
    return (*layers, float32_layer(*_arrays(classifier)))


def _arrays(layer: nn.Linear | nn.Conv2d) -> tuple[Floats, Floats]:
    assert layer.bias is not None
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def with_int8_instructions(network: nn.Module) -> nn.Module:
    """Return a network of `int8_network` whose pointwise layers use the int8 instructions of the processor.

    The numbers stay the same. Without such instructions, or if its weights are not whole numbers any more, the network
    stays as it is.
    """
    body = network.get_submodule("body")
    assert isinstance(body, nn.Sequential)
    pointwise = [(position, layer) for position, layer in enumerate(body) if isinstance(layer, _Pointwise)]
    if has_int8_instructions() and all(_is_int8(layer) for _, layer in pointwise):
        for position, layer in pointwise:
            kernel, bias = (tensor.detach().numpy() for tensor in (layer.weight, layer.bias))
            body[position] = _Int8Pointwise(Layer(kernel, bias))
    return network


def _is_int8(layer: nn.Linear | nn.Conv2d) -> bool:
    kernel, bias = _arrays(layer)
    whole = bool((kernel == kernel.round()).all() and (bias == bias.round()).all())
    return whole and float(kernel.min()) >= -128 and float(kernel.max()) <= 127


def has_int8_instructions() -> bool:
    """Return whether this processor has fast instructions for int8 (VNNI) and torch reports them."""
    known = getattr(torch.cpu, "_is_vnni_supported", None)
    return hasattr(torch, "_int_mm") and known is not None and bool(known())


class _Quantize(nn.Module):
    """Quantises real numbers: multiplies by 1 / scale in float32, as XNNPACK does, rounds, and clips to two bounds."""

    def __init__(self, scale: float, low: int, high: int) -> None:
        super().__init__()
        self.factor, self.low, self.high = float(reciprocal(scale)), low, high

    def forward(self, x: Tensor) -> Tensor:
        return _rounded(x * self.factor).clamp(self.low, self.high)


class _RequantizedRelu6(nn.Module):
    """ReLU6 on whole numbers: sums become 0 to 255, rounded half to even as in XNNPACK."""

    multiplier: Tensor

    def __init__(self, multiplier: Floats) -> None:
        super().__init__()
        self.register_buffer("multiplier", torch.from_numpy(multiplier)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return _rounded(x * self.multiplier).clamp(0, 255)
        return x.mul_(self.multiplier).round_().clamp_(0, 255)


def _rounded(x: Tensor) -> Tensor:
    """Return whole numbers, half to even; with gradients, that of the result is passed on as it is."""
    return x + (x.round() - x).detach() if torch.is_grad_enabled() else x.round_()


class _Pointwise(nn.Linear):
    """A 1 x 1 convolution as a matrix product."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Int8Pointwise(nn.Module):
    """A 1 x 1 convolution of inputs 0 to 255 in int8, about five times as fast as in float32 (Zen 4, one core).

    The instructions need signed numbers, so 128 is subtracted from every input. That subtracts 128 times the sum of the
    kernel from every output, which the bias adds again.
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
        rows = x.permute(0, 2, 3, 1).reshape(-1, channels).sub_(128).to(torch.int8)  # x is not needed any more
        sums = torch._int_mm(rows, self.kernel).add_(self.bias)
        return sums.float().view(n, height, width, -1).permute(0, 3, 1, 2)


def _pointwise(layer: Layer) -> nn.Module:
    return _linear(layer, _Pointwise)


def _linear(layer: Layer, kind: type[nn.Linear] = nn.Linear) -> nn.Linear:
    out, into = layer.kernel.shape
    return _filled(kind(into, out), torch.from_numpy(layer.kernel), layer.bias)


def _convolution(layer: Layer, channels: int, stride: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution, depthwise except for the first, padded as TensorFlow's SAME for even sizes.

    With stride 2 TensorFlow pads only at the bottom and on the right. A 4 x 4 kernel whose first row and column are
    zero, padded by one on all sides, gives the same and saves a copy of the feature map.
    """
    out, kernel = len(layer.kernel), torch.from_numpy(layer.kernel)
    if stride == 2:
        kernel = functional.pad(kernel, (1, 0, 1, 0))
    convolution = nn.Conv2d(channels, out, kernel.shape[2], stride, padding=1, groups=channels)
    return _filled(convolution, kernel, layer.bias)


def _filled(module: _Filled, kernel: Tensor, bias: Floats) -> _Filled:
    module.weight, module.bias = nn.Parameter(kernel), nn.Parameter(torch.from_numpy(bias))
    return module
