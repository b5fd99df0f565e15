"""Images, sounds and texts to test a model on, made from fixed seeds: ordinary items and odd ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.card import Card
from sightsound.media.framing import BLOCK_SECONDS

Media = NDArray[Any]

TEXTS = ("a red car", "a dog that barks", "rain on a roof", "the sea at night")
"""Ordinary texts."""


def images() -> dict[str, Media]:
    """Return ordinary images by name, uint8 RGB (h, w, 3), of several sizes, the same in every call."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[0:224, 0:224]
    noise = random.integers(0, 256, (240, 320, 3)).astype(np.uint8)
    gradient = np.stack([x, y, 255 - x], axis=2).astype(np.uint8)
    stripes = np.zeros((300, 200, 3), np.uint8)
    stripes[::20], stripes[:, ::25] = (230, 60, 20), (20, 160, 240)
    discs = np.full((120, 160, 3), 40, np.uint8)
    y, x = np.mgrid[0:120, 0:160]
    for row, column, radius in random.integers((10, 10, 5), (110, 150, 30), (6, 3)):
        discs[(y - row) ** 2 + (x - column) ** 2 < radius**2] = random.integers(60, 256, 3)
    return {"noise": noise, "gradient": gradient, "stripes": stripes, "discs": discs}


def sounds(card: Card) -> dict[str, Media]:
    """Return ordinary sounds by name, the same in every call.

    Parameters
    ----------
    card : Card
        A card for sound.

    Returns
    -------
    dict of str to ndarray
        float32 from -1 to 1 at the card's rate. They last five windows and a fraction of one, and at least half a
        second; two seconds if the card has no windows.
    """
    rate, window, hop = rate_window_hop(card)
    n = max(window + 4 * hop + hop // 3, rate // 2) if card.window else 2 * rate
    t, random = np.arange(n) / rate, np.random.default_rng(2)
    high = 0.4 * rate
    clicks = random.normal(0, 0.001, n)
    clicks[:: max(1, n // 17)] = 0.9
    made = {
        "noise": random.normal(0, 0.1, n),
        "clicks": clicks,
        "chord": sum(0.2 * np.sin(2 * np.pi * f * t) * np.exp(-t * f / 900) for f in (220.0, 277.2, 329.6)),
        "chirp": 0.5 * np.sin(2 * np.pi * (60 * t + (high - 60) / (2 * n / rate) * t**2)),
    }
    return {name: np.asarray(samples, np.float32).clip(-1, 1) for name, samples in made.items()}


def odd_items(card: Card) -> dict[str, Media]:
    """Return unusual items by name, as real folders have them: tiny, narrow, silent, loud and long ones."""
    if card.modality == "image":
        sizes = {"1 x 1 pixel": (1, 1), "5000 x 3 pixels": (3, 5000), "3 x 5000 pixels": (5000, 3)}
        made = {name: np.full((h, w, 3), (200, 90, 30), np.uint8) for name, (h, w) in sizes.items()}
        return made | {name: np.full((64, 64, 3), v, np.uint8) for name, v in (("all black", 0), ("all white", 255))}
    rate, window, hop = rate_window_hop(card)
    random = np.random.default_rng(3)
    noise = random.normal(0, 0.1, max(2 * BLOCK_SECONDS * rate, window) + hop + 7).astype(np.float32)
    return {
        "one sample": noise[:1],
        "half a window": noise[: max(1, window // 2)],
        "silence": np.zeros(window + hop + 1, np.float32),
        "loud (10 times full scale)": 100 * noise[: window + hop + 1],
        "very long": noise,
    }


def odd_texts() -> dict[str, str]:
    """Return unusual texts by name, as users type them: empty, in other scripts, of many lines and very long."""
    return {
        "an empty text": "",
        "a space": " ",
        "one letter": "a",
        "German": "Straßenbahn, größer als üblich",
        "Japanese": "赤い車が雨の中を走る",
        "Arabic": "سيارة حمراء",
        "emoji": "🐕‍🦺 barks 🚗",
        "combining marks": "e\u0301a\u0308" * 3,
        "two lines and a tab": "a red car\n\ta dog",
        "a very long text": "a red car and a dog that barks at it, " * 300,
    }


def rate_window_hop(card: Card) -> tuple[int, int, int]:
    """Return the rate in Hz, and window and hop in samples: one second each if the card has no windows."""
    assert card.sample_rate is not None
    rate = card.sample_rate
    return rate, card.window or rate, card.hop or rate
