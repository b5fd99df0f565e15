"""A model of files that are not in the user's folder of models: to try them before they are kept."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.card import Card
from sightsound.contract.embedder import Register
from sightsound.contract.hookspecs import hookimpl
from sightsound.host.discovery import OfferedImporter
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.weights.store import Store


def trial_model(offered: OfferedImporter, card: Card, folder: Path, weights: Store) -> Model:
    """Return the model of a card, loaded on the CPU by its importer from the files in a folder and those of a store.

    Raises `SightsoundError` if it cannot be loaded.
    """

    class Trial:
        @hookimpl
        def register_embedders(self, register: Register) -> None:
            register(card, lambda device, weights: offered.importer.load(card, device, weights))

    host = Host(installed=False, runtime="none")
    host.weights = copy.copy(weights)
    host.weights.also = (folder, *weights.also)
    host.register(Trial(), offered.plugin)
    return host.load(card.name, "cpu")


def noise(card: Card) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return an image of noise, uint8 (300, 400, 3), or a window of noise, float32 (samples,), for a card."""
    random = np.random.default_rng(0)
    if card.modality == "image":
        return random.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    return random.uniform(-0.5, 0.5, card.window or card.sample_rate).astype(np.float32)
