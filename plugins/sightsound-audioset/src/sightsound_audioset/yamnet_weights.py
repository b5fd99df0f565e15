"""YAMNet's layers, and how they are read from Google's Keras file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError

STEM = 32
"""Channels after the first convolution, which has stride 2."""

BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)
"""Channels and stride of each separable convolution: _YAMNET_LAYER_DEFS of yamnet.py in the model garden."""

CLASSES = 521


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, batch norm folded in: kernel float32 (out, in / groups[, 3, 3]), bias (out,).

    In an int8 layer both hold whole numbers, and `multiplier` (out,) takes a sum to steps of the layer's output.
    """

    kernel: Floats
    bias: Floats
    multiplier: Floats | None = None


def shapes() -> Iterator[tuple[int, ...]]:
    """The kernel shapes of the 28 layers: the first convolution, depthwise and pointwise in turn, the classifier."""
    yield STEM, 1, 3, 3
    channels = STEM
    for out, _ in BLOCKS:
        yield channels, 1, 3, 3
        yield out, channels
        channels = out
    yield CLASSES, channels


def read_keras(path: Path, epsilon: float) -> tuple[Layer, ...]:
    """The layers of a Keras weight file named as the published model names them (`layer1/conv`, ..., `dense`).

    `epsilon` is added to the variance of batch norm, which has no scale. Raises `SightsoundError` for other files.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            layers = [_folded(file, name, epsilon) for name in _names()] + [_logits(file)]
    except (OSError, ValueError, TypeError) as error:
        raise unfit(path, "YAMNet's Keras weights (layer1/conv, ...)", error) from error
    return checked(path, layers)


def _names() -> Iterator[str]:
    yield "layer1/conv"
    for number in range(2, 2 + len(BLOCKS)):
        yield f"layer{number}/depthwise_conv"
        yield f"layer{number}/pointwise_conv"


def _folded(file: Any, name: str, epsilon: float) -> Layer:
    kernel = _read(file, name, "depthwise_kernel" if name.endswith("depthwise_conv") else "kernel")
    mean, variance, beta = (_read(file, f"{name}/bn", part) for part in ("moving_mean", "moving_variance", "beta"))
    # height, width, in, out -> out, in, height, width; a depthwise kernel is stored as height, width, channel, 1
    kernel = kernel.transpose(2, 3, 0, 1) if name.endswith("depthwise_conv") else kernel.transpose(3, 2, 0, 1)
    scale = 1 / np.sqrt(variance + epsilon)
    kernel = kernel * scale[:, np.newaxis, np.newaxis, np.newaxis]
    return layer(kernel[:, :, 0, 0] if name.endswith("pointwise_conv") else kernel, beta - mean * scale)


def _logits(file: Any) -> Layer:
    # the classifier has a name that Keras counts up by itself: dense, dense_1, ...
    names = [name for name in file if name.startswith(("dense", "logits"))]
    if len(names) != 1:
        raise ValueError(f"{len(names)} dense layers")
    return layer(_read(file, names[0], "kernel").T, _read(file, names[0], "bias"))


def _read(file: Any, layer: str, part: str) -> NDArray[np.float64]:
    name = f"{layer}/{layer}/{part}:0"  # Keras names a tensor by its layer, in a group that is named by the layer too
    if name not in file:
        raise ValueError(f"no {name}")
    return np.asarray(file[name], dtype=np.float64)


def layer(kernel: NDArray[Any], bias: NDArray[Any], multiplier: Floats | None = None) -> Layer:
    """A `Layer` of float32."""
    return Layer(np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32), multiplier)


def checked(path: Path, layers: list[Layer]) -> tuple[Layer, ...]:
    """The layers, if they are YAMNet's. Raises `SightsoundError` naming the file."""
    expected, got = list(shapes()), [found.kernel.shape for found in layers]
    if len(got) != len(expected):
        raise SightsoundError(f"{path}: expected YAMNet's {len(expected)} layers, got {len(got)}; name another file")
    for number, (want, found) in enumerate(zip(expected, layers), start=1):
        if found.kernel.shape != want or found.bias.shape != want[:1]:
            raise SightsoundError(
                f"{path}: layer {number}: expected weights {want}, got {found.kernel.shape}; name another file"
            )
    return tuple(layers)


def unfit(path: Path, wanted: str, error: Exception) -> SightsoundError:
    """The error for a file of another kind."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SightsoundError(f"{path}: expected {wanted}, got: {reason}; name another file")
