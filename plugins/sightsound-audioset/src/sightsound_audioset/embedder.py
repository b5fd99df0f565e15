"""The embedder of VGGish and YAMNet: log-mel patches, one forward pass, the published last step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Layer, Output, Windows, cores
from sightsound.torch import choose_device, forward
from sightsound.torch.layers import Plan, Tapped
from sightsound_audioset import layers, log_mel

ACCELERATOR_BATCH_SIZE = 64
"""Inputs in a batch on other devices than a CPU: a usual choice, not measured."""


class PatchEmbedder:
    """An embedder of log-mel patches.

    On a CPU each call of `embed` keeps to one core, and `workers` is the number of cores.

    Parameters
    ----------
    card : Card
        The card.
    network : torch.nn.Module
        Takes float32 (n, 96, 64). Returns embeddings (n, d), or embeddings and scores (n, classes).
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    cpu_batch_size : int
        Inputs in a batch on a CPU.
    last_step : callable, optional
        Maps embeddings float32 (n, d) to rows float32 (n, dim). By default the rows are the embeddings.
    plan : Plan, optional
        Layers to take rows from.
    """

    def __init__(
        self,
        card: Card,
        network: torch.nn.Module,
        device: str,
        *,
        cpu_batch_size: int,
        last_step: Callable[[Floats], Floats] | None = None,
        plan: Plan | None = None,
    ) -> None:
        self.card = card
        self._device = choose_device(device)
        network = (network if plan is None else Tapped(network, plan)).eval().requires_grad_(False)
        self.network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._last_step = last_step
        on_cpu = self._device.type == "cpu"
        self.batch_size = cpu_batch_size if on_cpu else ACCELERATOR_BATCH_SIZE
        self.workers = cores() if on_cpu else 1

    @property
    def device(self) -> str:
        """The device of the network: `cpu`, `cuda:0`, ..."""
        return str(self._device)

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return the log-mel patches, float32 (n, 96, 64), of a block of samples at 16 kHz."""
        return log_mel.windows(self.card, media, start, last)

    def embed(self, inputs: Floats) -> Output:
        """Return the output of the network for patches (n, 96, 64)."""
        found = forward(self.network, inputs, self._device)
        return Output(*found) if isinstance(found, tuple) else Output(found)

    def postprocess(self, output: Output) -> Floats:
        """Return the embeddings after the published last step, if there is one."""
        return output.embeddings if self._last_step is None else self._last_step(output.embeddings)

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name. Raises `UnknownModel` if there are none."""
        return layers.list_layers(self.card)
