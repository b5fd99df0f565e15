"""What loads a card, and tells the layers of its network. Importing this loads no framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightsound.contract.card import Card
from sightsound.contract.embedder import Embedder, Layer


@dataclass(frozen=True)
class Loader:
    """`load(device, weights, card, plan)` for one card; `plan` are the layers that its name asks for, if any."""

    card: Card
    load: Callable[[str, Mapping[str, Path], Card, Any], Embedder]
    plan: Any = None

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        return self.load(device, weights, self.card, self.plan)

    def layers(self) -> list[Layer]:
        """The layers that the option `layer` may name."""
        from sightsound_audioset import layers

        return layers.listed(self.card)

    def at(self, options: Mapping[str, str | bool]) -> Loader:
        """For the layers and the pool that these options name. Raises `UnknownModel` for what the network lacks."""
        from sightsound_audioset import layers

        plan = layers.plan(self.card, options)
        return Loader(plan.card(self.card), self.load, plan)
