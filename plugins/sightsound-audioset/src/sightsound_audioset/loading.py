"""The loader of a card, which also knows the layers of its network. Importing this module imports no framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sightsound.plugin import Card, Embedder, Layer

if TYPE_CHECKING:
    from sightsound.torch.layers import Plan


class LoadCard(Protocol):
    """A function that loads the network of a card, with a plan for its layers."""

    def __call__(
        self, device: str, weights: Mapping[str, Path], card: Card = ..., plan: Plan | None = None
    ) -> Embedder:
        """Return the loaded embedder of `card`."""


@dataclass(frozen=True)
class Loader:
    """Loads the embedder of one card.

    Parameters
    ----------
    card : Card
        The card.
    load : LoadCard
        Loads its network.
    plan : Plan, optional
        The layers that the name of the card asks for.
    precision : str
        That of the network, see `sightsound.plugin.Load`.
    """

    card: Card
    load: LoadCard
    plan: Plan | None = None
    precision: str = "float32"

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return the loaded embedder."""
        return self.load(device, weights, self.card, self.plan)

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name."""
        from sightsound_audioset.layers import list_layers

        return list_layers(self.card)

    def with_layers(self, options: Mapping[str, Any]) -> Loader:
        """Return the loader for the options `layer` and `pool`. Raises `UnknownModel` as `layers.plan_layers`."""
        from sightsound_audioset.layers import plan_layers

        plan = plan_layers(self.card, options)
        return Loader(plan.card(self.card), self.load, plan, self.precision)
