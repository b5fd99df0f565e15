"""Networks that are graphs of named tensors, as in ONNX and TFLite files: which are the input and the embedding.

A loader of such a format describes its file as a `Graph`. `graph_card` makes the card, and `GraphEmbedder` runs the
network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.errors import SightsoundError
from sightsound.contract.model_settings import ModelSettings
from sightsound.contract.paths import nearest

Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]
"""Runs a network: from an input of the file's own shape and dtype to the tensors that were asked for."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph.

    Parameters
    ----------
    name : str
        Its name.
    shape : tuple of (int or None)
        Its shape with the batch axis, None for axes of any length.
    dtype : str
        The name of its dtype in NumPy.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"


class Graph(Protocol):
    """A network of named tensors in a file."""

    @property
    def inputs(self) -> Sequence[Tensor]:
        """What goes in."""

    @property
    def outputs(self) -> Sequence[Tensor]:
        """What comes out."""

    @property
    def inner(self) -> Sequence[str]:
        """The names of other tensors that can be taken out."""

    def channels_last(self, name: str) -> bool | None:
        """Return whether a tensor has its channels behind the axes of space or time, None if unknown."""

    def before_scores(self, output: str) -> str | None:
        """Return the name of the tensor that enters the last linear layer before an output, None if there is none."""

    def opened(self, names: Sequence[str], shape: tuple[int, ...]) -> Run:
        """Return what runs the network.

        Parameters
        ----------
        names : sequence of str
            The tensors to return.
        shape : tuple of int
            Shape of an input without the batch.

        Returns
        -------
        callable
            Several threads may call it at once.
        """


def graph_card(graph: Graph, settings: ModelSettings, constants: Mapping[str, Any], **more: Any) -> Card:
    """Return the card of a network, which is run on a few inputs to see what its tensors are.

    Parameters
    ----------
    graph : Graph
        The network.
    settings : ModelSettings
        What the user says about it.
    constants : mapping
        What the loader needs beside.
    **more
        More fields of the card.

    Raises
    ------
    SightsoundError
        If the settings lack something, or do not fit the network.

    Returns
    -------
    Card
        Its constants have `input_dtype`; `batch`, the inputs in a call (0 without a batch axis, None for any number);
        `embedding` and `output`, names of tensors; `embedding_mean` and `output_mean`, the axes that each is averaged
        over.
    """
    if len(graph.inputs) != 1:
        got = ", ".join(each.name for each in graph.inputs) or "none"
        raise SightsoundError(f"{settings.name}: input: expected a network with one, got {got}; export one part of it")
    (given,) = graph.inputs
    if settings.input not in ("", given.name):
        raise SightsoundError(f"{settings.name}: input: expected {given.name}, got {settings.input}; see --input")
    settings = _for_dtype(settings, given)
    if settings.kind == "image":
        settings, shape, batched = _image_input(settings, given)
    else:
        shape, batched = _sound_input(settings, given)
    scores = _scores(graph, settings)
    embedding = _embedding(graph, settings, scores)
    names = [embedding, *([scores] if scores else [])]
    run, batch = graph.opened(names, shape), (given.shape[0] if batched else 0)
    if batch is None and not _takes_any_number(run, shape, given.dtype):
        batch = 1
    found = run_batches(run, np.zeros((1, *shape), np.float32), batch, given.dtype)
    for name, each in zip(names, found):
        if each.ndim not in (2, 3, 4):
            text = f"expected 2 to 4 axes, got shape {_shown(each.shape)}"
            raise SightsoundError(f"{settings.name}: {name}: {text}; name another tensor (--embedding, --output)")
    axes = [mean_axes(each.shape, graph.channels_last(name)) for name, each in zip(names, found)]
    embeddings, *rest = [_meaned(each, over) for each, over in zip(found, axes)]
    if settings.labels and rest[0].shape[1] != len(settings.labels):
        expected = f"expected {rest[0].shape[1]}, one for each number of the output {scores}"
        raise SightsoundError(f"{settings.name}: labels: {expected}, got {len(settings.labels)}")
    own: dict[str, Any] = {"input_dtype": given.dtype, "batch": batch}
    own |= {"embedding": embedding, "embedding_mean": list(axes[0])}
    if scores:
        own |= {"output": scores, "output_mean": list(axes[1])}
    return settings.card(dim=embeddings.shape[1], input_shape=shape, constants={**own, **constants}, **more)


# -- the input ---------------------------------------------------------------------------------------------------------


def _for_dtype(settings: ModelSettings, given: Tensor) -> ModelSettings:
    """Return the settings for an input of a dtype: whole numbers are pixels from 0 to 255, if the user says nothing."""
    if given.dtype in ("float32", "float16", "float64"):
        return settings
    if given.dtype not in ("uint8", "int8", "int16", "int32"):
        raise SightsoundError(f"{settings.name}: input: expected numbers, got {given.dtype}; convert the network")
    untouched = (settings.scale, settings.mean, settings.std) == (255.0, (0.0,), (1.0,))
    return dataclasses.replace(settings, scale=1.0) if untouched else settings


def _image_input(settings: ModelSettings, given: Tensor) -> tuple[ModelSettings, tuple[int, ...], bool]:
    """Return the settings with layout and channels, the shape of one input, and whether there is a batch axis."""
    if len(given.shape) not in (3, 4):
        text = f"expected 3 or 4 axes for an image, got shape {_shown(given.shape)}"
        raise SightsoundError(f"{settings.name}: input: {text}; give --rate if it takes sound")
    batched = len(given.shape) == 4
    axes = given.shape[1:] if batched else given.shape
    layout: Literal["nchw", "nhwc"] = settings.layout or _layout(axes)
    channels, sides = (axes[0], axes[1:]) if layout == "nchw" else (axes[2], axes[:2])
    if channels not in (None, 1, 3):
        text = f"expected 1 or 3 channels, got {channels} in the shape {_shown(given.shape)} ({layout})"
        raise SightsoundError(f"{settings.name}: input: {text}; see --layout")
    if channels == 1 and settings.channels == "rgb":
        settings = dataclasses.replace(settings, channels="gray")
    if (channels == 1) != (settings.channels == "gray") and channels is not None:
        raise SightsoundError(f"{settings.name}: channels: expected {channels}, got {settings.channels}")
    size: list[Any] = []
    for side, wanted in zip(sides, settings.size or (None, None)):
        if side is None and wanted is None:
            raise SightsoundError(f"{settings.name}: size: the network takes any, {_shown(given.shape)}; give --size")
        if side is not None and wanted not in (None, side):
            raise SightsoundError(f"{settings.name}: size: expected {_shown(sides)}, got {_shown(settings.size or ())}")
        size.append(side or wanted)
    settings = dataclasses.replace(settings, layout=layout)
    height, width = size
    if min(height, width) == 1 and settings.modality is None:
        text = f"expected an image, got {_shown(given.shape)}; give --rate if it takes sound, else --modality image"
        raise SightsoundError(f"{settings.name}: input: {text}")
    return settings, settings.image_shape(layout, (height, width)), batched


def _layout(axes: Sequence[int | None]) -> Literal["nchw", "nhwc"]:
    """Return the order of three axes: channels are 1 or 3, and first if that fits too."""
    return "nhwc" if axes[2] in (1, 3) and axes[0] not in (1, 3) else "nchw"


def _sound_input(settings: ModelSettings, given: Tensor) -> tuple[tuple[int, ...], bool]:
    """Return the shape of one input of samples, and whether there is a batch axis."""
    batched = len(given.shape) > 1
    axes = given.shape[1:] if batched else given.shape
    long = [axis for axis in axes if axis != 1]
    if settings.rate is None:
        raise SightsoundError(f"{settings.name}: rate: expected Hz for sound; give --rate")
    if len(long) > 1:
        text = f"expected samples of sound, got shape {_shown(given.shape)}"
        raise SightsoundError(f"{settings.name}: input: {text}; export the network with what makes its features")
    samples = long[0] if long else 1
    if samples is None and settings.samples is None:
        raise SightsoundError(f"{settings.name}: window: the network takes any; give --window")
    return tuple((samples or settings.samples or 0) if axis != 1 else 1 for axis in axes), batched


# -- the tensors that are taken out ------------------------------------------------------------------------------------


def _scores(graph: Graph, settings: ModelSettings) -> str:
    """Return the name of the output with the scores, "" without labels."""
    names = [each.name for each in graph.outputs]
    if not settings.labels:
        return ""
    if settings.output:
        return _known(settings, "output", settings.output, names, names)
    if not names:
        return ""  # refused where the embedding is looked for
    count = len(settings.labels)
    fitting = [each.name for each in graph.outputs if each.shape[1:] and each.shape[-1] == count]
    found = fitting if len(names) > 1 else names
    if len(found) != 1:
        raise SightsoundError(f"{settings.name}: output: expected one of {', '.join(names)}; give --output")
    return found[0]


def _embedding(graph: Graph, settings: ModelSettings, scores: str) -> str:
    names = [each.name for each in graph.outputs]
    if settings.embedding:
        return _known(settings, "embedding", settings.embedding, [*names, *graph.inner], names)
    others = [name for name in names if name != scores]
    if len(others) == 1:
        return others[0]
    found = graph.before_scores(scores) if scores and not others else None
    if found is None:
        if not names:
            raise SightsoundError(f"{settings.name}: expected a network with an output, got none; export it again")
        text = f"one of {', '.join(names)}" if others else "an inner tensor, since no linear layer is before the scores"
        raise SightsoundError(f"{settings.name}: embedding: expected {text}; give --embedding")
    return found


def _known(settings: ModelSettings, what: str, name: str, known: Sequence[str], shown: Sequence[str]) -> str:
    if name in known:
        return name
    similar = nearest(name, known, cutoff=0.5)
    advice = f"did you mean {similar!r}?" if similar else f"the outputs are {', '.join(shown)}"
    raise SightsoundError(f"{settings.name}: {what}: expected a tensor of the network, got {name!r}; {advice}")


def _shown(shape: Sequence[int | None]) -> str:
    return "x".join("?" if axis is None else str(axis) for axis in shape)


# -- what comes out ----------------------------------------------------------------------------------------------------


def mean_axes(shape: tuple[int, ...], channels_last: bool | None = None) -> tuple[int, ...]:
    """Return the axes that a tensor (n, ...) is averaged over to become rows (n, d): those of space or time.

    Parameters
    ----------
    shape : tuple of int
        Its shape with the batch: 2 to 4 axes.
    channels_last : bool or None
        Where the channels are. If it is unknown, the two equal axes of four are height and width, else channels come
        first; of three, an axis of length 1 is averaged over, else the first.

    Returns
    -------
    tuple of int
    """
    if len(shape) == 2:
        return ()
    if channels_last is None and len(shape) == 4:
        channels_last = shape[1] == shape[2] != shape[3]
    elif channels_last is None:
        channels_last = shape[2] != 1 or shape[1] == 1
    if len(shape) == 3:
        return (1,) if channels_last else (2,)
    return (1, 2) if channels_last else (2, 3)


def _meaned(array: NDArray[Any], axes: Sequence[int]) -> Floats:
    return array.mean(axis=tuple(axes), dtype=np.float32) if axes else array.astype(np.float32)


def run_batches(run: Run, inputs: Floats, batch: int | None, dtype: str) -> list[NDArray[Any]]:
    """Run a network on any number of inputs, in calls of the size that it takes.

    Parameters
    ----------
    run : Run
        The network.
    inputs : float32 array (n, ...)
        Inputs, which are rounded if the network takes whole numbers.
    batch : int or None
        Inputs in a call, the last filled up with zeros; 0 without a batch axis, None for any number.
    dtype : str
        The dtype of the input.

    Returns
    -------
    list of arrays (n, ...)
        One array for each tensor that was asked for.
    """
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        inputs = np.rint(inputs).clip(limits.min, limits.max)
    given = np.ascontiguousarray(inputs, dtype=kind)
    if batch is None:
        return list(run(given))
    calls = []
    for start in range(0, len(given), batch or 1):
        part = given[start : start + (batch or 1)]
        if not batch:
            calls.append([each if each.ndim > 1 and len(each) == 1 else each[None] for each in run(part[0])])
            continue
        count = len(part)
        if count < batch:
            part = np.concatenate([part, np.zeros((batch - count, *part.shape[1:]), kind)])
        calls.append([each[:count] for each in run(part)])
    return [np.concatenate(parts) for parts in zip(*calls)]


def rows_of(found: Sequence[NDArray[Any]], constants: Mapping[str, Any]) -> list[Floats]:
    """Return the embeddings, and the scores if there are any, of what a network returned."""
    names = ["embedding_mean", "output_mean"]
    return [_meaned(each, constants[name]) for each, name in zip(found, names)]


_SAME = 1e-3
"""Relative difference up to which a row in a batch is that of the input alone."""


def _takes_any_number(run: Run, shape: tuple[int, ...], dtype: str) -> bool:
    """Return whether a network gives each of two inputs its own rows, which some do not whose shape says so.

    Networks with a fixed shape inside fail; those that quantise with the range of a whole batch mix the inputs.
    """
    random = np.random.default_rng(0)
    pair = np.stack([random.uniform(0, 1, shape), random.uniform(-20, 20, shape)]).astype(np.float32)
    alone = [run_batches(run, each[None], 1, dtype) for each in pair]
    try:
        both = run_batches(run, pair, None, dtype)
    except Exception:
        return False
    for together, *single in zip(both, *alone):
        if len(together) != 2 or together.shape[1:] != single[0].shape[1:]:
            return False
        expected = np.concatenate(single).astype(np.float64)
        if not np.isfinite(expected).all():
            return False
        if np.abs(together - expected).max() > _SAME * max(np.abs(expected).max(), 1e-6):
            return False
    return True
