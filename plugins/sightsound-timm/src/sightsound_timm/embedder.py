"""The embedder of an image network, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from sightsound.plugin import Card, Embedder, Floats, Layer, Output, SightsoundError, Windows, cores
from sightsound.torch import choose_device, forward, state_dict
from sightsound.torch.layers import Plan, Tapped
from sightsound_timm import layers
from sightsound_timm.batchnorm import fold_batch_norms
from sightsound_timm.builders import BUILDERS
from sightsound_timm.frameworks import timm
from sightsound_timm.preprocessing import CenterCrop

CPU_BATCH_SIZE = 4
"""Inputs in a batch on a CPU, as measured (README.md, Speed)."""

ACCELERATOR_BATCH_SIZE = 64
"""Inputs in a batch on other devices: a usual choice, not measured."""


class ImageEmbedder:
    """An image network on a device.

    On a CPU each call of `embed` keeps to one core, and `workers` is the number of cores.

    Parameters
    ----------
    card : Card
        The card, with the constants of its preprocessing.
    builder : str
        The name of its builder.
    network : torch.nn.Module
        Takes float32 (n, 3, height, width). Returns embeddings (n, dim), or embeddings and scores (n, classes) or None.
    device : torch.device
        Where it runs.
    """

    def __init__(self, card: Card, builder: str, network: nn.Module, device: torch.device) -> None:
        self.card = card
        self._builder = builder
        on_cpu = device.type == "cpu"
        self.batch_size = CPU_BATCH_SIZE if on_cpu else ACCELERATOR_BATCH_SIZE
        self.workers = cores() if on_cpu else 1
        network.eval().requires_grad_(False)
        self.network: Any = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        own = "resize" in card.constants
        self._prepare = CenterCrop(card.constants) if own else timm_transform(card.constants)

    @property
    def device(self) -> str:
        """The device of the network: `cpu`, `cuda:0`, ..."""
        return str(self._device)

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return one input, float32 (1, 3, height, width), for an image, uint8 RGB (h, w, 3)."""
        return Windows(self._prepare(media))

    def embed(self, inputs: Floats) -> Output:
        """Return the features before the head and the scores, or what the layers of the card give."""
        found = forward(self.network, inputs, self._device)
        return Output(*found) if isinstance(found, tuple) else Output(found)

    def postprocess(self, output: Output) -> Floats:
        """Return the features as they are."""
        return output.embeddings

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name."""
        return layers.list_layers(self.card, self._builder)


def load(card: Card, builder: str, device: str, weights: Mapping[str, Path], plan: Plan | None = None) -> Embedder:
    """Load the network of a card.

    Parameters
    ----------
    card : Card
        The card; it has one weight file.
    builder : str
        The name of its builder.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    weights : mapping of str to pathlib.Path
        The path of the weight file by its name.
    plan : Plan, optional
        Layers to take rows from. No batch norm is folded then, so that the layers are those that were trained.

    Returns
    -------
    Embedder
        The loaded embedder.

    Raises
    ------
    SightsoundError
        If the file is not one of this network. A head of another size does not fit either, since the card and its
        classes are known before the file is read.
    """
    on, build, name = choose_device(device), BUILDERS[builder], card.name.partition("[")[0]
    (path,) = (weights[file.name] for file in card.weights)
    tensors = {key.removeprefix("module."): tensor for key, tensor in state_dict(path).items()}  # DataParallel's prefix
    try:
        network = build.filled(name, tensors)
    except (RuntimeError, KeyError, ValueError) as error:
        wrong = _first_difference(build.blank(name).state_dict(), tensors) or str(error).splitlines()[0]
        raise SightsoundError(f"{path}: {wrong}; give a file of {name}, or name the network it is of") from error
    if plan is not None:
        return ImageEmbedder(card, builder, Tapped(network, plan), on)
    network = build.with_features(fold_batch_norms(network, card.input_shape), len(card.labels))
    return ImageEmbedder(card, builder, network, on)


def timm_transform(constants: Mapping[str, Any]) -> Callable[[NDArray[Any]], Floats]:
    """Return timm's own transform, for crops other than a square from the centre."""
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in constants.items()}
    transform: Any = timm.data.create_transform(**settings)
    return lambda rgb: transform(Image.fromarray(rgb)).numpy()[None]


def _first_difference(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Describe the first tensor of another shape, else the first that is missing, else the first that is extra."""
    for name in own.keys() & tensors.keys():
        if own[name].shape != tensors[name].shape:
            return f"{name}: expected shape {tuple(own[name].shape)}, got {tuple(tensors[name].shape)}"
    for name in own:
        if name not in tensors and not name.endswith("num_batches_tracked"):  # absent in files from before torch 0.4
            return f"expected a tensor {name}, got {next(iter(tensors), 'none')} and others"
    extra = next((name for name in tensors if name not in own), None)
    return f"expected no tensor {extra}" if extra else ""
