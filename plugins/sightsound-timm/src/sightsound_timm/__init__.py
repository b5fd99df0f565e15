"""Image networks of timm and torchvision. Importing this loads neither of them, nor torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sightsound.hookspecs import hookimpl
from sightsound.types import Card, Embedder, Load


@hookimpl
def register_embedders(register: Callable[[Card, Load], None]) -> None:
    from sightsound_timm.cards import REGISTERED
    from sightsound_timm.places365 import PLACES365

    for card, builder in (*REGISTERED, *PLACES365):
        register(card, _load(card, builder))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Any network that timm or torchvision know; its weights are fetched by the host, or are a file of the user's.

    Raises `SightsoundError` for options: these networks have none.
    """
    from sightsound_timm import zoo

    if not zoo.mentioned(name):
        return None
    found = zoo.find(name)
    if found is None:
        return None
    zoo.refuse(name, options)
    card, builder = found
    return card, _load(card, builder)


def _load(card: Card, builder: str) -> Load:
    def load(device: str, weights: Mapping[str, Path]) -> Embedder:
        from sightsound_timm import network

        return network.load(card, builder, device, weights)

    return load
