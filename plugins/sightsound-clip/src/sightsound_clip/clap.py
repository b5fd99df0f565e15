"""CLAP: networks of sounds and words. Importing this module imports neither transformers nor torch."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightsound.plugin import (
    Card,
    Embedder,
    Load,
    Option,
    Register,
    UnknownModel,
    WeightFile,
    hookimpl,
    with_option,
)
from sightsound_clip.cards import hub_file

RATE, SECONDS = 48_000, 10
"""Sample rate in Hz and length of a window, as CLAP was trained; its files say so, and are compared with it."""

FRAMES, BANDS = 1001, 64
"""Frames and mel bands of the input: ten seconds in steps of 480 samples."""

HOP = Option("hop", float, low=0.1, high=10, step=0.01, default=10.0, help="seconds between windows")

TEMPLATES = ("This is a sound of {}.",)
"""The template of Wu et al., Large-scale Contrastive Language-Audio Pretraining, ICASSP 2023, section 4."""

INSTALL = 'pip install "sightsound-clip[clap]"'
PACKAGES = ("transformers", "tokenizers")


def _card(name: str, repo: str, about: str) -> Card:
    full = f"{name}.laion"
    return Card(
        name=full,
        modality="sound",
        dim=512,
        input_shape=(1, FRAMES, BANDS),
        sample_rate=RATE,
        window=SECONDS * RATE,
        hop=SECONDS * RATE,
        weights=tuple(_files(full, repo)),
        text=True,
        options=(HOP,),
        aliases=(name,),
        constants={"padding": "repeat", "text": {"templates": list(TEMPLATES)}},
        license="Apache-2.0",
        about=about,
    )


def _files(name: str, repo: str) -> list[WeightFile]:
    """Return the files of a network: its weights, its two configurations, and its tokenizer."""
    small = ("config.json", "preprocessor_config.json", "tokenizer.json")
    return [
        hub_file(f"{name}.safetensors", repo, "model.safetensors", "pytorch_model.bin"),
        *(hub_file(f"{name}.{file}", repo, file) for file in small),
    ]


REGISTERED = (
    _card("clap_htsat_unfused", "laion/clap-htsat-unfused", "CLAP, sounds and words: HTSAT of LAION, without fusion"),
    _card("larger_clap_general", "laion/larger_clap_general", "CLAP, sounds and words: larger, speech and music too"),
    _card("larger_clap_music", "laion/larger_clap_music", "CLAP, sounds and words: larger, for music"),
)
"""Networks of LAION on the Hugging Face Hub."""


@hookimpl
def register_embedders(register: Register) -> None:
    """Register the networks, if the packages of the extra `clap` are installed."""
    if _missing() is None:
        for card in REGISTERED:
            register(card, _Load(card))


@hookimpl
def resolve_embedder(name: str, options: Mapping[str, Any]) -> tuple[Card, Load] | None:
    """Return the card and the loader of a network of this plugin with the option `hop`, or None.

    Raises
    ------
    UnknownModel
        If the packages that it needs are not installed.
    """
    card = next((card for card in REGISTERED if name in (card.name, *card.aliases)), None)
    if card is None:
        return None
    missing = _missing()
    if missing is not None:
        raise UnknownModel(f"{name}: needs the package {missing}; install it: {INSTALL}")
    if "hop" in options:
        hop = round(options["hop"] * RATE)
        card = dataclasses.replace(card, name=with_option(card.name, HOP, options["hop"]), hop=hop)
    return card, _Load(card)


def _missing() -> str | None:
    return next((package for package in PACKAGES if importlib.util.find_spec(package) is None), None)


@dataclass(frozen=True)
class _Load:
    """Loads the network of a card."""

    card: Card

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        from sightsound_clip.clap_embedder import ClapEmbedder

        return ClapEmbedder(self.card, weights, device)
