"""One vector for each item: how its windows become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError

Pool = Literal["mean", "max", "mean+std"]
POOLS: tuple[str, ...] = get_args(Pool)


def pooled(rows: Floats, how: Pool) -> Floats:
    """Rows float32 (n, dim), n at least 1 -> float32 (dim,): their mean, their greatest, or mean and standard
    deviation one after the other, (2 dim,). Raises `SightsoundError` for another word."""
    ways: dict[str, Callable[[Floats], Floats]] = {
        "mean": lambda rows: rows.mean(axis=0),
        "max": lambda rows: rows.max(axis=0),
        "mean+std": lambda rows: np.concatenate([rows.mean(axis=0), rows.std(axis=0)]),
    }
    if how not in ways:
        raise SightsoundError(f"pool: expected one of {', '.join(ways)}, got {how!r}")
    return ways[how](rows)
