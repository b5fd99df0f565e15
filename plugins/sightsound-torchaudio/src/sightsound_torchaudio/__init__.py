"""torchaudio's bundles of wav2vec 2.0, HuBERT and WavLM. Importing this package imports neither torch nor torchaudio.

`wav2vec2_base.torchaudio` is the bundle `torchaudio.pipelines.WAV2VEC2_BASE`, and so on for every other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightsound.plugin import Card, Embedder, Layer, Load, Register, hookimpl, require_packages
from sightsound_torchaudio import cards


@hookimpl
def register_embedders(register: Register) -> None:
    """Register the pretrained bundles that are used most."""
    require_packages("torch", "torchaudio")
    for card in cards.REGISTERED:
        register(card, _Load(card))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Return the card and loader of any bundle, with its options, or None.

    Parameters
    ----------
    name : str
        The name of a bundle in lower case, such as `hubert_xlarge`, with or without the tag `torchaudio`.
    options : mapping
        `layer`, and `window` and `hop` in seconds.

    Returns
    -------
    tuple of Card and Load, or None
        None if torchaudio has no such bundle.
    """
    arch, _, tag = name.partition(".")
    if tag not in ("", cards.TAG) or not arch.startswith(cards.FAMILIES):
        return None
    card = next((card for card in cards.REGISTERED if card.name == f"{arch}.{cards.TAG}"), None)
    if card is None:
        from sightsound_torchaudio.bundles import find_card

        card = find_card(arch)
    if card is None:
        return None
    card = cards.with_options(card, options)
    return card, _Load(card)


@dataclass(frozen=True)
class _Load:
    """Loads the network of a card."""

    card: Card

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        from sightsound_torchaudio.embedder import SpeechEmbedder

        (path,) = (weights[file.name] for file in self.card.weights)
        return SpeechEmbedder(self.card, path, device)

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name; no weights are needed."""
        return cards.layers(self.card)
