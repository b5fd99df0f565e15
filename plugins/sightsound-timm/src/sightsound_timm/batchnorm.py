"""Batch norms that follow a convolution become part of it: the same numbers to float32 rounding, in less time."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch.nn.utils.fusion import fuse_conv_bn_eval

from torch import fx, nn

PLAIN = (nn.Conv2d, Conv2dSame)
"""Exactly these, no subclass: others change their weights in each call."""
NORMS = (nn.BatchNorm2d, BatchNormAct2d)
log = logging.getLogger(__name__)


def folded(network: nn.Module) -> nn.Module:
    """`network`, in which every batch norm that is the only reader of a convolution was folded into that convolution.

    A network that torch.fx cannot trace stays as it is.
    """
    network.eval()
    if any(type(module) in NORMS for module in network.modules()):
        for conv, norm in _pairs(network):
            old: Any = network.get_submodule(norm)
            new: Any = fuse_conv_bn_eval(network.get_submodule(conv), old)  # type: ignore[type-var]
            network.set_submodule(conv, new)
            rest = nn.Sequential(old.drop, old.act) if isinstance(old, BatchNormAct2d) else nn.Identity()
            network.set_submodule(norm, rest)
    return network


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in (*PLAIN, *NORMS) or super().is_leaf_module(m, module_qualified_name)


def _pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Names of (convolution, batch norm) that may become one: each is called once, and nothing else reads between."""
    try:
        calls = [node for node in _Tracer().trace(network).nodes if node.op == "call_module"]
    except Exception as error:  # whatever a network does that cannot be traced
        log.debug("%s: batch norm stays (%s)", type(network).__name__, error)
        return []
    times = Counter(node.target for node in calls)

    def kind(node: Any) -> type[nn.Module] | None:
        once = isinstance(node, fx.Node) and node.op == "call_module" and times[node.target] == 1
        return type(network.get_submodule(str(node.target))) if once else None

    return [
        (str(node.args[0].target), str(node.target))
        for node in calls
        if kind(node) in NORMS and kind(node.args[0]) in PLAIN and len(node.args[0].users) == 1
    ]
