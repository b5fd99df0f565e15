"""The layers of the networks, by the names that timm and torchvision give them; no weights are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import nn

from sightsound.plugin import Card, Layer
from sightsound.torch.layers import Plan, Survey, choose, survey, usable
from sightsound_timm.builders import BUILDERS


def plan_layers(card: Card, builder: str, options: Mapping[str, Any]) -> Plan:
    """Return the plan for the options `layer` and `pool` of a card's name.

    Raises `UnknownModel` if the network does not have such layers or there is no such pool.
    """
    return choose(card.name, options, _survey(card.name, builder, card.input_shape))


def list_layers(card: Card, builder: str) -> list[Layer]:
    """Return every layer that `plan_layers` accepts for the network of a card, whatever options its name has."""
    return usable(_survey(card.name.partition("[")[0], builder, card.input_shape))


@cache
def _survey(name: str, builder: str, shape: tuple[int, ...]) -> Survey:
    blank, side = BUILDERS[builder].blank, 2 * shape[-1]

    def larger() -> nn.Module:
        """Build the network for images of twice the side: networks with position embeddings have a fixed size."""
        for option in ({"img_size": side}, {"image_size": side}, {"input_size": (side, side)}):
            with contextlib.suppress(TypeError):  # the network has no such option
                return blank(name, **option)
        return blank(name)

    return survey(lambda: blank(name), shape, larger)
