"""`mfcc.librosa`: statistics of MFCC, their deltas and chroma for each second of sound; no weights.

Neither importing this package nor `load` imports librosa; the embedder does when it is prepared.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sightsound.plugin import Card, Embedder, Register, hookimpl
from sightsound_librosa.standard import CENTRE, SPREAD

RATE = 22050
CARD = Card(
    name="mfcc.librosa",
    modality="sound",
    dim=84,
    input_shape=(RATE,),
    sample_rate=RATE,
    window=RATE,
    hop=RATE,
    aliases=("mfcc",),
    constants={
        "n_fft": 2048,
        "hop_length": 512,
        "window": "hann",
        "center": False,
        "power": 2,
        "n_mels": 128,
        "n_mfcc": 20,
        "n_chroma": 12,
        "floor": 1e-4,
        "delta_width": 9,
        "statistics": ["mfcc mean", "mfcc std", "delta std", "chroma mean", "chroma std"],
        "centre": list(CENTRE),
        "spread": list(SPREAD),
    },
    license="Apache-2.0",
    about="mean and deviation of 20 MFCC, their deltas and 12 chroma for each second: no weights, the floor to beat",
)


@hookimpl
def register_embedders(register: Register) -> None:
    """Register `mfcc.librosa`."""
    register(CARD, load)


def load(device: str, weights: Mapping[str, Path]) -> Embedder:
    """Return the embedder; it runs on the CPU whatever `device` is."""
    from sightsound_librosa.mfcc import Mfcc

    return Mfcc(CARD)
