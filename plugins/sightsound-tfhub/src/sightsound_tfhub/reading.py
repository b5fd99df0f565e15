"""The card of a SavedModel, from its signature, from one call with zeros, and from the settings of the user."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Card, ModelSettings, SightsoundError
from sightsound_tfhub.network import Network


@dataclass(frozen=True)
class Published:
    """A published kind of networks that take a waveform: what their signature cannot say.

    Parameters
    ----------
    columns : tuple of int
        The lengths of its outputs; 0 for any.
    settings : mapping
        Fields of `ModelSettings`.
    """

    columns: tuple[int, ...]
    settings: Mapping[str, Any]


# windows of 96 frames of 400 samples, every 160 samples: 15,600 samples, 0.975 s
YAMNET = Published(
    (0, 1024, 64),  # scores, embeddings, log-mel: README.md of YAMNet in the TensorFlow model garden
    {
        **{"rate": 16_000, "window": 0.975, "hop": 0.48, "scores": "sigmoid"},
        **{"embedding": "output_1", "output": "output_0"},
    },
)
VGGISH = Published((128,), {"rate": 16_000, "window": 0.975, "hop": 0.96})


def read_card(folder: Path, label: str, settings: ModelSettings) -> Card:
    """Return the card of a SavedModel.

    Parameters
    ----------
    folder : pathlib.Path
        The SavedModel.
    label : str
        How errors name it.
    settings : ModelSettings
        What the user says; `input` names a signature or method.

    Returns
    -------
    Card
        Its constants name the function, and the outputs with the embedding and the scores.

    Raises
    ------
    SightsoundError
        If it cannot be loaded, or does not fit the settings.
    """
    network = Network(folder, label, wanted=settings.input)
    settings = _with_kind(network, settings)
    layout: Literal["nchw", "nhwc"] = "nhwc"
    if settings.kind == "sound":
        if network.flat:
            settings = _as_published(network, settings)
        shape: tuple[int, ...] = _sound_shape(network, settings)
    else:
        shape, layout = _image_shape(network, settings)
    outputs = {name: _columns(values) for name, values in _called(network, shape, settings.name).items()}
    settings = _with_labels(network, outputs, settings)
    embedding = _chosen(outputs, settings.embedding, settings.name, "embedding", ("embed", "feature"))
    output = _output(outputs, settings) if settings.labels else ""
    return settings.card(
        dim=outputs[embedding],
        input_shape=shape,
        layout=layout,
        score_count=outputs[output] if output else None,
        constants={"function": network.name, "embedding": embedding, "output": output},
    )


def _with_kind(network: Network, settings: ModelSettings) -> ModelSettings:
    """Return the settings with the modality that the input shows, if the user gave none."""
    axes = None if network.shape is None else len(network.shape)
    if settings.modality is None and axes in (1, 2):
        return dataclasses.replace(settings, modality="sound")
    if axes is not None and settings.kind == "image" and axes != 4:
        raise SightsoundError(
            f"{settings.name}: input: expected four axes for images, got {_text(network)}; see --input"
        )
    return settings


def _as_published(network: Network, settings: ModelSettings) -> ModelSettings:
    """Return the settings, completed if the network has the outputs of YAMNet or VGGish at their sample rate."""
    if settings.rate not in (None, YAMNET.settings["rate"]):
        return settings
    samples = round(YAMNET.settings["window"] * YAMNET.settings["rate"])
    if network.shape != (None,):
        return settings
    try:
        found = [_columns(values) for values in network.outputs(np.zeros((1, samples), np.float32)).values()]
    except Exception:  # another network, which needs other inputs
        return settings
    for known in (YAMNET, VGGISH):
        if len(found) == len(known.columns) and all(want in (0, got) for want, got in zip(known.columns, found)):
            missing = {name: value for name, value in known.settings.items() if not getattr(settings, name)}
            if settings.window:
                missing.pop("hop", None)  # the windows are those of the user
            return dataclasses.replace(settings, **missing)
    return settings


def _sound_shape(network: Network, settings: ModelSettings) -> tuple[int, ...]:
    """Return the shape of a window, whose only long axis is that of the samples."""
    shape = network.shape or (None, None)
    axes = shape if network.flat else shape[1:]
    long = [size for size in axes if size != 1]
    if len(long) != 1 or (not network.flat and shape[0] not in (None, 1)):
        raise SightsoundError(f"{settings.name}: input: expected samples of sound, got {_text(network)}; see --input")
    samples = long[0] or settings.samples
    if not samples:
        raise SightsoundError(f"{settings.name}: window: expected the length of a window; give --rate and --window")
    return tuple(samples if size != 1 else 1 for size in axes)


def _image_shape(network: Network, settings: ModelSettings) -> tuple[tuple[int, int, int], Literal["nchw", "nhwc"]]:
    """Return the shape and layout of an image."""
    shape = network.shape or (None, None, None, None)
    first = shape[1] in (1, 3) and shape[3] not in (1, 3)
    layout = settings.layout or ("nchw" if first else "nhwc")
    height, width = shape[2:] if layout == "nchw" else shape[1:3]
    if height is None or width is None:
        if settings.size is None:
            raise SightsoundError(f"{settings.name}: size: expected pixels, as the file says none; give --size")
        height, width = height or settings.size[0], width or settings.size[1]
    if settings.size not in (None, (height, width)):
        got = "x".join(map(str, settings.size or ()))
        raise SightsoundError(f"{settings.name}: size: expected {height}x{width}, got {got}; leave --size out")
    found = settings.image_shape(layout, (height, width))
    if shape[0] not in (None, 1) or any(want not in (None, got) for want, got in zip(shape[1:], found)):
        got = "x".join(map(str, found))
        raise SightsoundError(f"{settings.name}: input: expected {_text(network)}, got {got}; see --channels, --layout")
    return found, layout


def _called(network: Network, shape: tuple[int, ...], name: str) -> dict[str, NDArray[np.float32]]:
    try:
        found = network.outputs(np.zeros((1, *shape), np.float32))
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise SightsoundError(
            f"{name}: input: cannot be called with {'x'.join(map(str, shape))} numbers ({reason}); see --window, --size"
        ) from error
    if not all(values.size for values in found.values()):
        raise SightsoundError(f"{name}: window: expected one row or more, got none; give a longer --window")
    return found


def _columns(values: NDArray[Any]) -> int:
    return values.shape[-1] if values.ndim > 1 else 1


def _with_labels(network: Network, outputs: Mapping[str, int], settings: ModelSettings) -> ModelSettings:
    """Return the settings with the classes of the model's own table, if the user gave none."""
    table = None if settings.labels else network.class_map()
    if table is None:
        return settings
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        labels = tuple(row["display_name"] for row in rows)
        ids = tuple(row["mid"] for row in rows) if rows and "mid" in rows[0] else ()
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise SightsoundError(
            f"{settings.name}: labels: the model's table cannot be read ({error}); give --labels"
        ) from error
    if len(labels) not in outputs.values():
        return settings
    return dataclasses.replace(settings, labels=labels, ids=ids)


def _output(outputs: Mapping[str, int], settings: ModelSettings) -> str:
    """Return the name of the output with the scores."""
    if not settings.output:
        fitting = [name for name, columns in outputs.items() if columns == len(settings.labels)]
        if len(fitting) == 1:
            return fitting[0]
    return _chosen(outputs, settings.output, settings.name, "output", ("score", "logit", "prob"))


def _chosen(outputs: Mapping[str, int], wanted: str, name: str, option: str, usual: Sequence[str]) -> str:
    """Return the name of an output: the one that is wanted, the only one, or the only one with a usual name."""
    if wanted in outputs:
        return wanted
    named = [each for each in outputs if any(part in each.lower() for part in usual)]
    for found in (list(outputs), named):
        if len(found) == 1 and not wanted:
            return found[0]
    known = ", ".join(f"{each} ({columns})" for each, columns in outputs.items()) or "none of real numbers"
    raise SightsoundError(
        f"{name}: {option}: expected one of the outputs {known}, got {wanted or 'none'}; give --{option}"
    )


def _text(network: Network) -> str:
    return "x".join("?" if size is None else str(size) for size in network.shape or ())
