"""The layers of VGGish and of YAMNet in float32 by the names of their modules, found without weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

import numpy as np

import torch
from sightsound.contract.card import Card
from sightsound.contract.embedder import Layer
from sightsound.contract.errors import UnknownModel
from sightsound.torch import layers
from sightsound_audioset import vggish_network, yamnet_network, yamnet_weights
from torch import nn


def plan(card: Card, options: Mapping[str, str | bool]) -> layers.Plan:
    """What the options `layer` and `pool` ask of `card`'s network. Raises `UnknownModel` for what it does not have."""
    return layers.choose(_base(card), options, _survey(_base(card), card.input_shape))


def listed(card: Card) -> list[Layer]:
    """All that `plan` takes for the network of a card, whose own options do not matter. Raises `UnknownModel` where
    there are none."""
    return layers.usable(_survey(_base(card), card.input_shape))


def _base(card: Card) -> str:
    return card.name.partition("[")[0]


@cache
def _survey(name: str, shape: tuple[int, ...]) -> layers.Survey:
    if name not in _BLANKS:
        real = name.replace("_i8", "_f32")
        raise UnknownModel(f"{name}: expected layers of real numbers, got whole numbers; use {real}[layer=...]")
    return layers.survey(_BLANKS[name], shape)


def _yamnet() -> nn.Module:
    shapes: Iterable[tuple[int, ...]] = yamnet_weights.shapes()
    return yamnet_network.Yamnet(
        [yamnet_weights.layer(np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)) for shape in shapes]
    )


def _vggish() -> nn.Module:
    tensors = {f"{name}.weight": torch.empty(shape) for name, shape in vggish_network.SHAPES.items()}
    tensors |= {f"{name}.bias": torch.empty(shape[:1]) for name, shape in vggish_network.SHAPES.items()}
    return vggish_network.Vggish(tensors)


_BLANKS: Mapping[str, Callable[[], nn.Module]] = {
    "yamnet.audioset_f32": _yamnet,
    "vggish.audioset_f32": _vggish,
}
