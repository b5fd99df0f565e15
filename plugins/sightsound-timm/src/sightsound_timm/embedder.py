"""The embedder of an image network. Importing this module imports neither torch nor timm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Layer, Output, Windows
from sightsound.torch import TorchEmbedder

if TYPE_CHECKING:
    from torch import nn

    from sightsound.torch.layers import Plan

CPU_BATCH_SIZE = 4
"""Inputs in a batch on a CPU, as measured (README.md, Speed)."""


class ImageEmbedder(TorchEmbedder):
    """An image network on a device.

    Parameters
    ----------
    card : Card
        The card, with the constants of its preprocessing.
    builder : str
        The name of its builder, see `builders.BUILDERS`.
    file : pathlib.Path
        The file with its weights.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    plan : Plan, optional
        Layers to take rows from. No batch norm is folded then, so that the layers are those that were trained.
    """

    def __init__(self, card: Card, builder: str, file: Path, device: str, plan: Plan | None = None) -> None:
        super().__init__(card, device, cpu_batch_size=CPU_BATCH_SIZE, plan=plan)
        self._network_card = card  # `derive` gives the embedder another card, whose network has the same parts
        self._builder = builder
        self._file = file

    def build(self) -> nn.Module:
        """Return the network: inputs (n, 3, height, width) to features (n, dim) and scores, or None for scores.

        Raises `SightsoundError` if the file is not one of this network.
        """
        from sightsound_timm.filling import filled_network

        return filled_network(self._network_card, self._builder, self._file, with_features=self._plan is None)

    def folded(self, network: nn.Module) -> nn.Module:
        """Return the network with its batch norms folded into the convolutions before them."""
        from sightsound_timm.batchnorm import fold_batch_norms

        fold_batch_norms(network.network, self.card.input_shape)  # type: ignore[arg-type]
        return network

    @property
    def network_name(self) -> str:
        """The name of the network, without what `derive` changed."""
        return self._network_card.name

    @property
    def has_plan(self) -> bool:
        """Whether its rows are those of inner layers."""
        return self._plan is not None

    @property
    def device(self) -> str:
        """The device of the network: `cpu`, `cuda:0`, ..."""
        return str(self._device)

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return one input, float32 (1, 3, height, width), for an image, uint8 RGB (h, w, 3)."""
        return Windows(self._prepare_image(media))

    def postprocess(self, output: Output) -> Floats:
        """Return the features as they are."""
        return output.embeddings

    def layers(self) -> list[Layer]:
        """Return the layers that the option `layer` may name."""
        from sightsound_timm.layers import list_layers

        return list_layers(self._network_card, self._builder)

    @cached_property
    def _prepare_image(self) -> Callable[[NDArray[Any]], Floats]:
        if "resize" in self.card.constants:
            from sightsound.plugin import CenterCrop

            return CenterCrop(self.card.constants)
        return timm_transform(self.card.constants)


def timm_transform(constants: Mapping[str, Any]) -> Callable[[NDArray[Any]], Floats]:
    """Return timm's own transform, for crops other than a square from the centre."""
    from PIL import Image

    from sightsound_timm.frameworks import timm

    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in constants.items()}
    transform: Any = timm.data.create_transform(**settings)
    return lambda rgb: transform(Image.fromarray(rgb)).numpy()[None]
