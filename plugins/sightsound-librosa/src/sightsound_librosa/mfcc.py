"""Spectra of one second of sound, and their statistics, by librosa's definitions. Importing this imports no librosa."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Output, Windows, cores, frames


class Mfcc:
    """The embedder. Every number comes from `card.constants`.

    The filters are made once and applied to a whole batch. `librosa.feature.mfcc` and `chroma_stft` would make them in
    each call, clip at 80 dB below the loudest window of the batch, and estimate a tuning.

    Parameters
    ----------
    card : Card
        The card with the constants.
    """

    device = "cpu"
    batch_size = 16  # 2,100 seconds of sound per second on two cores; 1,650 with 8, 1,700 with 32

    def __init__(self, card: Card) -> None:
        self.card = card
        self.workers = cores()

    def prepare(self) -> None:
        """Import librosa and make the filters. The first import on a machine compiles for many seconds."""
        self._filters  # noqa: B018

    @cached_property
    def _filters(self) -> tuple[Floats, Floats]:
        """The filters of the mel bands and of the chroma, (n_mels, bins) and (n_chroma, bins)."""
        import librosa

        constants = self.card.constants
        make: dict[str, Any] = {"sr": self.card.sample_rate, "n_fft": constants["n_fft"], "dtype": np.float32}
        mel: Floats = librosa.filters.mel(n_mels=constants["n_mels"], **make)
        return mel, librosa.filters.chroma(n_chroma=constants["n_chroma"], **make)

    def preprocess(self, media: NDArray[Any], start: int, last: bool) -> Windows:
        """Return windows of one second, float32 (n, 22050); the last may be padded."""
        return Windows(*frames(self.card, media, start, last))

    def embed(self, inputs: Floats) -> Output:
        """Return statistics over the frames of each second, float32 (n, 84), for windows (n, 22050)."""
        import librosa

        power = self._power(inputs)
        mfcc = self._mfcc(power)
        delta = librosa.feature.delta(mfcc, width=self.card.constants["delta_width"])
        chroma = self._chromagram(power)
        rows = [mfcc.mean(-1), mfcc.std(-1), delta.std(-1), chroma.mean(-1), chroma.std(-1)]
        return Output(np.concatenate(rows, axis=1).astype(np.float32))

    def postprocess(self, output: Output) -> Floats:
        """Return the statistics standardised by those of ordinary recordings (see `standard`)."""
        centre, spread = (np.array(self.card.constants[key], np.float32) for key in ("centre", "spread"))
        return (output.embeddings - centre) / spread

    def _power(self, inputs: Floats) -> Floats:
        """Return the power spectrum (n, 1 + n_fft / 2, frames) of whole frames only."""
        import librosa

        names = ("n_fft", "hop_length", "window", "center")
        spectrum = librosa.stft(inputs, **{name: self.card.constants[name] for name in names})
        found: Floats = spectrum.real**2 + spectrum.imag**2
        return found

    def _mfcc(self, power: Floats) -> Floats:
        """Return (n, n_mfcc, frames). The floor keeps silence finite and the hiss of quiet recordings out."""
        import scipy.fft

        decibels = 10 * np.log10(np.maximum(self._filters[0] @ power, self.card.constants["floor"]))
        found: Floats = scipy.fft.dct(decibels, axis=-2, type=2, norm="ortho")
        return found[:, : self.card.constants["n_mfcc"]]

    def _chromagram(self, power: Floats) -> Floats:
        """Return (n, n_chroma, frames), scaled such that the strongest of a frame is 1; a silent frame stays 0."""
        found: Floats = self._filters[1] @ power
        strongest: Floats = found.max(axis=-2, keepdims=True)
        strongest[strongest < np.finfo(np.float32).tiny] = 1
        return found / strongest
