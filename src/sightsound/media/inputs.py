"""The inputs of a network in a file, as its card says: crops of images, and windows of sound."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.card import Card
from sightsound.contract.embedder import Windows
from sightsound.media.center_crop import CenterCrop
from sightsound.media.framing import frames


class Inputs:
    """Makes the inputs of a network, a `preprocess` for embedders whose card `ModelSettings.card` made.

    Several threads may call it at once.

    Parameters
    ----------
    card : Card
        For images its constants are those of `CenterCrop`. Sound is cut into windows, with the samples as they are.
    """

    def __init__(self, card: Card) -> None:
        self._card = card
        self._crop = CenterCrop(card.constants) if card.modality == "image" else None

    def __call__(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return the windows of an image or a block of sound, as `Embedder.preprocess`."""
        if self._crop is not None:
            return Windows(self._crop(media))
        samples, spans, padded = frames(self._card, media, start, last)
        return Windows(np.array(samples, np.float32).reshape(-1, *self._card.input_shape), spans, padded)
