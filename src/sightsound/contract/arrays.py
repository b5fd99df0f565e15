"""Types of arrays, and rows scaled to unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
"""Embeddings, scores, samples and inputs of networks."""

Seconds = NDArray[np.float64]
"""Positions in a recording, in seconds from its beginning."""

Matrix = NDArray[Any]
"""Real numbers; float64 unless a docstring says otherwise."""


_BLOCK = 2**20
"""Numbers in float64 at once, so that scaling needs little memory beside the rows."""


def row_lengths(rows: NDArray[Any]) -> Matrix:
    """Return the lengths of rows (n, d), float64 (n,), in little memory."""
    lengths = np.empty(len(rows))
    step = max(1, _BLOCK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        lengths[start : start + step] = np.linalg.norm(rows[start : start + step].astype(np.float64), axis=1)
    return lengths


def unit_rows(rows: Floats) -> Floats:
    """Return rows (n, d) scaled to length 1, as contiguous float32; a row of zeros remains zero.

    Beside the rows it needs the memory of the result, and a few megabytes.
    """
    scaled = np.empty(rows.shape, np.float32)
    step = max(1, _BLOCK // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        lengths = row_lengths(block)[:, None]
        scaled[start : start + step] = block / np.where(lengths > 0, lengths, 1)
    return scaled


def rounded_scores(scores: Floats) -> Floats:
    """Return scores to the precision of float16, in which libraries keep them.

    Thresholds apply to these, so that a file and a library give the same segments.
    """
    return scores.astype(np.float16).astype(np.float32)


BEST_KEPT = 20
"""How many of the best classes of a softmax libraries keep."""


def best_columns(scores: Floats) -> NDArray[np.intp]:
    """Return the columns (n, 20) of the best scores of each row (n, classes), in rising order."""
    return np.sort(np.argpartition(-scores, BEST_KEPT - 1, axis=1)[:, :BEST_KEPT], axis=1)


def scores_as_kept(scores: Floats, kind: str | None) -> Floats:
    """Return scores (n, classes) as a library gives them back, float32 (n, classes).

    They have the precision of float16, and of a softmax over many classes all but the best twenty are 0. `kind` is
    "sigmoid" or "softmax", as on the card of the network.
    """
    rounded = rounded_scores(scores)
    if kind != "softmax" or scores.shape[1] <= BEST_KEPT:
        return rounded
    best = best_columns(scores)
    kept = np.zeros_like(rounded)
    np.put_along_axis(kept, best, np.take_along_axis(rounded, best, axis=1), axis=1)
    return kept


def is_sparse(rows: NDArray[Any], zeros: float) -> bool:
    """Return whether features (n, d) are non-negative, and a proportion of them or more are zero."""
    return bool(rows.min() >= 0 and np.mean(rows == 0) >= zeros)
