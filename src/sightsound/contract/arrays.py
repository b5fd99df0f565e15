"""The arrays that are passed around, and rows of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Seconds = NDArray[np.float64]
Matrix = NDArray[Any]
"""Real numbers; float64 unless it says otherwise."""


def unit_rows(rows: Floats) -> Floats:
    """Return rows (n, d) scaled to length 1, as contiguous float32; a row of zeros stays one."""
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.where(lengths > 0, lengths, 1), np.float32)
