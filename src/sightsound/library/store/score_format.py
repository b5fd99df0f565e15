"""How the scores of classes are stored: as float16; of a softmax over many classes the best ones and the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import BEST_KEPT as BEST
from sightsound.contract.arrays import Floats, best_columns

KINDS = ("sigmoid", "softmax")
"""What scores are, as on the card of a network."""


def score_dtype(kind: str, count: int) -> np.dtype[Any]:
    """Return the type of the stored scores of a row with so many classes."""
    if kind == "softmax" and count > BEST:
        return np.dtype([("class", "<u4", (BEST,)), ("score", "<f2", (BEST,)), ("rest", "<f2")])
    return np.dtype(("<f2", (count,)))


def pack(scores: Floats, kind: str) -> NDArray[Any]:
    """Return scores, float32 (n, classes), as they are stored: (n,) of a structured type, or float16 (n, classes)."""
    n, count = scores.shape
    dtype = score_dtype(kind, count)
    if dtype.names is None:
        return np.ascontiguousarray(scores.astype("<f2"))
    best = best_columns(scores)
    packed = np.empty(n, dtype)
    packed["class"], packed["score"] = best, np.take_along_axis(scores, best, axis=1)
    packed["rest"] = np.maximum(0, 1 - packed["score"].astype(np.float32).sum(axis=1))
    return packed


def unpack(packed: NDArray[Any], count: int) -> Floats:
    """Return stored scores as float32 (n, count). Classes that are not among the best have 0.

    Raises
    ------
    ValueError
        If a class is none of the `count`, or a score is no number from 0 to 1. Call it inside `Database.decoding`.
    """
    if packed.dtype.names is None:
        scores = packed.astype(np.float32)
    else:
        if (packed["class"] >= count).any():
            raise ValueError(f"scores: expected classes up to {count}, got {packed['class'].max()}")
        scores = np.zeros((len(packed), count), np.float32)
        np.put_along_axis(scores, packed["class"].astype(np.int64), packed["score"].astype(np.float32), axis=1)
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError("scores: expected numbers from 0 to 1")
    return scores
