"""The weights of keras-squeezenet, an HDF5 file, as tensors of torchvision's SqueezeNet 1.1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightsound.plugin import SightsoundError

FIRES = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12)))
"""The number of each fire module in Keras, and its index among torchvision's `features`."""


def read_keras(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a weight file of keras-squeezenet, with the names and shapes of torchvision.

    Keras stores a kernel as (height, width, in, out), torch as (out, in, height, width).

    Parameters
    ----------
    path : pathlib.Path
        The file.

    Returns
    -------
    dict of str to torch.Tensor

    Raises
    ------
    SightsoundError
        If it is another file.
    """
    import h5py

    tensors = {}
    try:
        with h5py.File(path, "r") as file:
            for ours, layer in _layers():
                tensors[f"{ours}.weight"] = _tensor(file, layer, "W", 4).permute(3, 2, 0, 1).contiguous()
                tensors[f"{ours}.bias"] = _tensor(file, layer, "b", 1)
    except (OSError, ValueError, TypeError) as error:
        wanted = "the weights of keras-squeezenet (conv1, fire2/squeeze1x1, ...)"
        raise SightsoundError(f"{path}: expected {wanted}, got: {_reason(error)}; give another file") from error
    return tensors


def _layers() -> Iterator[tuple[str, str]]:
    """Yield the name of each layer in torchvision and in Keras."""
    yield "features.0", "conv1"
    for number, index in FIRES.items():
        for ours, theirs in (("squeeze", "squeeze1x1"), ("expand1x1", "expand1x1"), ("expand3x3", "expand3x3")):
            yield f"features.{index}.{ours}", f"fire{number}/{theirs}"
    yield "classifier.1", "conv10"


def _tensor(file: Any, layer: str, kind: str, axes: int) -> Tensor:
    import h5py

    name = f"{layer}/{layer}_{kind}:0"
    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != axes or found.dtype.kind != "f":
        raise ValueError(f"no numbers {name}")
    return torch.from_numpy(np.ascontiguousarray(found[()], np.float32))


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
