"""What VGGish and YAMNet share once they are loaded: log-mel patches in, one forward pass, the published last step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

import torch
from sightsound._threads import cores
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.embedder import Layer, Output, Windows
from sightsound.torch import device as torch_device
from sightsound.torch import forward
from sightsound.torch.layers import Plan, Tapped
from sightsound_audioset import log_mel

_ACCELERATOR_BATCH_SIZE = 64


class PatchEmbedder:
    """An embedder of log-mel patches. The network gives embeddings, or embeddings and scores; with a `plan`, what its
    layers give instead. `last_step` maps embeddings to rows (none: they are the rows). On a CPU each call keeps to one
    core, with a worker for every core."""

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
        self._device = torch_device(device)
        network = (network if plan is None else Tapped(network, plan)).eval().requires_grad_(False)
        self.network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._last_step = last_step
        on_cpu = self._device.type == "cpu"
        self.batch_size = cpu_batch_size if on_cpu else _ACCELERATOR_BATCH_SIZE
        self.workers = cores() if on_cpu else 1

    @property
    def device(self) -> str:
        """Where the network is: `cpu`, `cuda:0`, ..."""
        return str(self._device)

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        return log_mel.windows(self.card, media, start, last)

    def embed(self, inputs: Floats) -> Output:
        found = forward(self.network, inputs, self._device)
        return Output(*found) if isinstance(found, tuple) else Output(found)

    def postprocess(self, output: Output) -> Floats:
        return output.embeddings if self._last_step is None else self._last_step(output.embeddings)

    def layers(self) -> list[Layer]:
        """The layers that the option `layer` may name. Raises `UnknownModel` where there are none."""
        from sightsound_audioset import layers

        return layers.listed(self.card)
