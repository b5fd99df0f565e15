"""A loaded embedder with the stages around it; the result of every call is checked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.decoding import shortest_side
from sightsound.contract.embedder import Embedder, Layer, Output, Windows
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.contract.execution import Execution
from sightsound.contract.space import Space
from sightsound.host.faults import array_problem, stage_error

log = logging.getLogger(__name__)


class Model:
    """A loaded embedder; `Host.load` returns it.

    Several threads may use it at once: `embed` runs in as many of them as the network has workers, `text` in one.

    Each stage raises `PluginError`, which names the stage and its plugins, if it raises an exception, returns nothing,
    or returns a shape or dtype that contradicts the card. `MemoryError` and errors of this package are passed on.

    Parameters
    ----------
    embedder : Embedder
        The embedder itself.
    space : Space
        The space of its rows.
    plugin : str
        The plugin that loaded it.
    stages : mapping of str to callable
        For each stage a function with the arguments of its hook. Its result is not checked.
    others : mapping of str to sequence of str
        For each stage the other plugins that wrap or replace it.
    build : callable, optional
        Returns the embedder with a network that is ready to run, and how it runs; see `prepare`. Without it the
        network is ready, and runs as the embedder says.
    """

    def __init__(
        self,
        embedder: Embedder,
        *,
        space: Space,
        plugin: str,
        stages: Mapping[str, Callable[..., Any]],
        others: Mapping[str, Sequence[str]],
        build: Callable[[], tuple[Embedder, Execution]] | None = None,
    ) -> None:
        self.embedder = embedder
        self.space = space
        self.plugin = plugin
        self.stages = stages
        self.others = others
        self._build, self._building = build, threading.Lock()
        self._reading_text = threading.Lock()
        if build is None:
            self._set_execution(execution_of(embedder, embedder.card, plugin))

    def prepare(self) -> None:
        """Build the network, if that was not done; `Host.load` does, unless only words are asked for.

        Raises
        ------
        SightsoundError
            If the network cannot be built, for example as its weight file is another.
        """
        with self._building:
            if self._build is not None:
                self.embedder, execution = self._build()
                self._set_execution(execution)
                self._build = None

    def _set_execution(self, execution: Execution) -> None:
        self._execution = execution
        self._embedding = threading.BoundedSemaphore(execution.workers)

    @property
    def execution(self) -> Execution:
        """How the network runs."""
        self.prepare()
        return self._execution

    @property
    def card(self) -> Card:
        """The card of the embedder."""
        return self.embedder.card

    @property
    def batch_size(self) -> int:
        """The number of inputs for which `embed` is most efficient on this device."""
        return self.execution.batch_size

    @property
    def workers(self) -> int:
        """How many threads may call `embed` at the same time."""
        return self.execution.workers

    @property
    def device(self) -> str:
        """The device on which it runs."""
        return self.execution.device

    @property
    def shortest_side(self) -> int | None:
        """The pixels that the shorter side of a JPEG keeps when it is decoded for this model, or None for all."""
        return shortest_side(self.card)

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name, in the order of the network.

        Raises
        ------
        SightsoundError
            If the embedder lists no layers.
        """
        return layers_of(self.embedder, self.card.name, self.plugin)

    def preprocess(self, media: NDArray[Any], start: int = 0, last: bool = True) -> Windows:
        """Return the windows of an image or of a block of sound.

        Parameters
        ----------
        media : uint8 array (height, width, 3) or float32 array (samples,)
            See `Embedder.preprocess`; `sightsound.media.framing.blocks` cuts recordings into blocks.
        start : int
            Position of the first sample in the item; 0 for an image.
        last : bool
            Whether the item ends with this block; True for an image.

        Returns
        -------
        Windows
            Inputs float32 (n, *card.input_shape); spans float64 (n, 2) for sound, None for an image.

        Raises
        ------
        PluginError
            See the class.
        """
        windows = self._call("preprocess", media=media, start=start, last=last)
        if not isinstance(windows, Windows):
            raise stage_error(self, "preprocess", f"expected Windows, got {type(windows).__name__}")
        self._check_array("preprocess", "inputs", windows.inputs, np.float32, (None, *self.card.input_shape))
        if self.card.modality == "sound":
            self._check_array("preprocess", "spans", windows.spans, np.float64, (len(windows.inputs), 2))
        elif windows.spans is not None:
            raise stage_error(self, "preprocess", "spans: expected None for an image")
        return windows

    def embed(self, inputs: Floats) -> Output:
        """Return the output of the network for inputs float32 (n, *card.input_shape), n at least 1.

        The arrays are copies, since runtimes may write the next output to the same memory.
        """
        self.prepare()
        with self._embedding:  # several pipelines may share a model
            output = self._call("embed", inputs=inputs)
        if not isinstance(output, Output):
            raise stage_error(self, "embed", f"expected Output, got {type(output).__name__}")
        self._check_array("embed", "embeddings", output.embeddings, np.float32, (len(inputs), None))
        if self.card.scores:
            self._check_array("embed", "scores", output.scores, np.float32, (len(inputs), len(self.card.labels)))
        elif output.scores is not None:
            raise stage_error(self, "embed", "scores: expected None, as the card has no scores")
        scores = None if output.scores is None else output.scores.copy()
        return replace(output, embeddings=output.embeddings.copy(), scores=scores)

    def postprocess(self, output: Output) -> Floats:
        """Return rows float32 (n, card.dim) for the output of n inputs.

        They are a copy, unless they are the embeddings of the output themselves.
        """
        rows: Floats = self._call("postprocess", output=output)
        self._check_array("postprocess", "rows", rows, np.float32, (len(output.embeddings), self.card.dim))
        return rows if rows is output.embeddings else rows.copy()

    def rows(self, media: NDArray[Any]) -> tuple[Seconds | None, Floats, Floats | None]:
        """Run all stages on one whole item, in batches of `batch_size`.

        Parameters
        ----------
        media : uint8 array (height, width, 3) or float32 array (samples,)
            An image, or a recording at `card.sample_rate`.

        Returns
        -------
        spans : float64 array (n, 2) or None
            Start and end of each window in seconds; None for an image.
        embeddings : float32 array (n, card.dim)
            One row for each window.
        scores : float32 array (n, len(card.labels)) or None
            None for a network without classes.
        """
        windows = self.preprocess(media)
        if not len(windows.inputs):
            none = np.empty((0, len(self.card.labels)), np.float32) if self.card.scores else None
            return windows.spans, np.empty((0, self.card.dim), np.float32), none
        rows: list[Floats] = []
        scores: list[Floats] = []
        for start in range(0, len(windows.inputs), self.batch_size):
            output = self.embed(windows.inputs[start : start + self.batch_size])
            rows.append(self.postprocess(output))
            scores += [] if output.scores is None else [output.scores]
        return windows.spans, np.concatenate(rows), np.concatenate(scores) if scores else None

    def text(self, texts: Sequence[str]) -> Floats:
        """Return a row for each text, in the space of the rows of images or sounds.

        Parameters
        ----------
        texts : sequence of str
            Words, such as "a red car".

        Returns
        -------
        float32 array (n, card.dim)
            After `postprocess`, as rows of images and sounds are.

        Raises
        ------
        SightsoundError
            If the network takes no text.
        PluginError
            If the plugin fails, or returns something else.
        """
        if not self.card.text:
            raise SightsoundError(f"{self.card.name}: takes no text; name a model that does, see `sightsound models`")
        embed_text: Any = self.embedder
        with self._reading_text:
            rows = self._guarded("text", lambda: embed_text.text(list(texts)))
        self._check_array("text", "vectors", rows, np.float32, (len(texts), None))
        if not len(texts):
            return np.empty((0, self.card.dim), np.float32)
        try:
            return self.postprocess(Output(rows.copy()))
        except PluginError as error:
            problem = f"vectors of shape {rows.shape}, which `postprocess` does not take: {error}"
            raise stage_error(self, "text", problem) from error

    def _call(self, stage: str, **arguments: Any) -> Any:
        result = self._guarded(stage, lambda: self.stages[stage](embedder=self.embedder, **arguments))
        if result is None:
            raise stage_error(self, stage, "returned nothing")
        return result

    def _guarded(self, stage: str, call: Callable[[], Any]) -> Any:
        """Return what a plugin returns; if it raises, name it."""
        try:
            return call()
        except (SightsoundError, MemoryError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            log.debug("%s of %s failed", stage, self.card.name, exc_info=True)
            raise stage_error(self, stage, f"{type(error).__name__}: {error}") from error

    def _check_array(self, stage: str, what: str, array: Any, dtype: type, shape: tuple[int | None, ...]) -> None:
        """Compare an array with a dtype and a shape, in which None stands for any size."""
        if problem := array_problem(what, array, dtype, shape):
            raise stage_error(self, stage, problem)


def execution_of(embedder: object, card: Card, plugin: str) -> Execution:
    """Return how an embedder runs by itself.

    Raises
    ------
    PluginError
        If one of its attributes has a wrong value; the text names the plugin.
    """
    try:
        return Execution.of(embedder)
    except PluginError as error:
        raise PluginError(f"{card.name} (plugin {plugin}): {error}; correct the embedder") from error


def layers_of(source: object, name: str, plugin: str) -> list[Layer]:
    """Return what the method `layers` of an embedder, or of its load function, lists.

    Parameters
    ----------
    source : object
        The embedder or the load function.
    name, plugin : str
        The model and its plugin, for messages.

    Raises
    ------
    SightsoundError
        If there is no such method.
    PluginError
        If it raises another exception, or returns something else.
    """
    ask = getattr(source, "layers", None)
    if ask is None:
        raise SightsoundError(f"{name}: plugin {plugin!r} lists no layers of it; name another model")
    try:
        layers = list(ask())
    except SightsoundError:
        raise
    except Exception as error:
        log.debug("layers of %s failed", name, exc_info=True)
        raise PluginError(f"layers of {name} (plugin {plugin}): {type(error).__name__}: {error}") from error
    wrong = next((layer for layer in layers if not isinstance(layer, Layer)), None)
    if wrong is not None:
        raise PluginError(f"layers of {name} (plugin {plugin}): expected Layer, got {type(wrong).__name__}")
    return layers
