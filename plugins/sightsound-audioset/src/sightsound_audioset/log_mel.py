"""The log-mel front end of VGGish and YAMNet, which differ in the log offset and in how far windows overlap.

The constants are those of the AudioSet releases in the TensorFlow model garden (research/audioset/vggish:
vggish_params.py and mel_features.py; research/audioset/yamnet: params.py and features.py). The logarithm is taken of
magnitudes, not of power, and the mel triangles are linear in mel: librosa's and torchaudio's are linear in Hz, which
changes weights by up to 0.0044. Frames begin at the first sample, with no centring and no padding of their own.

The transform runs in float64: in float32 the rounding of a pure tone's largest bin moves the logarithm of nearly
empty bins by 1e-3, and NumPy's float32 transform is no faster.
"""

from __future__ import annotations

import threading
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Card, Floats, Windows, frames

SAMPLE_RATE = 16000
"""Hz; SAMPLE_RATE of vggish_params.py and params.py."""

FRAME, HOP, TRANSFORM = 400, 160, 512
"""Samples: STFT_WINDOW_LENGTH_SECONDS 0.025, STFT_HOP_LENGTH_SECONDS 0.010, and the next power of two."""

BANDS, LOW_HZ, HIGH_HZ = 64, 125.0, 7500.0
"""NUM_MEL_BINS, MEL_MIN_HZ and MEL_MAX_HZ."""

MEL_BREAK_HZ, MEL_Q = 700.0, 1127.0
"""HTK's scale, mel = 1127 ln(1 + Hz / 700): _MEL_BREAK_FREQUENCY_HERTZ and _MEL_HIGH_FREQUENCY_Q of mel_features.py."""

PATCH = 96
"""Frames in one network input, 0.96 s."""

WINDOW = (PATCH - 1) * HOP + FRAME
"""Samples that one network input sees: 15600, 0.975 s."""

CONSTANTS = {
    "frame": FRAME,
    "frame_hop": HOP,
    "transform": TRANSFORM,
    "frame_window": "hann, periodic",
    "spectrum": "magnitude",
    "mel_bands": BANDS,
    "mel_low_hz": LOW_HZ,
    "mel_high_hz": HIGH_HZ,
    "mel_scale": "htk, triangles linear in mel",
    "patch_frames": PATCH,
}
"""The constants of a card for this front end, except its `log_offset`."""

_GROUP = 12  # frames per matrix product: small enough that BLAS starts no threads for it
_CHUNK = 96  # frames transformed at a time, 800 KB of arrays, so that they stay in the core's cache
_PARTS = 4  # the mel matrix is cut into so many parts of bands, each with the bins that they need alone


def windows(card: Card, media: Floats, start: int, last: bool) -> Windows:
    """Return the log-mel patches of one block.

    Each frame is transformed once, even if windows overlap. Its numbers do not depend on the block.

    Parameters
    ----------
    card : Card
        Has the hop in samples, and `log_offset` among its constants.
    media : ndarray
        float32 (samples,) at 16 kHz.
    start : int
        The first sample of the block in its recording.
    last : bool
        Whether the recording ends with this block.

    Returns
    -------
    Windows
        Its inputs are float32 (n, 96, 64).
    """
    cut, spans, padded = frames(card, media, start, last)
    if not len(cut):
        return Windows(np.empty((0, PATCH, BANDS), np.float32), spans, padded)
    assert card.hop is not None
    samples = (len(cut) - 1) * card.hop + WINDOW
    if samples > len(media):
        media = np.concatenate([media, np.zeros(samples - len(media), np.float32)])
    mel = log_mel(media[:samples], card.constants["log_offset"], start // HOP)
    patches = np.lib.stride_tricks.sliding_window_view(mel, PATCH, axis=0)[:: card.hop // HOP]
    return Windows(patches.swapaxes(1, 2).copy(), spans, padded)


def log_mel(samples: Floats, offset: float, first: int = 0) -> Floats:
    """Return ln(mel + offset) of every whole frame, float32 (frames, 64).

    Parameters
    ----------
    samples : ndarray
        float32 (n,) at 16 kHz.
    offset : float
        Keeps the logarithm finite: 0.01 for VGGish, 0.001 for YAMNet.
    first : int
        The number of the first frame in its recording. Groups of frames are counted from there, because the position
        of a frame in its group may change how its matrix product is rounded.
    """
    if len(samples) < FRAME:
        return np.empty((0, BANDS), np.float32)
    pieces = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP]
    mel, work = np.empty((len(pieces), BANDS), np.float32), _work()
    lead = first % _GROUP
    starts = [0, *range(_CHUNK - lead, len(pieces), _CHUNK)]
    for a, b in zip(starts, [*starts[1:], len(pieces)]):
        part = work.mel(pieces[a:b], 0 if a else lead)
        np.add(part, np.float32(offset), out=mel[a:b])
        np.log(mel[a:b], out=mel[a:b])
    return mel


class _Work:
    """The arrays of one thread. New ones for each call cost as much time as the transform."""

    def __init__(self) -> None:
        self._samples = np.zeros((_CHUNK, TRANSFORM))  # behind a frame they stay zero
        self._spectrum = np.empty((_CHUNK, TRANSFORM // 2 + 1), np.complex128)
        self._magnitudes = np.zeros((_CHUNK, TRANSFORM // 2 + 1), np.float32)
        self._mel = np.empty((_CHUNK, BANDS), np.float32)

    def mel(self, pieces: Floats, lead: int) -> Floats:
        """Return mel magnitudes of at most _CHUNK frames, the first at position `lead` of its group.

        The matrix products always have the same shapes, so that each row is always rounded alike. The result is valid
        until the next call.
        """
        count, end = len(pieces), lead + len(pieces)
        groups = -(-end // _GROUP)
        np.multiply(pieces, hann(), out=self._samples[:count, :FRAME])
        np.fft.rfft(self._samples[:count], out=self._spectrum[:count])
        np.abs(self._spectrum[:count], out=self._magnitudes[lead:end], casting="same_kind")
        magnitudes = self._magnitudes[: groups * _GROUP].reshape(groups, _GROUP, -1)
        mel = self._mel[: groups * _GROUP].reshape(groups, _GROUP, BANDS)
        for bins, bands, matrix in _mel_parts():
            np.matmul(magnitudes[:, :, bins], matrix, out=mel[:, :, bands])
        return self._mel[lead:end]


_threads = threading.local()


def _work() -> _Work:
    """Return the arrays of this thread."""
    found: _Work | None = getattr(_threads, "work", None)
    if found is None:
        found = _threads.work = _Work()
    return found


@cache
def hann() -> NDArray[np.float64]:
    """Return the periodic Hann window of one frame: periodic_hann of mel_features.py, tf.signal.hann_window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)


@cache
def mel_matrix() -> NDArray[np.float64]:
    """Return the mel weights (257, 64): triangles evenly spaced and linear in mel; the bin at 0 Hz has weight 0."""
    edges = np.linspace(_mel_of(LOW_HZ), _mel_of(HIGH_HZ), BANDS + 2)
    bins = _mel_of(np.linspace(0, SAMPLE_RATE / 2, TRANSFORM // 2 + 1))[:, np.newaxis]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    matrix = np.maximum(0, np.minimum(rise, fall))
    matrix[0] = 0
    return matrix


@cache
def _mel_parts() -> list[tuple[slice, slice, Floats]]:
    """Return parts of the mel matrix as bins, bands and weights. What they leave out is zero."""
    matrix, width, parts = mel_matrix().astype(np.float32), BANDS // _PARTS, []
    for start in range(0, BANDS, width):
        bands = slice(start, start + width)
        used = np.flatnonzero(matrix[:, bands].any(axis=1))
        bins = slice(int(used[0]), int(used[-1]) + 1)
        parts.append((bins, bands, np.ascontiguousarray(matrix[bins, bands])))
    return parts


def _mel_of(hz: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(MEL_Q * np.log1p(np.asarray(hz) / MEL_BREAK_HZ))
