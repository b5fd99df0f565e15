"""The layers of VGGish and of YAMNet in float32 by the names of their modules; no weights are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from sightsound.plugin import Card, Layer, UnknownModel
from sightsound.torch.layers import Plan, Survey, choose, survey, usable
from sightsound_audioset import vggish_network, yamnet_network, yamnet_weights


def plan_layers(card: Card, options: Mapping[str, Any]) -> Plan:
    """Return the plan for the options `layer` and `pool` of a card's name.

    Raises `UnknownModel` if the network does not have such layers or there is no such pool.
    """
    return choose(_base_name(card), options, _survey(_base_name(card), card.input_shape))


def list_layers(card: Card) -> list[Layer]:
    """Return every layer that `plan_layers` accepts for the network of a card, whatever options its name has.

    Raises `UnknownModel` if there are none.
    """
    return usable(_survey(_base_name(card), card.input_shape))


def _base_name(card: Card) -> str:
    return card.name.partition("[")[0]


@cache
def _survey(name: str, shape: tuple[int, ...]) -> Survey:
    if name not in _BLANKS:
        float32 = name.replace("_i8", "_f32")
        raise UnknownModel(f"{name}: expected layers of real numbers, got whole numbers; use {float32}[layer=...]")
    return survey(_BLANKS[name], shape)


def _blank_yamnet() -> nn.Module:
    shapes: Iterable[tuple[int, ...]] = yamnet_weights.shapes()
    return yamnet_network.Yamnet(
        [yamnet_weights.float32_layer(np.zeros(shape, np.float32), np.zeros(shape[0], np.float32)) for shape in shapes]
    )


def _blank_vggish() -> nn.Module:
    tensors = {f"{name}.weight": torch.empty(shape) for name, shape in vggish_network.SHAPES.items()}
    tensors |= {f"{name}.bias": torch.empty(shape[:1]) for name, shape in vggish_network.SHAPES.items()}
    return vggish_network.Vggish(tensors)


_BLANKS: Mapping[str, Callable[[], nn.Module]] = {
    "yamnet.audioset_f32": _blank_yamnet,
    "vggish.audioset_f32": _blank_vggish,
}
