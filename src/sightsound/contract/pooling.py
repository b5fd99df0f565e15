"""Pooling: the rows of an item's windows become one vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from sightsound.contract.arrays import Floats, is_sparse
from sightsound.contract.errors import SightsoundError

Pool = Literal["mean", "max", "mean+max", "mean+std"]
POOLS: tuple[str, ...] = get_args(Pool)


def pooled(rows: Floats, how: Pool) -> Floats:
    """Return one vector for the rows of an item.

    Parameters
    ----------
    rows : float32 array (n, dim)
        The embeddings of its windows, n at least 1.
    how : {"mean", "max", "mean+max", "mean+std"}
        The mean of each column, its maximum, or the means followed by the maxima or by the standard deviations
        (divisor n).

    Returns
    -------
    float32 array (dim,), or (2 * dim,) for "mean+max" and "mean+std"

    Raises
    ------
    SightsoundError
        If `how` is none of these.
    """
    ways: dict[str, Callable[[Floats], Floats]] = {
        "mean": lambda rows: rows.mean(axis=0),
        "max": lambda rows: rows.max(axis=0),
        "mean+max": lambda rows: np.concatenate([rows.mean(axis=0), rows.max(axis=0)]),
        "mean+std": lambda rows: np.concatenate([rows.mean(axis=0), rows.std(axis=0)]),
    }
    if how not in ways:
        raise SightsoundError(f"pool: expected one of {', '.join(ways)}, got {how!r}")
    return ways[how](rows)


def default_pool(rows: Floats) -> Pool:
    """Return how the windows of sounds are pooled by default, by the looks of rows (n, dim) alone.

    Non-negative features that are often zero, as of networks that end in a ReLU, say how strong something is. What is
    heard in one window would be diluted by a mean, so their maximum is taken. Of others both the mean and the maximum
    are.
    """
    return "max" if is_sparse(rows, 0.25) else "mean+max"
