"""The embedder of a bundle. Importing this module does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Layer, Output, Windows, frames
from sightsound.torch import TorchEmbedder
from sightsound_torchaudio import cards

if TYPE_CHECKING:
    from torch import nn

CPU_SECONDS, ACCELERATOR_SECONDS = 8, 64
"""Seconds of sound in a batch, on a CPU as measured (README.md, Speed)."""


class SpeechEmbedder(TorchEmbedder):
    """The mean over time of one transformer layer of a bundle, for each window.

    Parameters
    ----------
    card : Card
        The card, with the layer among its constants.
    file : pathlib.Path
        The file with its weights.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    """

    def __init__(self, card: Card, file: Path, device: str) -> None:
        (window,) = card.input_shape
        sizes = [max(1, seconds * cards.RATE // window) for seconds in (CPU_SECONDS, ACCELERATOR_SECONDS)]
        super().__init__(card, device, cpu_batch_size=sizes[0], accelerator_batch_size=sizes[1])
        self._bundle_card = card  # `derive` gives the embedder another card, whose network has the same parts
        self._file = file

    def build(self) -> nn.Module:
        """Return the network: waveforms (n, samples) to embeddings (n, dim).

        Raises `SightsoundError` if the file is not one of this network.
        """
        from sightsound_torchaudio.network import LayerMean, filled

        constants = self._bundle_card.constants
        network = filled(self._bundle_card.name.partition(".")[0], self._file)
        return LayerMean(network, constants["layer"], constants["normalize_eps"])

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return the windows, float32 (n, samples), of a block of samples at 16 kHz; the last may be padded."""
        return Windows(*frames(self.card, media, start, last))

    def postprocess(self, output: Output) -> Floats:
        """Return the means as they are."""
        return output.embeddings

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name."""
        return cards.layers(self._bundle_card)
