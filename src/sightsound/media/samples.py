"""Samples after decoding: float32 from -1 to 1, mono, resampled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats

_PAIRWISE = 8
"""From so many channels on NumPy's `mean` adds them in another order than one after the other, and is fast enough."""


def to_float32(values: NDArray[Any]) -> Floats:
    """Return integers of any width scaled to [-1, 1) as libsndfile does it, and floating-point numbers unchanged."""
    found: Floats = values.astype(np.float32, copy=False)
    if values.dtype == np.uint8:
        found = (found - np.float32(128)) / np.float32(128)
    elif values.dtype.kind == "i":
        found /= np.float32(2.0 ** (8 * values.itemsize - 1))
    return found


def scale_integers(values: NDArray[np.int16], out: Floats) -> None:
    """Write 16-bit integers, scaled to [-1, 1), into `out`. No number is rounded."""
    np.multiply(values, np.float32(2.0**-15), out=out)


def to_mono(samples: Floats, channel: int | None) -> Floats:
    """Return one channel, or the mean over all if it is None: (n,) for samples (n, channels)."""
    count = samples.shape[1]
    if count == 1 or channel is not None:
        return np.ascontiguousarray(samples[:, channel or 0])
    mean: Floats
    if count >= _PAIRWISE:
        mean = samples.mean(axis=1, dtype=np.float32)
        return mean
    mean = samples[:, 0] + samples[:, 1]
    for other in range(2, count):
        mean += samples[:, other]
    mean /= np.float32(count)
    return mean


def resample(blocks: Iterator[Floats], source_rate: int, target_rate: int) -> Iterator[Floats]:
    """Resample mono blocks by soxr HQ, not clipped.

    Parameters
    ----------
    blocks : iterator of ndarray
        float32 (n,).
    source_rate, target_rate : int
        In Hz.

    Yields
    ------
    ndarray
        float32 (n,); joined they are bit for bit the result of one call on all samples.
    """
    if source_rate == target_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(source_rate, target_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.empty(0, np.float32), last=True)
