"""Samples after decoding: float32 between -1 and 1, one channel or the mean over all, at the rate that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def scaled(values: NDArray[Any]) -> Floats:
    """Integers of any width scaled to [-1, 1) as libsndfile does; floating-point numbers as they are."""
    found: Floats = values.astype(np.float32, copy=False)
    if values.dtype == np.uint8:
        found = (found - np.float32(128)) / np.float32(128)
    elif values.dtype.kind == "i":
        found /= np.float32(2.0 ** (8 * values.itemsize - 1))
    return found


def mono(samples: Floats, channel: int | None) -> Floats:
    """(n, channels) -> (n,): the mean over channels, or one of them."""
    if samples.shape[1] == 1 or channel is not None:
        return np.ascontiguousarray(samples[:, channel or 0])
    mean: Floats = samples.mean(axis=1, dtype=np.float32)
    return mean


def resampled(blocks: Iterator[Floats], given: int, wanted: int) -> Iterator[Floats]:
    """Mono blocks at `given` Hz -> at `wanted` Hz, by soxr HQ, not clipped; bit for bit what one call makes of all."""
    if given == wanted:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(given, wanted, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)
