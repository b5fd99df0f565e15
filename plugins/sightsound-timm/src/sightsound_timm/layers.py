"""The layers of these networks by the names that timm and torchvision give them, found without numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from sightsound.contract.card import Card
from sightsound.contract.embedder import Layer
from sightsound.torch import layers
from sightsound_timm import network
from torch import nn


def plan(card: Card, builder: str, options: Mapping[str, Any]) -> layers.Plan:
    """What the options `layer` and `pool` ask of `card`'s network. Raises `UnknownModel` for what it does not have."""
    return layers.choose(card.name, options, _survey(card.name, builder, card.input_shape))


def listed(card: Card, builder: str) -> list[Layer]:
    """All that `plan` takes for the network of a card, whose own options do not matter."""
    return layers.usable(_survey(card.name.partition("[")[0], builder, card.input_shape))


@cache
def _survey(name: str, builder: str, shape: tuple[int, ...]) -> layers.Survey:
    side = 2 * shape[-1]

    def larger() -> nn.Module:
        """For pictures of twice the side: networks with positions are built for one size."""
        for option in ({"img_size": side}, {"image_size": side}, {"input_size": (side, side)}):
            with contextlib.suppress(TypeError):  # it has no such option
                return network.BLANKS[builder](name, **option)
        return network.BLANKS[builder](name)

    return layers.survey(lambda: network.BLANKS[builder](name), shape, larger)
