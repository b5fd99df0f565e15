"""The embedder of a network that is a graph of named tensors, whatever program runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.embedder import Output, Windows
from sightsound.contract.graph import Run, rows_of, run_batches
from sightsound.contract.linear_head import probabilities
from sightsound.media.inputs import Inputs


class GraphEmbedder:
    """Runs a network on the CPU; each call keeps to one core.

    Parameters
    ----------
    card : Card
        What `graph_card` made.
    opened : callable
        `opened(names, shape)` returns what runs the network, as `Graph.opened`. It is called by `prepare`.
    batch_size : int
        Inputs in a batch; measure it.
    workers : int
        Threads that may run the network at once.
    """

    threads = 1
    device = "cpu"

    def __init__(
        self,
        card: Card,
        opened: Callable[[Sequence[str], tuple[int, ...]], Run],
        *,
        batch_size: int,
        workers: int,
    ) -> None:
        self.card, self.batch_size, self.workers = card, batch_size, workers
        self.preprocess: Callable[[NDArray[Any], int, bool], Windows] = Inputs(card)
        self._opened = opened

    def prepare(self) -> None:
        """Open the network."""
        self._run  # noqa: B018

    @cached_property
    def _run(self) -> Run:
        constants = self.card.constants
        names = [constants["embedding"], *([constants["output"]] if self.card.scores else [])]
        return self._opened(names, self.card.input_shape)

    def embed(self, inputs: Floats) -> Output:
        """Return embeddings float32 (n, dim) and scores float32 (n, classes) or None."""
        constants = self.card.constants
        found = run_batches(self._run, inputs, constants["batch"], constants["input_dtype"])
        embeddings, *rest = rows_of(found, constants)
        if self.card.scores is None:
            return Output(embeddings)
        scores = probabilities(rest[0], self.card.scores) if constants["logits"] else rest[0]
        return Output(embeddings, scores)

    def postprocess(self, output: Output) -> Floats:
        """Return the embeddings as they are."""
        return output.embeddings
