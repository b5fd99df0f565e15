"""`gabor.acme`: features of textures by two banks of Gabor filters, a network of torch without weight files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sightsound.plugin import Embedder, ModelSettings, Register, hookimpl, require_packages

SIZE = 64
NUMBERS: dict[str, Any] = {
    "wavelengths": (3, 6, 12),  # of the first bank, in pixels
    "orientations": 6,
    "pool": 4,
    "second_wavelengths": (4,),  # in pixels of the pooled maps
    "second_orientations": 4,
    "width": 0.4,  # standard deviation of the envelope in wavelengths: a bandwidth of about 1.4 octaves
    "epsilon": 1e-6,  # added to squares before a root, whose derivative at 0 is infinite
}
CARD = ModelSettings(
    name="gabor.acme",
    size=(SIZE, SIZE),
    channels="gray",
    mean=(0.5,),
    std=(0.5,),
    license="Apache-2.0",
    about="mean and deviation of the moduli of Gabor filters of 3 scales and 6 orientations, twice",
).card(dim=2 * (3 * 6 + 3 * 6 * 4), input_shape=(1, SIZE, SIZE), constants=NUMBERS)


def load(device: str, weights: Mapping[str, Path]) -> Embedder:
    from acme_gabor.embedder import Gabor

    return Gabor(CARD, NUMBERS, device)


@hookimpl
def register_embedders(register: Register) -> None:
    require_packages("torch")
    register(CARD, load)
