"""Rows from named layers of a torch network.

A plugin resolves `NAME[layer=a+b,pool=max]` in three steps:

    found = survey(blank, card.input_shape)  # `blank()` builds the network with any numbers
    plan = choose(card.name, options, found)  # the plugin registers or returns plan.card(card)
    network = Tapped(network, plan)  # in `load`: float (n, *input_shape) -> float (n, plan.dim)
"""

from __future__ import annotations

import functools
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from sightsound.contract.card import Card
from sightsound.contract.embedder import Layer
from sightsound.contract.errors import SightsoundError, UnknownModel
from sightsound.contract.layer_names import LAYER_OPTIONS, named
from sightsound.contract.paths import nearest
from sightsound.torch.layer_survey import Survey, survey, usable

__all__ = ["POOLS", "Layer", "Plan", "Survey", "Tapped", "choose", "survey", "usable"]

POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda x: x.mean(2),
    "max": lambda x: x.amax(2),
    "std": lambda x: x.std(2, correction=0),
}
"""Each takes (n, channels, positions) and returns (n, channels). `flat` keeps every number instead."""


# -- which layers are wanted -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The layers that rows are taken from, and how their positions are pooled.

    Attributes
    ----------
    layers : tuple of Layer
        In the order of the columns of a row.
    pools : tuple of str
        `flat` alone, or some of `POOLS` in order.
    """

    layers: tuple[Layer, ...]
    pools: tuple[str, ...]

    @property
    def dim(self) -> int:
        """The length of a row."""
        return sum(map(self.width, self.layers))

    def width(self, layer: Layer) -> int:
        """Return how many columns of a row a layer has: one per channel and pool, or all its numbers."""
        pooled = len(layer.shape) > 1 and self.pools != ("flat",)
        return (layer.dim or 0) * len(self.pools) if pooled else math.prod(layer.shape)

    def rows(self, layer: Layer, output: Tensor) -> Tensor:
        """Return the columns of a layer.

        Parameters
        ----------
        layer : Layer
            One of `layers`.
        output : torch.Tensor
            What it returned, (n, *layer.shape).

        Returns
        -------
        torch.Tensor
            (n, self.width(layer)); it shares no memory with `output`.
        """
        if output.ndim == 2 or self.pools == ("flat",):
            return output.flatten(1).clone()
        positions = output.movedim((layer.axis or 0) + 1, 1).flatten(2)
        return torch.cat([POOLS[pool](positions) for pool in self.pools], dim=1)

    def card(self, base: Card) -> Card:
        """Return `base` with the layers in its name and constants, and without scores, which layers do not give."""
        pool = "+".join(self.pools)
        names = [layer.name for layer in self.layers]
        columns = [{"name": layer.name, "dim": self.width(layer), "axis": layer.axis} for layer in self.layers]
        return replace(
            base,
            name=named(base.name, names, "" if pool == "avg" else pool),
            dim=self.dim,
            classes=None,
            scores=None,
            top1=None,
            top1_source="",
            constants={**base.constants, "layers": columns, "pool": pool},
            about=f"layers {', '.join(names)} ({pool}) of: {base.about}",
        )


def choose(model: str, options: Mapping[str, Any], found: Survey) -> Plan:
    """Return the plan for the options of a model's name.

    Parameters
    ----------
    model : str
        The name without these options, for error messages.
    options : mapping
        `layer`, names joined by +, and optionally `pool`: `avg` (the default), `max`, `std`, several of them joined by
        +, or `flat`.
    found : Survey
        The layers of the network.

    Returns
    -------
    Plan
        The plan.

    Raises
    ------
    UnknownModel
        For other options, for layers that do not exist or give no rows, and for other pools.
    """
    see = f"see `sightsound models layers {model}`"
    names = [part.strip() for part in str(options.get("layer", "")).split("+")]
    if set(options) - {option.name for option in LAYER_OPTIONS} or not all(names) or options.get("layer") is True:
        got = ",".join(key if value is True else f"{key}={value}" for key, value in options.items())
        raise UnknownModel(f"{model}[{got}]: expected layer=NAME or layer=NAME+NAME, then pool=avg or another; {see}")
    if len(set(names)) < len(names):
        raise UnknownModel(f"{model}[layer={'+'.join(names)}]: expected each layer once; leave one of them out")
    pools = _pools(model, options.get("pool", "avg"))
    layers = tuple(_usable_layer(model, name, found, see) for name in names)
    for layer in layers:
        if layer.axis is None and pools != ("flat",):
            raise UnknownModel(
                f"layer {layer.name!r} of {model}: expected (channels), (tokens, channels) or (channels, height, "
                f"width), got {layer.shape}; use pool=flat"
            )
    return Plan(layers, pools)


def _pools(model: str, text: str | bool) -> tuple[str, ...]:
    pools = tuple(part.strip() for part in str(text).split("+"))
    if pools != ("flat",) and (set(pools) - set(POOLS) or len(set(pools)) < len(pools)):
        raise UnknownModel(
            f"pool of {model}: expected flat, or some of {', '.join(POOLS)} joined by +, got {text!r}; use pool=avg"
        )
    return pools


def _usable_layer(model: str, name: str, found: Survey, see: str) -> Layer:
    layer = found.get(name)
    if isinstance(layer, Layer):
        return layer
    if layer is not None:
        raise UnknownModel(f"layer {name!r} of {model}: expected a module that gives rows, but {layer}; {see}")
    similar = nearest(name, [layer.name for layer in usable(found)], cutoff=0.5)
    mean = f"did you mean {similar!r}? " if similar else ""
    raise UnknownModel(f"layer {name!r} of {model}: expected a module's name; {mean}{see}")


# -- the network that gives them ---------------------------------------------------------------------------------------


class _AllLayersSeen(Exception):
    """Ends the forward pass: the rest of the network is not needed."""


class Tapped(nn.Module):
    """A network that returns the rows of a plan and stops after the last layer that it needs.

    If a module is called several times in one pass, its last call counts. Several threads may call the network at once.

    Parameters
    ----------
    network : torch.nn.Module
        The whole network. It gets a forward hook on each layer of the plan.
    plan : Plan
        The layers.
    """

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.network = network
        self.plan = plan
        self._pass = threading.local()
        for layer in plan.layers:
            network.get_submodule(layer.name).register_forward_hook(functools.partial(self._keep, layer))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return rows (n, plan.dim) for inputs (n, *input_shape).

        Raises `SightsoundError` if a layer was not called in this pass.
        """
        rows: dict[str, Tensor] = {}
        self._pass.rows, self._pass.left = rows, Counter({layer.name: layer.calls for layer in self.plan.layers})
        try:
            self.network(inputs)
        except _AllLayersSeen:
            pass
        finally:
            self._pass.rows = None
        for layer in self.plan.layers:
            if layer.name not in rows:
                raise SightsoundError(f"layer {layer.name!r}: expected one call at least, got none; name another layer")
        return torch.cat([rows[layer.name] for layer in self.plan.layers], dim=1)

    def _keep(self, layer: Layer, module: nn.Module, args: Any, output: Tensor) -> None:
        if getattr(self._pass, "rows", None) is None:  # the network was called directly
            return
        self._pass.rows[layer.name] = self.plan.rows(layer, output)
        self._pass.left[layer.name] -= 1
        if max(self._pass.left.values()) <= 0:
            raise _AllLayersSeen
