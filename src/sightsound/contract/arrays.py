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


def unit_rows(rows: Floats) -> Floats:
    """Return rows (n, d) scaled to length 1, as contiguous float32; a row of zeros remains zero."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
