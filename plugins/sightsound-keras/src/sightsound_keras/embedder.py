"""The embedder of a network of Keras. Importing this module imports neither Keras nor torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Inputs, Output, Windows
from sightsound.torch import TorchEmbedder
from sightsound_keras.backend import built

if TYPE_CHECKING:
    from torch import nn

    from sightsound.torch.layers import Plan

CPU_BATCH_SIZE = 4


class KerasEmbedder(TorchEmbedder):
    """A network of Keras on a device.

    Parameters
    ----------
    card : Card
        The card; see `KerasNetwork` for its constants.
    load : callable
        Returns the network of Keras with its numbers.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    plan : Plan, optional
        Layers to take rows from.
    """

    def __init__(self, card: Card, load: Callable[[], Any], device: str, plan: Plan | None = None) -> None:
        super().__init__(card, device, cpu_batch_size=CPU_BATCH_SIZE)
        self._network_card = card  # `derive` gives the embedder another card, whose network has the same parts
        self._load = load
        self._layers = plan
        self._inputs = Inputs(card)

    def build(self) -> nn.Module:
        """Return the network: inputs (n, *input_shape) to embeddings (n, dim), or to these and scores.

        Raises `SightsoundError` if the weights are not those of this network.
        """
        from sightsound_keras.network import KerasNetwork

        card = self._network_card
        return built(lambda: KerasNetwork(self._load(), card.constants, card.scores, self._layers))

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return the inputs of an image or a block of sound, as the card says."""
        return self._inputs(media, start, last)

    def postprocess(self, output: Output) -> Floats:
        """Return the embeddings as they are."""
        return output.embeddings
