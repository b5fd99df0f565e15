"""torchaudio's bundles: their cards, and their networks without numbers. Importing this imports torchaudio."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sightsound.plugin import Card
from sightsound_torchaudio.cards import card_of
from sightsound_torchaudio.framework import torchaudio

_BUILDERS = {"Wav2Vec2": "wav2vec2_model", "WavLM": "wavlm_model"}
"""The function of `torchaudio.models` for each type of network that a bundle may name."""

_NOT_COMMERCIAL = ("voxpopuli_", "mms_")


def find_card(arch: str) -> Card | None:
    """Return the card of the bundle of this name in lower case, or None if torchaudio does not have it."""
    bundle = find_bundle(arch)
    if bundle is None:
        return None
    return card_of(
        arch,
        bundle._path,
        bundle._params["encoder_embed_dim"],
        bundle._params["encoder_num_layers"],
        bundle._normalize_waveform,
        sum(parameter.numel() for parameter in blank(arch).parameters()),
        "CC-BY-NC-4.0" if arch.startswith(_NOT_COMMERCIAL) else "MIT",
        f"torchaudio's bundle {arch.upper()}",
    )


def find_bundle(arch: str) -> Any:
    """Return the bundle of this name in lower case, or None."""
    pipelines = torchaudio.pipelines
    bundle = getattr(pipelines, arch.upper(), None)
    return bundle if arch == arch.lower() and isinstance(bundle, pipelines.Wav2Vec2Bundle) else None


def blank(arch: str) -> nn.Module:
    """Return the network of a bundle on torch's device `meta`, without the head of a fine-tuned bundle."""
    bundle = find_bundle(arch)
    build = getattr(torchaudio.models, _BUILDERS[bundle._model_type])
    with torch.device("meta"):
        network: nn.Module = build(**{**bundle._params, "aux_num_out": None})
    return network
