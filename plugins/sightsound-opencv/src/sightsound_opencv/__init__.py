"""Networks of Caffe and Darknet, run by OpenCV. Importing this package does not import OpenCV."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightsound.plugin import (
    Card,
    Embedder,
    Layer,
    Load,
    Register,
    RegisterImporter,
    hookimpl,
    require_packages,
)


@hookimpl
def register_embedders(register: Register) -> None:
    """Register the networks that have a name."""
    require_packages("cv2")
    from sightsound_opencv.cards import DARKNET19, GOOGLENET

    for card in (DARKNET19, GOOGLENET):
        register(card, _Load(card))


@hookimpl
def register_importers(register: RegisterImporter) -> None:
    """Register the formats of Caffe and Darknet."""
    from sightsound_opencv.importer import OpenCVImporter

    register(OpenCVImporter("caffe", (".caffemodel", ".prototxt")))
    register(OpenCVImporter("darknet", (".weights", ".cfg")))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Return the card and loader of one of the networks with rows from other layers, or None for other names."""
    from sightsound_opencv.cards import DARKNET19, GOOGLENET, layers
    from sightsound_opencv.plan import with_layers

    card = {each.name: each for each in (DARKNET19, GOOGLENET)}.get(name)
    if card is None or not options:
        return None
    planned = with_layers(card, options, layers(card))
    return planned, _Load(planned)


@dataclass(frozen=True)
class _Load:
    """Loads the network of a card."""

    card: Card

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        from sightsound_opencv.embedder import OpenCVEmbedder

        return OpenCVEmbedder(self.card, [weights[file.name] for file in self.card.weights])

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name; no weights are needed."""
        from sightsound_opencv.cards import layers

        return layers(self.card)
