"""The network of `gabor.acme`: its filters are computed, and are parameters that can be trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Pairs = tuple[NDArray[np.float64], NDArray[np.float64]]


def gabor_filters(wavelengths: Sequence[float], orientations: int, width: float) -> Pairs:
    """Return pairs of an even and an odd wave, and their envelopes, both (wavelengths * orientations, 2, side, side).

    Wave times envelope is a filter. A wave of amplitude 1 gives about 1 in the pair of its wavelength and direction; a
    constant image gives 0 in all.
    """
    radius = math.ceil(2.5 * width * max(wavelengths))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    waves, envelopes = [], []
    for wavelength in wavelengths:
        envelope = np.exp(-(x**2 + y**2) / (2 * (width * wavelength) ** 2))
        envelope /= envelope.sum()
        for angle in np.pi * np.arange(orientations) / orientations:
            wave = np.exp(2j * np.pi / wavelength * (x * np.cos(angle) + y * np.sin(angle)))
            wave = 2 * (wave - (envelope * wave).sum())
            waves.append((wave.real, wave.imag))
            envelopes.append((envelope, envelope))
    return np.array(waves), np.array(envelopes)


class Bank(nn.Module):
    """The moduli of each channel in each pair of filters: (n, channels, h, w) to (n, channels * pairs, h, w).

    The waves are parameters. Their envelopes are not: steps of one size suit the filters of all scales.
    """

    def __init__(self, channels: int, pairs: Pairs, epsilon: float) -> None:
        super().__init__()
        waves, envelopes = (
            torch.tensor(each, dtype=torch.float32).flatten(0, 1)[:, None].repeat(channels, 1, 1, 1) for each in pairs
        )
        self.waves = nn.Parameter(waves)
        self.envelopes: Tensor
        self.register_buffer("envelopes", envelopes)
        self.channels, self.margin, self.epsilon = channels, waves.shape[-1] // 2, epsilon

    def forward(self, images: Tensor) -> Tensor:
        framed = functional.pad(images, [self.margin] * 4, mode="reflect")
        found = functional.conv2d(framed, self.waves * self.envelopes, groups=self.channels)
        return (found[:, ::2].square() + found[:, 1::2].square() + self.epsilon).sqrt()


class Textures(nn.Module):
    """Mean and deviation over positions of the moduli of a bank, and of those of a second bank that filters them."""

    def __init__(self, numbers: Mapping[str, Any]) -> None:
        super().__init__()
        self.epsilon, width = numbers["epsilon"], numbers["width"]
        first = gabor_filters(numbers["wavelengths"], numbers["orientations"], width)
        second = gabor_filters(numbers["second_wavelengths"], numbers["second_orientations"], width)
        self.first = Bank(1, first, self.epsilon)
        self.pool = nn.AvgPool2d(numbers["pool"])
        self.second = Bank(len(first[0]), second, self.epsilon)

    def forward(self, images: Tensor) -> Tensor:
        fine = self.first(images)
        return torch.cat([*self.moments(fine), *self.moments(self.second(self.pool(fine)))], 1)

    def moments(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        mean = maps.mean((2, 3), keepdim=True)
        return mean.flatten(1), ((maps - mean).square().mean((2, 3)) + self.epsilon).sqrt()
