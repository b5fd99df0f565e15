"""The embedder of a network that OpenCV runs. Importing this module does not import OpenCV."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from sightsound.plugin import Card, Floats, Inputs, Output, cores
from sightsound_opencv.network import Network
from sightsound_opencv.plan import pooled


class OpenCVEmbedder:
    """A network of Caffe or Darknet, on the CPU.

    Parameters
    ----------
    card : Card
        Its constants `layers`, `pool` and `output` say which layers give the rows and the scores.
    files : sequence of pathlib.Path
        Its layers and its weights.
    """

    batch_size = 4  # convolutions take as long for an image in any batch, inner products less in larger ones
    threads = 1

    def __init__(self, card: Card, files: Sequence[Path]) -> None:
        self.card = card
        self.workers = cores()
        self.preprocess = Inputs(card)
        self._files = files

    def prepare(self) -> None:
        """Read the files. Raises `SightsoundError` if they are damaged or do not fit one another."""
        self._network  # noqa: B018

    def embed(self, inputs: Floats) -> Output:
        """Return rows and scores for inputs (n, channels, height, width)."""
        constants, network = self.card.constants, self._network
        names = [network.layer(column["name"]) for column in constants["layers"]]
        output = network.layer(constants["output"]) if self.card.classes else ""
        found = network.run(inputs, [*names, *filter(None, [output])])
        rows = np.concatenate([pooled(found[name], constants["pool"]) for name in names], axis=1)
        return Output(rows, self._scores(found[output].reshape(len(inputs), -1)) if output else None)

    def postprocess(self, output: Output) -> Floats:
        """Return the rows as they are."""
        return output.embeddings

    @cached_property
    def _network(self) -> Network:
        network = Network(self._files)
        network.open(self.card.input_shape)
        return network

    def _scores(self, values: Floats) -> Floats:
        if not self.card.constants["logits"]:
            return values
        if self.card.scores == "sigmoid":
            return np.asarray(np.exp(-np.logaddexp(0, -values)), np.float32)
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
