"""Which layers of a torch network can give rows, found by running the network without its weights."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sightsound.contract.embedder import Layer

Survey = Mapping[str, Layer | str]
"""For each module by name its `Layer`, or the reason in words why it cannot give rows."""

_BATCH = 2
_CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)

_Call = tuple[int, ...] | str
"""What a module returned in one call: the shape of a tensor of real numbers, or the name of another type."""

log = logging.getLogger(__name__)


def survey(
    build: Callable[[], nn.Module], input_shape: Sequence[int], larger: Callable[[], nn.Module] | None = None
) -> Survey:
    """Find out what every module of a network returns for one input.

    The network runs on torch's device `meta`, which computes shapes without numbers, or on the CPU if that fails. It
    runs again on inputs of twice the height and width: an axis whose size stays the same counts the channels. If
    several axes stay the same, or the second run fails, the class of the module decides, or timm's `output_fmt`. If
    these do not decide either, maps are taken as (channels, height, width) and sequences as (tokens, channels).

    Parameters
    ----------
    build : callable
        Returns the network with any numbers. It may return the same network each time.
    input_shape : sequence of int
        The shape of one input, without the batch.
    larger : callable, optional
        Returns a network for inputs of twice the height and width, if its size is fixed when it is built.

    Returns
    -------
    Survey
        An entry for each module but the network itself, in the network's order.

    Raises
    ------
    Exception
        What the network raises, if it does not run on the CPU either.
    """
    device = "meta"
    network, calls, error = _watched_run(build, input_shape, device)
    if network is None or error is not None:
        device = "cpu"
        network, calls, error = _watched_run(build, input_shape, device)
        if network is None or error is not None:
            raise error or AssertionError
    double = [*input_shape[:-2], *(2 * side for side in input_shape[-2:])]
    _, larger_calls, error = _watched_run(larger or build, double, device)
    log.debug("layers of %s: %s", type(network).__name__, error or "both runs succeeded")
    return {
        name: _layer(network, name, calls.get(name, []), larger_calls.get(name, []))
        for name, _ in network.named_modules(remove_duplicate=False)
        if name
    }


def usable(found: Survey) -> list[Layer]:
    """Return the layers that can give rows, in the network's order."""
    return [layer for layer in found.values() if isinstance(layer, Layer)]


def _watched_run(
    build: Callable[[], nn.Module], shape: Sequence[int], device: str
) -> tuple[nn.Module | None, dict[str, list[_Call]], Exception | None]:
    """Run the network once; return it, what each module returned in each call, and the error that ended the run."""
    network: nn.Module | None = None
    calls: dict[str, list[_Call]] = {}
    handles = []

    def keep(name: str, module: nn.Module, args: Any, output: Any) -> None:
        real = isinstance(output, Tensor) and output.is_floating_point()
        calls.setdefault(name, []).append(tuple(output.shape) if real else type(output).__name__)

    try:
        with torch.device(device), torch.inference_mode():
            network = build().eval()
            for name, module in network.named_modules(remove_duplicate=False):
                handles.append(module.register_forward_hook(functools.partial(keep, name)))
            network(torch.zeros(_BATCH, *shape))
    except Exception as error:  # a network may raise anything without numbers, or for inputs of another size
        return network, calls, error
    finally:
        for handle in handles:  # `build` may return the same network again
            handle.remove()
    return network, calls, None


def _layer(network: nn.Module, name: str, calls: Sequence[_Call], larger_calls: Sequence[_Call]) -> Layer | str:
    """Return the layer for the last call of a module, or the reason why it gives no rows."""
    if not calls:
        return "it is never called"
    shape = calls[-1]
    if isinstance(shape, str):
        return f"it gives no tensor of real numbers but {shape}"
    if len(shape) < 2 or shape[0] != _BATCH:
        return f"it gives {shape} for {_BATCH} inputs, which is not one row for each; name a layer around it"
    larger = larger_calls[-1] if larger_calls and isinstance(larger_calls[-1], tuple) else ()
    axis = _channel_axis(network, name, shape[1:], larger[1:])
    return Layer(name, type(network.get_submodule(name)).__name__, shape[1:], axis, len(calls))


def _channel_axis(network: nn.Module, name: str, shape: Sequence[int], larger: Sequence[int]) -> int | None:
    """Return the axis of a shape without the batch that counts the channels, or None if it cannot be decided."""
    last = len(shape) - 1
    constant = [axis for axis, sizes in enumerate(zip(shape, larger)) if len(set(sizes)) == 1]
    constant = constant if len(shape) == len(larger) else []
    allowed = constant or [*range(len(shape))]
    if len(allowed) == 1:
        return allowed[0]
    for first in (_channels_first(network, name), {2: True, 1: False}.get(last)):
        if first is not None and (0 if first else last) in allowed:
            return 0 if first else last
    return constant[-1] if constant else None


def _channels_first(network: nn.Module, name: str) -> bool | None:
    """Decide by the class of a module, or by timm's `output_fmt` of it or a module around it; None if unknown."""
    module = network.get_submodule(name)
    kind = type(module)
    if isinstance(module, _CHANNELS_FIRST):
        return True
    if kind is nn.Linear or (isinstance(module, nn.LayerNorm) and not kind.__name__.endswith("2d")):
        return False
    around = [name.rsplit(".", depth)[0] for depth in range(name.count(".") + 1)]
    layouts = [getattr(network.get_submodule(outer), "output_fmt", None) for outer in (*around, "")]
    return next((layout in ("NCHW", "NCL") for layout in layouts if layout), None)
