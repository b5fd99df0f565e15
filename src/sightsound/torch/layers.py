"""Rows from named layers of a torch network: which there are, found without its weights, and a network that gives them.

A plugin that resolves `NAME[layer=a+b,pool=max]` does it in three steps:

    found = survey(blank, card.input_shape)  # `blank()` builds the network with whatever numbers
    plan = choose(card.name, options, found)  # and registers or returns plan.card(card)
    network = Tapped(network, plan)  # in `load`: float (n, *input_shape) -> float (n, plan.dim)
"""

from __future__ import annotations

import difflib
import functools
import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from sightsound.contract.card import Card
from sightsound.contract.embedder import Layer
from sightsound.contract.errors import SightsoundError, UnknownModel
from sightsound.contract.layer_names import named
from torch import Tensor, nn

OPTIONS = ("layer", "pool")
"""Of a model's name: the layers, joined by +, and how their positions become one number a channel."""

POOLS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda x: x.mean(2),
    "max": lambda x: x.amax(2),
    "std": lambda x: x.std(2, correction=0),
}
"""Each takes (n, channels, positions) and gives (n, channels). `flat` keeps every number instead."""

log = logging.getLogger(__name__)
_INPUTS = 2
_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)

Survey = Mapping[str, Layer | str]
"""Every module by name: its `Layer`, or in words why it cannot give rows."""


# -- which layers there are --------------------------------------------------------------------------------------------


def survey(
    build: Callable[[], nn.Module], input_shape: Sequence[int], larger: Callable[[], nn.Module] | None = None
) -> Survey:
    """What every module of the network that `build` makes gives for one input, from a run without numbers where the
    network lets itself be built so (torch's device `meta`).

    Which axis counts the channels is seen from a second run on inputs of twice the height and width: it is one that
    stays. Give `larger` where the network must be built anew for those. Where several stay, or that run fails, the kind
    of the module tells, or timm's `output_fmt`; else maps are (channels, height, width), sequences (tokens, channels).
    """
    where = "meta"
    network, seen, error = _watched(build, input_shape, where)
    if network is None or error is not None:
        where = "cpu"
        network, seen, error = _watched(build, input_shape, where)
        if network is None or error is not None:
            raise error or AssertionError
    double = [*input_shape[:-2], *(2 * side for side in input_shape[-2:])]
    _, grown, error = _watched(larger or build, double, where)
    log.debug("layers of %s: %s", type(network).__name__, error or "both runs went well")
    return {
        name: _layer(network, name, seen.get(name, []), grown.get(name, []))
        for name, _ in network.named_modules(remove_duplicate=False)
        if name
    }


def usable(found: Survey) -> list[Layer]:
    """Those that can give rows, in the network's order."""
    return [layer for layer in found.values() if isinstance(layer, Layer)]


def _watched(
    build: Callable[[], nn.Module], shape: Sequence[int], where: str
) -> tuple[nn.Module | None, dict[str, list[tuple[int, ...] | str]], Exception | None]:
    """The network, what each module gave at each of its calls, and the error that ended the run early."""
    network: nn.Module | None = None
    seen: dict[str, list[tuple[int, ...] | str]] = {}
    handles = []

    def keep(name: str, module: nn.Module, args: Any, output: Any) -> None:
        real = isinstance(output, Tensor) and output.is_floating_point()
        seen.setdefault(name, []).append(tuple(output.shape) if real else type(output).__name__)

    try:
        with torch.device(where), torch.inference_mode():
            network = build().eval()
            for name, module in network.named_modules(remove_duplicate=False):
                handles.append(module.register_forward_hook(functools.partial(keep, name)))
            network(torch.zeros(_INPUTS, *shape))
    except Exception as error:  # whatever a network does without numbers, or with inputs of another size
        return network, seen, error
    finally:
        for handle in handles:  # `build` may give the same network again
            handle.remove()
    return network, seen, None


def _layer(
    network: nn.Module, name: str, calls: Sequence[tuple[int, ...] | str], grown: Sequence[tuple[int, ...] | str]
) -> Layer | str:
    if not calls:
        return "it is never called"
    shape = calls[-1]
    if isinstance(shape, str):
        return f"it gives no tensor of real numbers but {shape}"
    if len(shape) < 2 or shape[0] != _INPUTS:
        return f"it gives {shape} for {_INPUTS} inputs, which is not one row for each; name a layer around it"
    larger = grown[-1] if grown and isinstance(grown[-1], tuple) else ()
    axis = _channels(network, name, shape[1:], larger[1:])
    return Layer(name, type(network.get_submodule(name)).__name__, shape[1:], axis, len(calls))


def _channels(network: nn.Module, name: str, shape: Sequence[int], larger: Sequence[int]) -> int | None:
    """Which axis of an output's shape, without the batch, counts the channels; None where nothing tells."""
    last = len(shape) - 1
    steady = [axis for axis, sizes in enumerate(zip(shape, larger)) if len(set(sizes)) == 1]
    steady = steady if len(shape) == len(larger) else []
    allowed = steady or [*range(len(shape))]
    if len(allowed) == 1:
        return allowed[0]
    for first in (_channels_first(network, name), {2: True, 1: False}.get(last)):
        if first is not None and (0 if first else last) in allowed:
            return 0 if first else last
    return steady[-1] if steady else None


def _channels_first(network: nn.Module, name: str) -> bool | None:
    """By the kind of a module, or by what timm says of it or of what it stands in; None where neither tells."""
    module = network.get_submodule(name)
    kind = type(module)
    if isinstance(module, _FIRST):
        return True
    if kind is nn.Linear or (isinstance(module, nn.LayerNorm) and not kind.__name__.endswith("2d")):
        return False
    around = [name.rsplit(".", depth)[0] for depth in range(name.count(".") + 1)]
    told = [getattr(network.get_submodule(outer), "output_fmt", None) for outer in (*around, "")]
    return next((layout in ("NCHW", "NCL") for layout in told if layout), None)


# -- which of them are wanted ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The layers that were named, in that order, and their pools: `flat` alone, or some of `POOLS` in order."""

    layers: tuple[Layer, ...]
    pools: tuple[str, ...]

    @property
    def dim(self) -> int:
        """Columns of a row: those of the first layer, then those of the next."""
        return sum(map(self.width, self.layers))

    def width(self, layer: Layer) -> int:
        """Columns of one layer: for each pool in turn one a channel, or all that it gives."""
        pooled = len(layer.shape) > 1 and self.pools != ("flat",)
        return (layer.dim or 0) * len(self.pools) if pooled else math.prod(layer.shape)

    def rows(self, layer: Layer, output: Tensor) -> Tensor:
        """A layer's output (n, *layer.shape) -> (n, its width), which shares no memory with it."""
        if output.ndim == 2 or self.pools == ("flat",):
            return output.flatten(1).clone()
        positions = output.movedim((layer.axis or 0) + 1, 1).flatten(2)
        return torch.cat([POOLS[pool](positions) for pool in self.pools], dim=1)

    def card(self, base: Card) -> Card:
        """`base` with the layers in its name and constants, and without scores, which no layer gives."""
        pool = "+".join(self.pools)
        names = [layer.name for layer in self.layers]
        taken = [{"name": layer.name, "dim": self.width(layer), "axis": layer.axis} for layer in self.layers]
        return replace(
            base,
            name=named(base.name, names, "" if pool == "avg" else pool),
            dim=self.dim,
            labels=(),
            label_ids=(),
            scores=None,
            top1=None,
            constants={**base.constants, "layers": taken, "pool": pool},
            about=f"layers {', '.join(names)} ({pool}) of: {base.about}",
        )


def choose(model: str, options: Mapping[str, str | bool], found: Survey) -> Plan:
    """The plan that `layer` and `pool` among the options of `model` stand for; avg is the pool where none is named.

    Raises `UnknownModel` for other options, for layers that are not there or give no rows, and for other pools.
    """
    see = f"see `sightsound models layers {model}`"
    names = [part.strip() for part in str(options.get("layer", "")).split("+")]
    if set(options) - set(OPTIONS) or not all(names) or options.get("layer") is True:
        got = ",".join(key if value is True else f"{key}={value}" for key, value in options.items())
        raise UnknownModel(f"{model}[{got}]: expected layer=NAME or layer=NAME+NAME, then pool=avg or another; {see}")
    if len(set(names)) < len(names):
        raise UnknownModel(f"{model}[layer={'+'.join(names)}]: expected each layer once; leave one of them out")
    pools = _pools(model, options.get("pool", "avg"))
    layers = tuple(_named(model, name, found, see) for name in names)
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


def _named(model: str, name: str, found: Survey, see: str) -> Layer:
    layer = found.get(name)
    if isinstance(layer, Layer):
        return layer
    if layer is not None:
        raise UnknownModel(f"layer {name!r} of {model}: expected a module that gives rows, but {layer}; {see}")
    near = difflib.get_close_matches(name, [layer.name for layer in usable(found)], n=1, cutoff=0.5)
    mean = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownModel(f"layer {name!r} of {model}: expected a module's name; {mean}{see}")


# -- the network that gives them ---------------------------------------------------------------------------------------


class _Enough(Exception):
    """Every layer has been seen; what follows in the network is not needed."""


class Tapped(nn.Module):
    """`network` up to the last of the plan's layers: float (n, *input_shape) -> float (n, plan.dim).

    Of a module that is called several times the last call counts. Threads may call it at the same time. Raises
    `SightsoundError` where a layer was not reached this time.
    """

    def __init__(self, network: nn.Module, plan: Plan) -> None:
        super().__init__()
        self.network = network
        self.plan = plan
        self._now = threading.local()
        for layer in plan.layers:
            network.get_submodule(layer.name).register_forward_hook(functools.partial(self._keep, layer))

    def forward(self, inputs: Tensor) -> Tensor:
        rows: dict[str, Tensor] = {}
        self._now.rows, self._now.left = rows, Counter({layer.name: layer.calls for layer in self.plan.layers})
        try:
            self.network(inputs)
        except _Enough:
            pass
        finally:
            self._now.rows = None
        for layer in self.plan.layers:
            if layer.name not in rows:
                raise SightsoundError(f"layer {layer.name!r}: expected one call at least, got none; name another layer")
        return torch.cat([rows[layer.name] for layer in self.plan.layers], dim=1)

    def _keep(self, layer: Layer, module: nn.Module, args: Any, output: Tensor) -> None:
        if getattr(self._now, "rows", None) is None:  # somebody else calls the network
            return
        self._now.rows[layer.name] = self.plan.rows(layer, output)
        self._now.left[layer.name] -= 1
        if max(self._now.left.values()) <= 0:
            raise _Enough
