"""Image networks of timm and torchvision. Importing this loads neither of them, nor torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder, Layer, Load
from sightsound.contract.hookspecs import hookimpl


@hookimpl
def register_embedders(register: Callable[[Card, Load], None]) -> None:
    from sightsound_timm.cards import REGISTERED
    from sightsound_timm.places365 import PLACES365

    for card, builder in (*REGISTERED, *PLACES365):
        register(card, _Load(card, builder))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Any network that timm or torchvision know; its weights are fetched by the host, or are a file of the user's.

    The option `layer` names layers of it, joined by +, and `pool` how their positions become one (`sightsound.torch`'s
    `layers.py`). Raises `UnknownModel` for others.
    """
    from sightsound_timm import zoo

    if not zoo.mentioned(name):
        return None
    found = zoo.find(name)
    if found is None:
        return None
    card, builder = found
    if not options:
        return card, _Load(card, builder)

    from sightsound_timm import layers

    plan = layers.plan(card, builder, options)
    return plan.card(card), _Load(plan.card(card), builder, plan)


@dataclass(frozen=True)
class _Load:
    card: Card
    builder: str
    plan: Any = None

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        from sightsound_timm import network

        return network.load(self.card, self.builder, device, weights, self.plan)

    def layers(self) -> list[Layer]:
        from sightsound_timm import layers

        return layers.listed(self.card, self.builder)
