"""Fold batch norms into the convolutions before them: the same numbers to float32 rounding, in less time."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sightsound_timm.frameworks import timm

CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv2d, timm.layers.Conv2dSame)
"""Exactly these classes, no subclasses: others change their weights in each call."""

NORMS: tuple[type[nn.Module], ...] = (nn.BatchNorm2d, timm.layers.BatchNormAct2d)

log = logging.getLogger(__name__)


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold every batch norm that is the only reader of a convolution into that convolution, in place.

    Parameters
    ----------
    network : torch.nn.Module
        Is put into evaluation mode. It stays as it is otherwise if torch.fx cannot trace it.

    Returns
    -------
    torch.nn.Module
        The same network.
    """
    network.eval()
    if any(type(module) in NORMS for module in network.modules()):
        for conv, norm in _foldable_pairs(network):
            old: Any = network.get_submodule(norm)
            new: Any = fuse_conv_bn_eval(network.get_submodule(conv), old)  # type: ignore[type-var]
            network.set_submodule(conv, new)
            with_activation = isinstance(old, timm.layers.BatchNormAct2d)
            network.set_submodule(norm, nn.Sequential(old.drop, old.act) if with_activation else nn.Identity())
    return network


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in (*CONVOLUTIONS, *NORMS) or super().is_leaf_module(m, module_qualified_name)


def _foldable_pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Return the names of each convolution and batch norm that are called once with nothing else between them."""
    try:
        calls = [node for node in _Tracer().trace(network).nodes if node.op == "call_module"]
    except Exception as error:  # tracing fails in many ways, depending on the network
        log.debug("%s: batch norm stays (%s)", type(network).__name__, error)
        return []
    times = Counter(node.target for node in calls)

    def kind(node: Any) -> type[nn.Module] | None:
        once = isinstance(node, fx.Node) and node.op == "call_module" and times[node.target] == 1
        return type(network.get_submodule(str(node.target))) if once else None

    return [
        (str(node.args[0].target), str(node.target))
        for node in calls
        if kind(node) in NORMS and kind(node.args[0]) in CONVOLUTIONS and len(node.args[0].users) == 1
    ]
