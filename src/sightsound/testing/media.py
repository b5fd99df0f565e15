"""Pictures and sounds to try a model on, made from fixed seeds: ordinary ones, and odd ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.card import Card
from sightsound.media import framing

Media = NDArray[Any]


def pictures() -> dict[str, Media]:
    """Ordinary pictures, uint8 RGB (h, w, 3), of several sizes, the same at every call."""
    chance = np.random.default_rng(1)
    y, x = np.mgrid[0:224, 0:224]
    noise = chance.integers(0, 256, (240, 320, 3)).astype(np.uint8)
    gradient = np.stack([x, y, 255 - x], axis=2).astype(np.uint8)
    stripes = np.zeros((300, 200, 3), np.uint8)
    stripes[::20], stripes[:, ::25] = (230, 60, 20), (20, 160, 240)
    discs = np.full((120, 160, 3), 40, np.uint8)
    y, x = np.mgrid[0:120, 0:160]
    for row, column, radius in chance.integers((10, 10, 5), (110, 150, 30), (6, 3)):
        discs[(y - row) ** 2 + (x - column) ** 2 < radius**2] = chance.integers(60, 256, 3)
    return {"noise": noise, "gradient": gradient, "stripes": stripes, "discs": discs}


def sounds(card: Card) -> dict[str, Media]:
    """Ordinary sounds, float32 in [-1, 1] at the card's rate, the same at every call: five windows and a part of one
    (at least half a second), or two seconds where the card has no windows."""
    rate, window, hop = cut(card)
    n = max(window + 4 * hop + hop // 3, rate // 2) if card.window else 2 * rate
    t, chance = np.arange(n) / rate, np.random.default_rng(2)
    high = 0.4 * rate
    clicks = chance.normal(0, 0.001, n)
    clicks[:: max(1, n // 17)] = 0.9
    made = {
        "noise": chance.normal(0, 0.1, n),
        "clicks": clicks,
        "chord": sum(0.2 * np.sin(2 * np.pi * f * t) * np.exp(-t * f / 900) for f in (220.0, 277.2, 329.6)),
        "chirp": 0.5 * np.sin(2 * np.pi * (60 * t + (high - 60) / (2 * n / rate) * t**2)),
    }
    return {name: np.asarray(samples, np.float32).clip(-1, 1) for name, samples in made.items()}


def odd(card: Card) -> dict[str, Media]:
    """What lies in real folders too: empty, tiny, narrow, loud and long items."""
    if card.modality == "image":
        sizes = {"1 x 1 pixel": (1, 1), "5000 x 3 pixels": (3, 5000), "3 x 5000 pixels": (5000, 3)}
        made = {name: np.full((h, w, 3), (200, 90, 30), np.uint8) for name, (h, w) in sizes.items()}
        return made | {name: np.full((64, 64, 3), v, np.uint8) for name, v in (("all black", 0), ("all white", 255))}
    rate, window, hop = cut(card)
    chance = np.random.default_rng(3)
    noise = chance.normal(0, 0.1, max(2 * framing.BLOCK_SECONDS * rate, window) + hop + 7).astype(np.float32)
    return {
        "one sample": noise[:1],
        "half a window": noise[: max(1, window // 2)],
        "silence": np.zeros(window + hop + 1, np.float32),
        "loud (10 times full scale)": 100 * noise[: window + hop + 1],
        "very long": noise,
    }


def cut(card: Card) -> tuple[int, int, int]:
    """Rate, window and hop in samples; one second stands in for the window of a card that has none."""
    assert card.sample_rate is not None
    rate = card.sample_rate
    return rate, card.window or rate, card.hop or rate
