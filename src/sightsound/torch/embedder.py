"""An embedder around a network of torch. Importing this module does not import torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sightsound._threads import cores
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.embedder import Output
from sightsound.contract.errors import SightsoundError
from sightsound.contract.linear_head import LinearHead

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from sightsound.torch.layers import Plan
    from sightsound.torch.network import Network

Head = tuple[Floats, Floats]
"""Weights (classes, d) and biases (classes,) of a linear classifier of embeddings."""


class TorchEmbedder:
    """What embedders around a network of torch have in common. A subclass adds `build`, `preprocess`, `postprocess`.

    The network is built by `prepare`, or when it is first needed. On a CPU each call of `embed` keeps to one core, and
    `workers` is the number of cores.

    Parameters
    ----------
    card : Card
        The card.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    cpu_batch_size : int
        Inputs in a batch on a CPU; measure it.
    accelerator_batch_size : int
        Inputs in a batch on other devices.
    plan : Plan, optional
        Layers to take rows from.
    """

    threads = 1

    def __init__(
        self,
        card: Card,
        device: str,
        *,
        cpu_batch_size: int,
        accelerator_batch_size: int = 64,
        plan: Plan | None = None,
    ) -> None:
        self.card = card
        self._wanted = device
        self._batch_sizes = cpu_batch_size, accelerator_batch_size
        self._plan = plan
        self._state: Mapping[str, Tensor] | None = None
        self._head: Head | LinearHead | None = None

    def build(self) -> nn.Module:
        """Return a new network with its numbers, on the CPU.

        It takes inputs (n, *card.input_shape), and returns embeddings (n, d), or embeddings and scores (n, classes).
        """
        raise NotImplementedError

    def folded(self, network: nn.Module) -> nn.Module:
        """Return a network of `build` so changed that it runs faster and gives the same numbers."""
        return network

    def prepare(self) -> None:
        """Build the network. Raises `SightsoundError` if the weights do not fit or the device does not exist."""
        self.network  # noqa: B018

    @cached_property
    def network(self) -> Network:
        """The network, ready to run on its device."""
        return self.network_at("float32")

    def network_at(self, precision: str) -> Network:
        """Return a new network that is ready to run on the device.

        Parameters
        ----------
        precision : {"float32", "bf16", "fp16"}
            Of its products. A head that `derive` got is computed in float32 or float64.

        Raises
        ------
        CannotRun
            If the device does not have the precision.
        SightsoundError
            If the weights do not fit.
        """
        from sightsound.torch.network import Network
        from sightsound.torch.precision import at_precision, require_precision

        require_precision(precision, self._device)
        module = self.module()
        module = at_precision(module if self._plan else self.folded(module), precision)
        return Network(self._with_head(module), self._device)

    @cached_property
    def _device(self) -> torch.device:
        from sightsound.torch.running import choose_device

        return choose_device(self._wanted)

    @property
    def device(self) -> str:
        """The device of the network: `cpu`, `cuda:0`, ..."""
        return str(self._device)

    @property
    def batch_size(self) -> int:
        """The number of inputs for which `embed` is most efficient."""
        return self._batch_sizes[self._device.type != "cpu"]

    @property
    def workers(self) -> int:
        """How many threads may call `embed` at once: the number of cores on a CPU, else 1."""
        return cores() if self._device.type == "cpu" else 1

    @property
    def linear_head(self) -> LinearHead | None:
        """The head that `derive` got, None without one."""
        if self._head is None or isinstance(self._head, LinearHead):
            return self._head
        weight, bias = (np.asarray(each, np.float64) for each in self._head)
        return LinearHead(weight=weight, bias=bias, kind=self.card.scores or "softmax", labels=self.card.labels)

    def embed(self, inputs: Floats) -> Output:
        """Return the output of the network for inputs (n, *card.input_shape)."""
        return self.network(inputs)

    def module(self) -> nn.Module:
        """Return a new copy of the network with its numbers, trainable, unfolded, in evaluation mode, on the CPU.

        It returns embeddings (n, d), or a tuple that begins with them. A head that `derive` got is not part of it.
        """
        module = self.build()
        if self._plan is not None:
            from sightsound.torch.layers import Tapped

            module = Tapped(module, self._plan)
        if self._state is not None:
            module.load_state_dict(self._state)
        return module.eval()

    def derive(
        self, card: Card, state: Mapping[str, Any] | None, head: Head | LinearHead | None = None
    ) -> TorchEmbedder:
        """Return the same network with other numbers.

        Parameters
        ----------
        card : Card
            Its card.
        state : mapping of str to torch.Tensor, or None
            The state dict of a `module()`; None for its own numbers.
        head : LinearHead, or pair of float32 arrays (classes, d) and (classes,), optional
            A linear classifier of embeddings that gives the scores, in the order of `card.classes`. Without one the
            network has the scores of its own classifier if `card.scores` says so, or of its own head if the classes
            are the same.

        Returns
        -------
        TorchEmbedder
            An embedder whose network is not built yet.

        Raises
        ------
        SightsoundError
            If the state does not fit, when the network is built.
        """
        rows = head.weight if isinstance(head, LinearHead) else head[0] if head else None
        if rows is not None and (card.classes is None or len(rows) != len(card.classes)):
            count = 0 if card.classes is None else len(card.classes)
            raise SightsoundError(f"{card.name}: head: expected {count} classes as on the card, got {len(rows)}")
        if head is None and card.classes == self.card.classes:
            head = self._head
        derived = copy.copy(self)
        vars(derived).pop("network", None)
        derived.card, derived._head = card, head
        derived._state = self._state if state is None else dict(state)
        return derived

    def _with_head(self, module: nn.Module) -> nn.Module:
        from sightsound.torch.network import EmbeddingsOnly, WithHead, WithLinearHead

        if isinstance(self._head, LinearHead):
            return WithLinearHead(module, self._head)
        if self._head is not None:
            return WithHead(module, *self._head, kind=self.card.scores or "softmax")
        return module if self.card.scores else EmbeddingsOnly(module)
