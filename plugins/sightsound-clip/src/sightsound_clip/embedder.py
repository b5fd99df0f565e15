"""The embedder of a network of images and words. Importing this module imports neither torch nor open_clip."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Card, CenterCrop, Floats, Output, Windows
from sightsound.torch import TorchEmbedder

if TYPE_CHECKING:
    from sightsound_clip.towers import TextTower, Tower

CPU_BATCH_SIZE = 8
"""Images in a batch on a CPU, as measured (README.md, Speed)."""

TEXTS_AT_ONCE = 64
"""Texts that are embedded at once, whose activations take about 100 MB."""


def embedder_of(card: Card, file: Path, device: str, config: Mapping[str, Any] | None = None) -> ImageEmbedder:
    """Return the embedder of a card.

    Parameters
    ----------
    card : Card
        The card; `text` says whether words are taken.
    file : pathlib.Path
        The file with the weights of both parts.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    config : mapping, optional
        The configuration of open_clip. By default the one that it has for the name of the card.

    Returns
    -------
    ImageEmbedder
        A `ClipEmbedder` if the card says `text`.
    """
    return (ClipEmbedder if card.text else ImageEmbedder)(card, file, device, config)


class ImageEmbedder(TorchEmbedder):
    """The part of a network for images.

    Parameters
    ----------
    card, file, device, config
        As for `embedder_of`.
    """

    def __init__(self, card: Card, file: Path, device: str, config: Mapping[str, Any] | None) -> None:
        super().__init__(card, device, cpu_batch_size=CPU_BATCH_SIZE)
        self._name = card.name.partition("[")[0]  # `derive` gives the embedder another card
        self._file = file
        self._given_config = config

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        if self._given_config is not None:
            return self._given_config
        from sightsound_clip.zoo import config_of

        return config_of(self._name)

    def build(self) -> Tower:
        """Return the part for images: (n, 3, height, width) to embeddings (n, dim). The part for words is not built.

        Raises `SightsoundError` if the file is not one of this network.
        """
        from sightsound_clip.towers import image_tower

        return image_tower(self._name, self._config, self._file)

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return one input, float32 (1, 3, height, width), for an image, uint8 RGB (h, w, 3)."""
        return Windows(self._crop(media))

    def postprocess(self, output: Output) -> Floats:
        """Return the projected embeddings as they are, not scaled to length 1."""
        return output.embeddings

    @cached_property
    def _crop(self) -> CenterCrop:
        return CenterCrop(self.card.constants)


class ClipEmbedder(ImageEmbedder):
    """A network of images and words. Each of its two parts is built when it is first needed.

    Parameters
    ----------
    card, file, device, config
        As for `embedder_of`.
    """

    def text(self, texts: list[str]) -> Floats:
        """Return vectors of texts, float32 (n, dim), projected, not scaled to length 1.

        A text is cut after `context_length` tokens. The part for images is not built.
        """
        from sightsound.torch import forward

        tower = self._text_tower
        tokens: Floats = np.asarray(self._tokenize(texts) if texts else (), np.float32)
        starts = range(0, len(tokens), TEXTS_AT_ONCE)
        rows = [forward(tower, tokens[first : first + TEXTS_AT_ONCE], self._device) for first in starts]
        return np.concatenate([np.empty((0, self._config["embed_dim"]), np.float32), *rows])

    def logit_scale(self) -> float | None:
        """Return the scale of the file: cosines times this are the logits of classes that are given as words."""
        from sightsound_clip.towers import logit_scale

        return logit_scale(self._file)

    @cached_property
    def _text_tower(self) -> TextTower:
        from sightsound_clip.towers import text_tower

        tower = text_tower(self._name, self._config, self._file).eval().requires_grad_(False)
        return tower.to(self._device)

    @cached_property
    def _tokenize(self) -> Any:
        from sightsound_clip.towers import tokenizer

        return tokenizer(self.card.constants["context_length"])
