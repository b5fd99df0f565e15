"""Fold batch norms into the convolutions before them: the same numbers to float32 rounding, in less time."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sightsound_timm.frameworks import timm

CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv2d, timm.layers.Conv2dSame)
"""Exactly these classes, no subclasses: others change their weights in each call."""

NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm2d, timm.layers.BatchNormAct2d)

log = logging.getLogger(__name__)
_lock = threading.Lock()


def fold_batch_norms(network: nn.Module, input_shape: Sequence[int]) -> nn.Module:
    """Fold every batch norm that is the only reader of a convolution into that convolution, in place.

    Parameters
    ----------
    network : torch.nn.Module
        On the CPU. It is put into evaluation mode, and runs once without numbers. It stays as it is otherwise if it
        does not run.
    input_shape : sequence of int
        The shape of one input, without the batch.

    Returns
    -------
    torch.nn.Module
        The same network.
    """
    network.eval()
    if any(type(module) in NORMS for module in network.modules()):
        for conv, norm in _foldable_pairs(network, input_shape):
            old: Any = network.get_submodule(norm)
            new: Any = fuse_conv_bn_eval(network.get_submodule(conv), old)  # type: ignore[type-var]
            network.set_submodule(conv, new)
            with_activation = isinstance(old, timm.layers.BatchNormAct2d)
            network.set_submodule(norm, nn.Sequential(old.drop, old.act) if with_activation else nn.Identity())
    return network


def _foldable_pairs(network: nn.Module, input_shape: Sequence[int]) -> list[tuple[str, str]]:
    """Return the names of each convolution and batch norm that are called once with nothing else between them.

    The network is watched while it runs, by hooks on its own modules. torch.fx would patch `nn.Module` for the whole
    process, so that networks in other threads fail.
    """
    for device in ("meta", "cpu"):  # shapes alone take milliseconds, but some networks need numbers
        try:
            return _watched_run(network, input_shape, device)
        except Exception as error:  # a network may raise anything
            log.debug("%s: batch norms not found on %s (%s)", type(network).__name__, device, error)
    return []


def _watched_run(network: nn.Module, input_shape: Sequence[int], device: str) -> list[tuple[str, str]]:
    """Run the network once, with its tensors on a device, and return the pairs."""
    tensors = {name: tensor.to(device) for name, tensor in (*network.named_parameters(), *network.named_buffers())}
    readers = _Readers()
    handles = [handle for name, module in network.named_modules() for handle in readers.watch(name, module)]
    try:
        with _lock, torch.no_grad(), readers:  # torch has one flag for all threads that use such a mode
            inputs = torch.zeros(1, *input_shape, device=device)
            readers.end(torch.func.functional_call(network, tensors, (inputs,)))
    finally:
        for handle in handles:
            handle.remove()
    return readers.pairs()


class _Readers(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes, in this thread, which batch norm or operator reads what a convolution returned."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._calls: Counter[str] = Counter()
        self._norms: dict[str, str] = {}  # the norm by the convolution that it reads
        self._read_otherwise: set[str] = set()
        self._reading = ""  # the convolution that is read by the norm that runs now

    def watch(self, name: str, module: nn.Module) -> list[Any]:
        """Put hooks on a convolution or a batch norm; return their handles."""
        if type(module) in CONVOLUTIONS:
            return [module.register_forward_hook(lambda _, args, output: self._returned(name, output))]
        if type(module) in NORMS:
            return [
                module.register_forward_pre_hook(lambda _, args: self._norm_begins(name, args[0])),
                module.register_forward_hook(lambda *_: self._norm_ends()),
            ]
        return []

    def end(self, output: Any) -> None:
        """Note what the network returned, since its caller reads that too."""
        self._read_otherwise.update(_convolution_of(leaf) for leaf in tree_leaves(output))

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs, in the order in which they were called."""
        once = {name for name, times in self._calls.items() if times == 1}
        found = self._norms.items()
        return [(c, n) for c, n in found if {c, n} <= once and c not in self._read_otherwise]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        read = {_convolution_of(leaf) for leaf in tree_leaves((args, kwargs))}
        self._read_otherwise |= read - {self._reading}
        return func(*args, **(kwargs or {}))

    def _returned(self, convolution: str, output: Tensor) -> None:
        self._calls[convolution] += 1
        vars(output)["_convolution"] = convolution

    def _norm_begins(self, norm: str, inputs: Tensor) -> None:
        self._calls[norm] += 1
        self._reading = _convolution_of(inputs)
        if self._reading:
            if self._reading in self._norms:  # a second norm reads it
                self._read_otherwise.add(self._reading)
            self._norms[self._reading] = norm

    def _norm_ends(self) -> None:
        self._reading = ""


def _convolution_of(value: Any) -> str:
    """Return the name of the convolution that returned a tensor, "" for any other value."""
    return getattr(value, "_convolution", "") if isinstance(value, Tensor) else ""
