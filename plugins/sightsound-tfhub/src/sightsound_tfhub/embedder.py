"""The embedder of a SavedModel. Importing this module imports no framework."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Inputs, Output, cores
from sightsound_tfhub.archive import unpacked

if TYPE_CHECKING:
    from sightsound_tfhub.network import Network


class SavedModelEmbedder:
    """Runs one function of a SavedModel.

    Parameters
    ----------
    card : Card
        The card of `read_card`.
    device : str
        As for `Load`.
    file : pathlib.Path
        The SavedModel in one file.
    """

    def __init__(self, card: Card, device: str, file: Path) -> None:
        self.card, self.device = card, device
        self.preprocess = Inputs(card)
        self._file = file
        self._network: Network | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Import TensorFlow, load the SavedModel and call it once."""
        self._loaded()

    @property
    def workers(self) -> int:
        """As many as there are cores, each with one; one on a GPU."""
        return 1 if self.device.startswith("cuda") else cores()

    def embed(self, inputs: Floats) -> Output:
        """Return embeddings (n, dim), and scores if the card has classes, for inputs (n, *card.input_shape)."""
        constants = self.card.constants
        found = self._loaded().outputs(inputs)
        embeddings = _pooled(found[constants["embedding"]])
        if not constants["output"]:
            return Output(embeddings)
        scores = found[constants["output"]]
        return Output(embeddings, _pooled(_probabilities(scores, self.card.scores) if constants["logits"] else scores))

    def postprocess(self, output: Output) -> Floats:
        """Return the embeddings as they are."""
        return output.embeddings

    def _loaded(self) -> Network:
        with self._lock:
            if self._network is None:
                from sightsound_tfhub.network import Network

                name = self.card.constants["function"]
                network = Network(unpacked(self._file), self.card.name, self.device, name)
                network.outputs(np.zeros((1, *self.card.input_shape), np.float32))
                self.device = network.device.removeprefix("/").lower().replace("gpu", "cuda").replace("cpu:0", "cpu")
                self._network = network
            return self._network


def _pooled(values: NDArray[Any]) -> Floats:
    """Return one row (n, d) for each input: the mean over all axes between the first and the last."""
    rows: Floats = values.reshape(len(values), -1, values.shape[-1] if values.ndim > 1 else 1).mean(axis=1)
    return rows


def _probabilities(logits: Floats, kind: str | None) -> Floats:
    """Return the softmax or the sigmoid of logits over the last axis."""
    if kind == "sigmoid":
        halves: Floats = 0.5 * (1 + np.tanh(0.5 * logits))  # as 1 / (1 + exp(-x)), which overflows
        return halves
    powers: Floats = np.exp(logits - logits.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers
