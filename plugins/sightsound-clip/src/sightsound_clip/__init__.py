"""OpenCLIP's networks of images and words. Importing this package imports neither open_clip nor torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightsound.plugin import Card, Embedder, Load, Register, RegisterImporter, hookimpl, require_packages


@hookimpl
def register_embedders(register: Register) -> None:
    """Register some networks of OpenCLIP. Raises `ModuleNotFoundError` if open_clip is not installed."""
    require_packages("open_clip")
    from sightsound_clip.cards import REGISTERED

    for card in REGISTERED:
        register(card, _Load(card))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Return the card and the loader of any network that OpenCLIP has weights for, or None.

    Parameters
    ----------
    name : str
        `arch.tag`, both in lower case with `_` for `-`: `vit_b_32.laion2b_s34b_b79k`.
    options : mapping
        Nothing; there are no options.

    Returns
    -------
    tuple of Card and Load, or None
        None if OpenCLIP has no such network.
    """
    from sightsound_clip import zoo

    card = zoo.find_card(name) if zoo.is_mentioned(name) else None
    return None if card is None else (card, _Load(card))


@hookimpl
def register_importers(register: RegisterImporter) -> None:
    """Register the importer of OpenCLIP's files."""
    from sightsound_clip.files import OpenClipFiles

    register(OpenClipFiles())


@dataclass(frozen=True)
class _Load:
    """Loads the network of a card with the configuration that open_clip has for its name."""

    card: Card

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        from sightsound_clip.embedder import embedder_of

        (path,) = (weights[file.name] for file in self.card.weights)
        return embedder_of(self.card, path, device)
