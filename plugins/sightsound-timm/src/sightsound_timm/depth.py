"""The depth of a network: the convolutional and linear layers on the longest path from input to output."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

LAYERS = ("ConvolutionBackward", "AddmmBackward", "MmBackward", "LinearBackward")
"""How the nodes of autograd begin that belong to layers. Products of two activations, as in attention, are `Bmm`."""

log = logging.getLogger(__name__)


def depth_of(build: Callable[[], nn.Module], input_shape: Sequence[int]) -> int | None:
    """Return the depth of a network, or None if it does not run without numbers.

    Layers beside the longest path do not count: a ResNet-18 has 21 layers with weights, of which three are in
    shortcuts. Layers of squeeze-and-excitation are on the longest path.

    Parameters
    ----------
    build : callable
        Returns the network. It is called with torch's device `meta` as the default, which has shapes and no numbers.
    input_shape : sequence of int
        The shape of one input, without the batch.

    Returns
    -------
    int or None
    """
    try:
        with torch.device("meta"), torch.enable_grad():
            output = build().eval()(torch.zeros(1, *input_shape, requires_grad=True))
    except Exception as error:  # a network may raise anything
        log.debug("the depth is not known: %s", error)
        return None
    return max(longest_path(leaf) for leaf in tree_leaves(output) if isinstance(leaf, Tensor))


def longest_path(output: Tensor) -> int:
    """Return how many layers are on the longest path to a tensor in the graph that autograd made of its calculation."""
    longest: dict[Any, int] = {}
    stack: list[Any] = [output.grad_fn]
    while stack:
        node = stack[-1]
        before = [] if node is None else [previous for previous, _ in node.next_functions if previous is not None]
        missing = [previous for previous in before if previous not in longest]
        if missing:
            stack += missing
            continue
        stack.pop()
        own = node is not None and node.name().startswith(LAYERS)
        longest[node] = own + max((longest[previous] for previous in before), default=0)
    return longest[output.grad_fn]
