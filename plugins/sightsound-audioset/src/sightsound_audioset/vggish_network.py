"""VGGish as published (vggish_slim.py of the TensorFlow model garden), with the names of torchvggish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sightsound.plugin import SightsoundError
from sightsound.torch import state_dict

SHAPES = {
    "features.0": (64, 1, 3, 3),
    "features.3": (128, 64, 3, 3),
    "features.6": (256, 128, 3, 3),
    "features.8": (256, 256, 3, 3),
    "features.11": (512, 256, 3, 3),
    "features.13": (512, 512, 3, 3),
    "embeddings.0": (4096, 512 * 6 * 4),
    "embeddings.2": (4096, 4096),
    "embeddings.4": (128, 4096),
}
"""The shape of the weight of each layer; every layer has a bias too."""

_POOLED = {"features.0", "features.3", "features.8", "features.13"}


class Vggish(nn.Module):
    """VGGish: six convolutions and three linear layers, without a ReLU after the last.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
        A weight and a bias for each name in `SHAPES`. The widths may differ.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        layers = {name: _layer(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in SHAPES}
        features: list[nn.Module] = []
        embeddings: list[nn.Module] = []
        for name, layer in layers.items():
            if name.startswith("features"):
                features += [layer, nn.ReLU(inplace=True)] + [nn.MaxPool2d(2)] * (name in _POOLED)
            else:
                embeddings += [layer, nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*features)
        self.embeddings = nn.Sequential(*embeddings[:-1])

    def forward(self, patches: Tensor) -> Tensor:
        """Return embeddings (n, 128) for log-mel patches (n, 96, 64)."""
        x = self.features(patches.unsqueeze(-1).permute(0, 3, 1, 2))
        # TensorFlow flattens height, width, channel
        found: Tensor = self.embeddings(x.permute(0, 2, 3, 1).flatten(1))
        return found


def read(path: Path) -> Vggish:
    """Read the release file of torchvggish. Raises `SightsoundError` if a tensor is missing or does not fit."""
    tensors = state_dict(path)
    for name, shape in SHAPES.items():
        for part, expected in ((f"{name}.weight", shape), (f"{name}.bias", shape[:1])):
            got = tuple(tensors[part].shape) if part in tensors else "none"
            if got != expected:
                raise SightsoundError(
                    f"{path}: {part}: expected {expected}, got {got}; take vggish-10086976.pth of torchvggish"
                )
    return Vggish({name: tensor.float() for name, tensor in tensors.items()})


def _layer(weight: Tensor, bias: Tensor) -> nn.Module:
    out, into, *kernel = weight.shape
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        layer = nn.Conv2d(into, out, 3, padding=1) if kernel else nn.Linear(into, out)
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer
