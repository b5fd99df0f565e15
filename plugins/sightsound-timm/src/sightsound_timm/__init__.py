"""Image networks of timm and torchvision. Importing this package imports neither of them, nor torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightsound.plugin import (
    Card,
    Embedder,
    Layer,
    Load,
    Register,
    hookimpl,
)

if TYPE_CHECKING:
    from sightsound.torch.layers import Plan


@hookimpl
def register_embedders(register: Register) -> None:
    """Register the networks whose weights the package index or Places365 has, and the usual ones of ImageNet."""
    from sightsound_timm.networks import REGISTERED

    for card, builder in REGISTERED:
        register(card, _Load(card, builder))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Return the card and loader of any network that timm or torchvision have, or None.

    Parameters
    ----------
    name : str
        `arch` or `arch.tag`.
    options : mapping
        Nothing, or some of `cards.LAYER_OPTIONS`.

    Returns
    -------
    tuple of Card and Load, or None
        None if neither framework has the network.

    Raises
    ------
    UnknownModel
        If the network does not have these layers.
    """
    from sightsound_timm import zoo

    if not zoo.is_mentioned(name):
        return None
    found = zoo.find_card(name)
    if found is None:
        return None
    card, builder = found
    if not options:
        return card, _Load(card, builder)

    from sightsound_timm.layers import plan_layers

    plan = plan_layers(card, builder, options)
    return plan.card(card), _Load(plan.card(card), builder, plan)


@dataclass(frozen=True)
class _Load:
    """Loads the network of a card, with a plan for its layers; the builder is one of `builders.BUILDERS`."""

    card: Card
    builder: str
    plan: Plan | None = None

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        from sightsound_timm.embedder import ImageEmbedder

        (path,) = (weights[file.name] for file in self.card.weights)
        return ImageEmbedder(self.card, self.builder, path, device, self.plan)

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name; no weights are needed."""
        from sightsound_timm.layers import list_layers

        return list_layers(self.card, self.builder)
