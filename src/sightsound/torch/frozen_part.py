"""A network in two: its first layers, which are frozen, and the rest. The output of the first part can be kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, fx, nn

from sightsound.torch.network import embeddings_of
from sightsound.torch.training import Trained, layers_with_parameters


@dataclass(frozen=True)
class SplitNetwork:
    """A network in two parts, which share its parameters.

    Parameters
    ----------
    first : torch.nn.Module
        The layers before the cut, all of them frozen: inputs (n, ...) to one tensor (n, ...).
    rest : torch.nn.Module
        From there to the output of the network, in evaluation mode.
    rest_training : torch.nn.Module
        The same in training mode.
    cut : str
        The name of the last step before the cut.
    """

    first: nn.Module
    rest: nn.Module
    rest_training: nn.Module
    cut: str


def split(trained: Trained, inputs: Tensor) -> SplitNetwork | None:
    """Split a network after the last frozen layer whose output is all that the rest of it needs.

    Parameters
    ----------
    trained : Trained
        The network, and what of it is frozen.
    inputs : torch.Tensor
        A batch for the network, on its device; the two parts must give the same numbers for it, bit for bit.

    Returns
    -------
    SplitNetwork or None
        None if there is no such layer, or the network cannot be traced.
    """
    frozen = trained.frozen
    try:
        evaluated = _parts(trained.module, frozen)
        with trained.training():
            taught = _parts(trained.module, frozen)
    except Exception:  # tracing runs the plugin's own `forward`, which may do anything with what stands for a tensor
        return None
    if evaluated is None or taught is None or evaluated[2] != taught[2]:
        return None
    found = SplitNetwork(evaluated[0], evaluated[1], taught[1], evaluated[2])
    with torch.no_grad():
        plain, parts = embeddings_of(trained.module, inputs), embeddings_of(found.rest, found.first(inputs))
    return found if torch.equal(plain, parts) else None


class _Tracer(fx.Tracer):
    """Traces the modules that own frozen layers and others. A module of one kind is a step, whatever it does inside.

    torch.fx watches the modules of the whole process meanwhile: those of other threads are run as they are.
    """

    def __init__(self, mixed: Collection[nn.Module]) -> None:
        super().__init__()
        self._mixed, self._thread = {id(each) for each in mixed}, threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return id(m) not in self._mixed

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def _parts(module: nn.Module, frozen: Collection[nn.Module]) -> tuple[nn.Module, nn.Module, str] | None:
    """Return the two parts, and the name of the last step of the first, or None if there is no place to cut."""
    held = {id(each) for each in frozen}

    def kinds(part: nn.Module) -> set[bool]:
        return {id(each) in held for _, each in layers_with_parameters(part)}

    graph = _Tracer([each for each in module.modules() if each is module or len(kinds(each)) == 2]).trace(module)
    nodes = list(graph.nodes)
    learnt = {id(each) for each in module.parameters() if each.requires_grad}
    fixed = set[fx.Node]()
    for node in nodes:
        if node.op == "output":
            break
        own = True
        if node.op == "call_module":
            own = False not in kinds(module.get_submodule(str(node.target)))
        elif node.op == "get_attr":
            own = id(attrgetter(str(node.target))(module)) not in learnt
        if own and all(each in fixed for each in node.all_input_nodes):
            fixed.add(node)
    cut = _cut(nodes, fixed)
    if cut is None:
        return None
    first, rest, end = fx.Graph(), fx.Graph(), nodes.index(cut) + 1
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes[:end]:
        copies[node] = first.node_copy(node, copies.__getitem__)
    first.output(copies[cut])
    copies = {cut: rest.placeholder("kept")}
    for at, node in enumerate(nodes):
        if node.op == "get_attr" or at >= end:
            copies[node] = rest.node_copy(node, copies.__getitem__)
    one, two = fx.GraphModule(module, first), fx.GraphModule(module, rest)
    return one.eval(), two, cut.name


def _cut(nodes: list[fx.Node], fixed: Collection[fx.Node]) -> fx.Node | None:
    """Return the last node from which alone all later ones follow, with nothing but fixed ones before it."""
    found, order = None, {node: at for at, node in enumerate(nodes)}
    for at, node in enumerate(nodes):
        if node not in fixed and node.op != "get_attr":
            break
        passed = {
            each for each in nodes[: at + 1] if each.op != "get_attr" and any(order[user] > at for user in each.users)
        }
        if passed == {node} and node.op != "placeholder":
            found = node
    return found
