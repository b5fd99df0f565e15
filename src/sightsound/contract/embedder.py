"""The contract of an embedder: what a plugin author implements.

An embedder turns an item into rows, one vector for each window, in three stages:

    preprocess   image, or block of sound  ->  Windows   cut, resize, transform to inputs of the network
    embed        inputs                    ->  Output    run the network
    postprocess  Output                    ->  rows      the last step that the network's publication prescribes

The rules for all stages:

* Row i depends on input i alone. A batch mixes windows of several items, in any number and order.
* The same item gives the same rows in every call and after every load.
* Arguments are read-only by agreement: the same array goes to several networks. A returned array is not written to
  again, also not by the next call: no buffer is used for two outputs. The host copies what it keeps all the same.
* `load` is light: it imports no framework. The network is built in `prepare`, or at the first use of what needs it.
* `preprocess` and `postprocess` are called from several threads at once, `embed` from up to `workers` threads. Keep no
  state of a call in `self`.
* All numbers are finite, for silent, tiny, huge and clipped items too.
* Exceptions are reported with the names of the stage and the plugin, and the item is marked as failed. Raise
  `MediaError` for an item that the network cannot take, `MemoryError` if a batch does not fit the device: the batch is
  then split in half and tried again.

`sightsound check-model NAME` tests these rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.options import Option, Value


@dataclass(frozen=True)
class Windows:
    """The inputs of the network for an image or a block of sound.

    Parameters
    ----------
    inputs : float32 array (n, *card.input_shape)
        One input for each window; n may be 0.
    spans : float64 array (n, 2) or None
        For sound the start and end of each window in seconds of the item, ascending, with the end clipped to the end of
        the item. None for images.
    padded : bool
        Whether the last window was padded with zeros.
    """

    inputs: Floats
    spans: Seconds | None = None
    padded: bool = False


@dataclass(frozen=True)
class Output:
    """What the network computes for n inputs.

    Parameters
    ----------
    embeddings : float32 array (n, d)
        Vectors of any length d; `postprocess` makes rows of length `card.dim` from them.
    scores : float32 array (n, len(card.classes)) or None
        Probabilities from 0 to 1 as `card.scores` says, or None if that is None.
    """

    embeddings: Floats
    scores: Floats | None = None


@dataclass(frozen=True)
class Layer:
    """A layer whose output can be used as rows, as in `resnet18.tv_in1k[layer=layer3]`.

    Parameters
    ----------
    name : str
        The name to use in `[layer=NAME]`.
    kind : str
        The class of the layer, for example "Conv2d".
    shape : tuple of int
        Shape of its output for one input, without the batch axis.
    axis : int or None
        The axis of `shape` that counts channels, None if unknown.
    calls : int
        How often the network calls the layer for one input; the output of the last call is used.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    axis: int | None = 0
    calls: int = 1

    @property
    def dim(self) -> int | None:
        """The number of channels, None if unknown."""
        return None if self.axis is None else self.shape[self.axis]


class Embedder(Protocol):
    """A card and three methods; there is no base class.

    Optional attributes say how the network runs, see `Execution`: `batch_size` (int, the number of inputs for which
    `embed` is most efficient on this device, by default 8); `workers` (int, how many threads may call `embed` at once,
    by default 1); `threads` (int, the cores that one call uses, by default 1); `device` (str, by default "cpu");
    `precision` (str, by default "float32"). The host reads them after `prepare`.

    Optional methods:

    * `prepare() -> None` builds the network. The host calls it once before the first `embed`, unless a runtime runs the
      network. What it raises is an error of loading.
    * `text(texts: list[str]) -> float32 (n, d)` returns vectors of texts that may be compared with those of `embed`;
      `postprocess` is applied to both. `card.text` is True then. What it needs is built at its first call.
    * `logit_scale() -> float | None` returns what the cosines of rows with those of texts are multiplied by before the
      softmax, if the weights have it. `constants["text"]["logit_scale"]` of the card holds otherwise.
    * `layers() -> list[Layer]` lists what `[layer=NAME]` may name.
    * `module() -> torch.nn.Module` returns a new copy of the network with its numbers, trainable and unfolded, in
      evaluation mode. Called with the inputs as a tensor, it returns the embeddings, or a tuple that begins with them.
    * `derive(card, state, head) -> Embedder` returns the same network with another card, with `state` (the state dict
      of a `module()`, or None for its own numbers), and with a linear head for the scores: `head` is None, a pair of
      float32 arrays (classes, d) and (classes,) that map embeddings to logits, or a `LinearHead`.
    * `openvino_model() -> openvino.Model` returns the network as a graph of OpenVINO, for networks whose numbers the
      graph of a traced `module()` would not keep. It takes the inputs, float32 (n, *card.input_shape) with n not set,
      and gives embeddings (n, d), and scores (n, classes) if the card has scores; a head that `derive` got is part of
      it. It raises `CannotRun` if these numbers cannot be had.
    * `examples() -> tuple[Floats, Output]` returns a few inputs and what the network makes of them. Runtimes are
      compared with these; without them the network itself is run once.
    """

    card: Card

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return the windows of an image, or those that begin in a block of sound.

        Parameters
        ----------
        media : uint8 array (height, width, 3) or float32 array (samples,)
            For an image RGB. For sound mono at `card.sample_rate`, nominally from -1 to 1, but not clipped. Blocks
            begin at multiples of `card.hop` and overlap such that every window is complete; a card without windows gets
            the whole recording.
        start : int
            Position of the first sample in the item; 0 for an image.
        last : bool
            Whether the item ends with this block; only then may the last window be padded. True for an image.

        Returns
        -------
        Windows
            For sound `sightsound.plugin.frames` cuts them as the card says.
        """

    def embed(self, inputs: Floats) -> Output:
        """Return the output of the network for inputs (n, *card.input_shape), n at least 1."""

    def postprocess(self, output: Output) -> Floats:
        """Return rows float32 (n, card.dim), each from its own row of the output."""


class Load(Protocol):
    """A function that loads an embedder; it reads small files at most, and imports no framework.

    It may have an attribute `layers`, a function like the method of an embedder. It is called instead of loading the
    network, so it needs no weights. An attribute `precision` says that of a network that is not in float32, such as
    "int8": no runtime is asked for another.
    """

    def __call__(self, device: str, weights: Mapping[str, Path]) -> Embedder:
        """Return an embedder with exactly the registered card.

        Parameters
        ----------
        device : str
            "auto" (the best that is available), "cpu", "cuda", "cuda:1" (a GPU by number) or "mps".
        weights : mapping of str to pathlib.Path
            The verified local file for the name of each file in `card.weights`.
        """


Register = Callable[[Card, Load], None]
"""What the hook `register_embedders` receives; a plugin calls it once for each embedder."""

Apply = Callable[[Card, Load, Value], tuple[Card, Load]]
"""Returns the card and the load function of a model with an option that a plugin adds, for those without it."""

RegisterOption = Callable[[Option, Callable[[Card], bool], Apply], None]
"""What the hook `register_options` receives: an option, which cards have it, and what it makes of a model."""
