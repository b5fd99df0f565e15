"""Networks of torch that are ready to run, and heads for their embeddings."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from sightsound.contract.arrays import Floats
from sightsound.contract.embedder import Output
from sightsound.contract.linear_head import ROUNDING, LinearHead
from sightsound.torch.running import forward


class Network:
    """A network on its device. Several threads may call it at once.

    Parameters
    ----------
    module : torch.nn.Module
        Returns embeddings (n, d), or embeddings and scores (n, classes) or None.
    device : torch.device
        Where it runs; it is moved there.
    """

    def __init__(self, module: nn.Module, device: torch.device) -> None:
        module.eval().requires_grad_(False)
        self.module: Any = module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device

    def __call__(self, inputs: Floats) -> Output:
        """Return the output for inputs float32 (n, ...)."""
        found = forward(self.module, inputs, self._device)
        return Output(*found) if isinstance(found, tuple) else Output(found)


def embeddings_of(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return the embeddings (n, d) of inputs (n, ...), of a network that returns them, or a tuple with them first."""
    found = module(inputs)
    embeddings: Tensor = found[0] if isinstance(found, tuple) else found
    return embeddings


class EmbeddingsOnly(nn.Module):
    """The embeddings of a network without its scores.

    Parameters
    ----------
    network : torch.nn.Module
        Returns embeddings (n, d), or a tuple that begins with them.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Return embeddings (n, d)."""
        return embeddings_of(self.network, inputs)


class WithHead(EmbeddingsOnly):
    """A network with a linear classifier of its embeddings.

    Parameters
    ----------
    network : torch.nn.Module
        Returns embeddings (n, d), or a tuple that begins with them.
    weight, bias : float32 arrays (classes, d) and (classes,)
        The classifier.
    kind : {"softmax", "sigmoid"}
        What becomes of its logits.
    """

    def __init__(
        self, network: nn.Module, weight: Floats, bias: Floats, *, kind: Literal["softmax", "sigmoid"]
    ) -> None:
        super().__init__(network)
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        self.head.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float32))
        self.head.bias = nn.Parameter(torch.tensor(bias, dtype=torch.float32))
        self.kind = kind

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return embeddings (n, d) and scores (n, classes)."""
        embeddings = super().forward(inputs)
        logits = self.head(embeddings)
        return embeddings, logits.softmax(1) if self.kind == "softmax" else logits.sigmoid()


class WithLinearHead(EmbeddingsOnly):
    """A network with a linear classifier of prepared embeddings, computed in float64 where the device has it.

    Parameters
    ----------
    network : torch.nn.Module
        Returns embeddings (n, d), or a tuple that begins with them.
    head : LinearHead
        The classifier.
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor | None

    def __init__(self, network: nn.Module, head: LinearHead) -> None:
        super().__init__(network)
        self.register_buffer("weight", torch.tensor(head.weight))
        self.register_buffer("bias", torch.tensor(head.bias))
        self.register_buffer("centre", None if head.centre is None else torch.tensor(head.centre))
        self.kind, self.copies, self.sqrt, self.unit = head.kind, head.copies, head.sqrt, head.unit

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return embeddings (n, d) and scores (n, classes)."""
        embeddings = super().forward(inputs)
        x = torch.cat([embeddings.to(self.weight.dtype)] * self.copies, dim=1)
        if self.sqrt:
            x = x.sign() * x.abs().sqrt()
        if self.unit:
            x = x / _lengths(x).clamp_min(torch.finfo(x.dtype).tiny)
        if self.centre is not None:
            x = x - self.centre
            x = x / _lengths(x).clamp_min(ROUNDING)
        logits = x @ self.weight.T + self.bias
        return embeddings, (logits.softmax(1) if self.kind == "softmax" else logits.sigmoid()).to(embeddings.dtype)


def _lengths(rows: Tensor) -> Tensor:
    return rows.square().sum(dim=1, keepdim=True).sqrt()
