"""The embedder of VGGish and YAMNet: log-mel patches, one forward pass, the published last step.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Layer, Output, Windows
from sightsound.torch import TorchEmbedder
from sightsound_audioset import log_mel

if TYPE_CHECKING:
    from torch import nn

    from sightsound.torch.layers import Plan


class PatchEmbedder(TorchEmbedder):
    """An embedder of log-mel patches.

    Parameters
    ----------
    card : Card
        The card.
    build : callable
        Returns a new network: float32 (n, 96, 64) to embeddings (n, d), or embeddings and scores (n, classes).
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    cpu_batch_size : int
        Inputs in a batch on a CPU.
    last_step : callable, optional
        Maps embeddings float32 (n, d) to rows float32 (n, dim). By default the rows are the embeddings.
    plan : Plan, optional
        Layers to take rows from.
    precision : str
        The precision of its products, as it is shown to the user.
    """

    def __init__(
        self,
        card: Card,
        build: Callable[[], nn.Module],
        device: str,
        *,
        cpu_batch_size: int,
        last_step: Callable[[Floats], Floats] | None = None,
        plan: Plan | None = None,
        precision: str = "float32",
    ) -> None:
        super().__init__(card, device, cpu_batch_size=cpu_batch_size, plan=plan)
        self._build = build
        self._last_step = last_step
        self.precision = precision

    def build(self) -> nn.Module:
        """Return the network: patches (n, 96, 64) to embeddings, or embeddings and scores."""
        return self._build()

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return the log-mel patches, float32 (n, 96, 64), of a block of samples at 16 kHz."""
        return log_mel.windows(self.card, media, start, last)

    def postprocess(self, output: Output) -> Floats:
        """Return the embeddings after the published last step, if there is one."""
        return output.embeddings if self._last_step is None else self._last_step(output.embeddings)

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name. Raises `UnknownModel` if there are none."""
        from sightsound_audioset import layers

        return layers.list_layers(self.card)
