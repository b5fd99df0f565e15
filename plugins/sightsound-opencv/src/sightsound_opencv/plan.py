"""Rows from layers: which layers, and how the positions of a layer become one number for each channel."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sightsound.plugin import LAYER_OPTIONS, Card, Floats, Layer, UnknownModel, with_option

POOLS: Mapping[str, Callable[[Floats], Floats]] = {
    "avg": lambda positions: positions.mean(axis=2),
    "max": lambda positions: positions.max(axis=2),
    "std": lambda positions: positions.std(axis=2),
}
"""Each takes (n, channels, positions) and returns (n, channels). `flat` keeps every number instead."""


def width(shape: tuple[int, ...], pool: str) -> int:
    """Return how many columns of a row a layer has, whose output for one image has this shape."""
    return math.prod(shape) if pool == "flat" or len(shape) == 1 else shape[0] * len(pool.split("+"))


def pooled(output: Floats, pool: str) -> Floats:
    """Return the columns (n, width) of a layer.

    Parameters
    ----------
    output : float32 array (n, channels) or (n, channels, ...)
        What the layer gives.
    pool : str
        `flat`, or some of `POOLS` joined by +.
    """
    if pool == "flat" or output.ndim == 2:
        return output.reshape(len(output), -1)
    positions = output.reshape(*output.shape[:2], -1)
    return np.concatenate([POOLS[each](positions) for each in pool.split("+")], axis=1)


def with_layers(card: Card, options: Mapping[str, Any], found: list[Layer]) -> Card:
    """Return the card of a model with the options `layer` and `pool`.

    Parameters
    ----------
    card : Card
        The card without options.
    options : mapping
        `layer`, names joined by +, and optionally `pool`.
    found : list of Layer
        The layers of the network.

    Raises
    ------
    UnknownModel
        For other options, layers or pools.
    """
    see = f"see `sightsound models layers {card.name}`"
    names, pool = str(options.get("layer", "")).split("+"), str(options.get("pool", "avg"))
    parts = pool.split("+")
    if pool != "flat" and (set(parts) - set(POOLS) or len(set(parts)) < len(parts)):
        raise UnknownModel(f"pool of {card.name}: expected flat, or some of {', '.join(POOLS)} joined by +, got {pool}")
    known = {layer.name: layer for layer in found}
    for name in names:
        if name not in known or names.count(name) > 1:
            similar = difflib.get_close_matches(name, known, 1, 0.5)
            mean = f"did you mean {similar[0]!r}? " if similar and name not in known else ""
            raise UnknownModel(f"layer {name!r} of {card.name}: expected a layer, each once; {mean}{see}")
    columns = [{"name": name, "dim": width(known[name].shape, pool), "axis": 0} for name in names]
    model = card.name
    for option in LAYER_OPTIONS:
        if option.name in options:
            model = with_option(model, option, options[option.name])
    return dataclasses.replace(
        card,
        name=model,
        dim=sum(int(str(column["dim"])) for column in columns),
        classes=None,
        scores=None,
        top1=None,
        constants={**card.constants, "layers": columns, "pool": pool, "output": ""},
        about=f"layers {', '.join(names)} ({pool}) of: {card.about}",
    )
