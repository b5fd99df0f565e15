"""The embedder of a network of sounds and words. Importing this module imports neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Output, SightsoundError, Windows, file_of, frames
from sightsound.torch import TorchEmbedder

if TYPE_CHECKING:
    from sightsound_clip.clap_towers import AudioTower, Files, TextTower

CPU_BATCH_SIZE = 2
"""Windows in a batch on a CPU."""

TEXTS_AT_ONCE = 32
"""Texts that are embedded at once."""


class ClapEmbedder(TorchEmbedder):
    """A network of sounds and words. Each of its two parts is built when it is first needed.

    Parameters
    ----------
    card : Card
        The card.
    weights : mapping of str to pathlib.Path
        Weights, `config.json`, `preprocessor_config.json` and `tokenizer.json`, by names that end so.
    device : str
        `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
    """

    def __init__(self, card: Card, weights: Mapping[str, Path], device: str) -> None:
        super().__init__(card, device, cpu_batch_size=CPU_BATCH_SIZE, accelerator_batch_size=32)
        self._weights = weights

    @cached_property
    def _files(self) -> Files:
        from sightsound_clip.clap_towers import Files

        return Files(
            tensors=file_of(self._weights, ".safetensors"),
            config=file_of(self._weights, ".laion.config.json"),
            preprocessor=file_of(self._weights, ".preprocessor_config.json"),
            tokenizer=file_of(self._weights, ".tokenizer.json"),
        )

    def build(self) -> AudioTower:
        """Return the part for sounds: (n, 1, frames, bands) to embeddings (n, dim).

        Raises `SightsoundError` if the files are not of such a network.
        """
        from sightsound_clip.clap_towers import audio_tower

        return audio_tower(self._files, self.card.dim)

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return the log-mel spectrogram of each window, float32 (n, 1, frames, bands).

        The last window, if it is not full, is filled with repetitions of itself and zeros, as CLAP was trained.
        """
        samples, spans, padded = frames(self.card, media, start, last)
        inputs = np.empty((len(samples), *self.card.input_shape), np.float32)
        for row, window, (begin, end) in zip(inputs, samples, spans, strict=True):
            length = min(len(window), max(1, round((end - begin) * (self.card.sample_rate or 0))))
            row[:] = self._log_mel(window[:length])
        return Windows(inputs, spans, padded)

    def postprocess(self, output: Output) -> Floats:
        """Return the projected embeddings as they are, not scaled to length 1."""
        return output.embeddings

    def text(self, texts: list[str]) -> Floats:
        """Return vectors of texts, float32 (n, dim), projected, not scaled to length 1.

        A text is cut to what the network takes (512 tokens). The part for sounds is not built.
        """
        from sightsound.torch import forward

        tower, tokenize = self._text_tower, self._tokenize
        starts = range(0, len(texts), TEXTS_AT_ONCE)
        rows = [forward(tower, tokenize(texts[first : first + TEXTS_AT_ONCE]), self._device) for first in starts]
        return np.concatenate([np.empty((0, self.card.dim), np.float32), *rows])

    def logit_scale(self) -> float | None:
        """Return the scale of the file: cosines times this are the logits of classes that are given as words."""
        from sightsound_clip.clap_towers import logit_scale

        return logit_scale(self._files)

    @cached_property
    def _text_tower(self) -> TextTower:
        from sightsound_clip.clap_towers import text_tower

        tower = text_tower(self._files, self.card.dim).eval().requires_grad_(False)
        return tower.to(self._device)

    @cached_property
    def _tokenize(self) -> Any:
        from sightsound_clip.clap_towers import tokenizer

        return tokenizer(self._files)

    @cached_property
    def _log_mel(self) -> Any:
        from sightsound_clip.clap_towers import front_end

        made = front_end(self._files)
        shape = made(np.zeros(1, np.float32)).shape
        wanted = (self.card.sample_rate, self.card.window, self.card.input_shape)
        if (made.sample_rate, made.samples, shape) != wanted:
            text = f"expected {wanted[1]} samples at {wanted[0]} Hz as input {wanted[2]}"
            got = f"got {made.samples} at {made.sample_rate} Hz as {shape}"
            raise SightsoundError(f"{self._files.preprocessor}: {text}, {got}; give a file of {self.card.name}")
        return made
