"""The embedder of `gabor.acme`. `TorchEmbedder` brings its device, its batches, its training and its export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sightsound.plugin import Card, Floats, Inputs, Output
from sightsound.torch import TorchEmbedder

if TYPE_CHECKING:
    from torch import nn


class Gabor(TorchEmbedder):
    def __init__(self, card: Card, numbers: Mapping[str, Any], device: str) -> None:
        super().__init__(card, device, cpu_batch_size=8)
        self.preprocess, self.numbers = Inputs(card), numbers

    def build(self) -> nn.Module:
        from acme_gabor.network import Textures

        return Textures(self.numbers)

    def postprocess(self, output: Output) -> Floats:
        return output.embeddings
