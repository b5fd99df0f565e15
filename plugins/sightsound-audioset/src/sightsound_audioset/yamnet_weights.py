"""The layers of YAMNet, read from Google's Keras file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Floats, SightsoundError

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
    """A convolution or linear layer with its batch norm folded in.

    Attributes
    ----------
    kernel : ndarray
        float32 (out, in / groups[, 3, 3]).
    bias : ndarray
        float32 (out,).
    multiplier : ndarray or None
        float32 (out,) in an int8 layer, where kernel and bias are whole numbers: the factor from a sum of products to
        the whole numbers of the output.
    """

    kernel: Floats
    bias: Floats
    multiplier: Floats | None = None


def shapes() -> Iterator[tuple[int, ...]]:
    """Yield the kernel shapes of the 28 layers: a convolution, depthwise and pointwise in turn, the classifier."""
    yield STEM, 1, 3, 3
    channels = STEM
    for out, _ in BLOCKS:
        yield channels, 1, 3, 3
        yield out, channels
        channels = out
    yield CLASSES, channels


def read_keras(path: Path, epsilon: float) -> tuple[Layer, ...]:
    """Read the layers of a Keras weight file with the names of the published model (`layer1/conv`, ..., `dense`).

    Parameters
    ----------
    path : pathlib.Path
        The file.
    epsilon : float
        Is added to the variance of batch norm, which has no scale here.

    Returns
    -------
    tuple of Layer
        The 28 layers in order.

    Raises
    ------
    SightsoundError
        If the file is another one.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            layers = [_folded(file, name, epsilon) for name in _names()] + [_logits(file)]
    except (OSError, ValueError, TypeError) as error:
        raise wrong_file(path, "YAMNet's Keras weights (layer1/conv, ...)", error) from error
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
    return float32_layer(kernel[:, :, 0, 0] if name.endswith("pointwise_conv") else kernel, beta - mean * scale)


def _logits(file: Any) -> Layer:
    # Keras numbers the name of the classifier: dense, dense_1, ...
    names = [name for name in file if name.startswith(("dense", "logits"))]
    if len(names) != 1:
        raise ValueError(f"{len(names)} dense layers")
    return float32_layer(_read(file, names[0], "kernel").T, _read(file, names[0], "bias"))


def _read(file: Any, layer: str, part: str) -> NDArray[np.float64]:
    name = f"{layer}/{layer}/{part}:0"  # the group and the tensor both have the name of the layer
    if name not in file:
        raise ValueError(f"no {name}")
    return np.asarray(file[name], dtype=np.float64)


def float32_layer(kernel: NDArray[Any], bias: NDArray[Any], multiplier: Floats | None = None) -> Layer:
    """Return a `Layer` with its arrays as contiguous float32."""
    return Layer(np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32), multiplier)


def checked(path: Path, layers: list[Layer]) -> tuple[Layer, ...]:
    """Return the layers if they have the shapes of YAMNet's. Raises `SightsoundError` otherwise."""
    expected, got = list(shapes()), [found.kernel.shape for found in layers]
    if len(got) != len(expected):
        raise SightsoundError(f"{path}: expected YAMNet's {len(expected)} layers, got {len(got)}; name another file")
    for number, (want, found) in enumerate(zip(expected, layers), start=1):
        if found.kernel.shape != want or found.bias.shape != want[:1]:
            raise SightsoundError(
                f"{path}: layer {number}: expected weights {want}, got {found.kernel.shape}; name another file"
            )
    return tuple(layers)


def wrong_file(path: Path, wanted: str, error: Exception) -> SightsoundError:
    """Return the error for a file of another kind."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return SightsoundError(f"{path}: expected {wanted}, got: {reason}; name another file")
