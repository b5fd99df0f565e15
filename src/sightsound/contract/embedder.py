"""What a plugin author implements: an embedder, what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card


@dataclass(frozen=True)
class Windows:
    """A network's inputs for one stretch of an item.

    `inputs` is float32 (n, *card.input_shape), n may be 0; `spans` float64 (n, 2), the seconds of the item that each
    input covers, clipped to the item, or None for images; `padded` whether the last input was filled up with zeros.
    """

    inputs: Floats
    spans: Seconds | None = None
    padded: bool = False


@dataclass(frozen=True)
class Output:
    """Embeddings float32 (n, d) and, from a network with a classifier, scores float32 (n, len(card.labels))."""

    embeddings: Floats
    scores: Floats | None = None


@dataclass(frozen=True)
class Layer:
    """A layer that rows can be taken from, as in `resnet18.tv_in1k[layer=layer3]`: its name, its kind (a class), the
    `shape` of its output for one input, the `axis` of this shape that counts channels (None where nothing tells), and
    how many times the network calls it for one input; the last counts."""

    name: str
    kind: str
    shape: tuple[int, ...]
    axis: int | None = 0
    calls: int = 1

    @property
    def dim(self) -> int | None:
        """How many channels."""
        return None if self.axis is None else self.shape[self.axis]


class Embedder(Protocol):
    """A card and three methods; nothing to inherit. `stages.py` calls them unless a plugin stands in for one.

    Three more attributes are read where they exist: `batch_size` (int, the number of inputs that was measured best for
    the device it was loaded on; 8 otherwise), `workers` (int, how many threads may call `embed` at the same time,
    each call keeping to one core; 1 otherwise) and `layers` (a method without arguments that gives a list of `Layer`:
    those that the option `layer` of its name may name; none otherwise). `embed` raises `MemoryError` when the batch
    does not fit the device: the host then halves it.
    """

    card: Card

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Image: uint8 RGB (h, w, 3), start 0, last True. Sound: float32 mono (samples,) at `card.sample_rate`,
        nominally in [-1, 1], never clipped: a block that begins at sample `start` of the item, cut so that every
        window is whole; only the block that is `last` may be padded. `media.framing.frames` does the cutting.
        """

    def embed(self, inputs: Floats) -> Output:
        """float32 (n, *card.input_shape), n at least 1 -> Output; row i depends on row i alone."""

    def postprocess(self, output: Output) -> Floats:
        """The network's own published last step, row by row; -> float32 (n, card.dim)."""


class Load(Protocol):
    """`load(device, weights)`, which may be slow: device is "auto", "cpu", "cuda", "cuda:1" or "mps"; weights maps the
    name of each file in `card.weights` to its verified local path. It may have a method `layers` as an embedder has,
    which is asked first, since it needs no weights."""

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder: ...
