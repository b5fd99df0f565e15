"""The log-mel front end of VGGish and YAMNet, which differ in the log offset and in how far windows overlap.

The constants are those of the AudioSet releases in the TensorFlow model garden (research/audioset/vggish:
vggish_params.py and mel_features.py; research/audioset/yamnet: params.py and features.py). The logarithm is taken of
magnitudes, not of power, and the mel triangles are linear in mel: librosa's and torchaudio's are linear in Hz, which
changes weights by up to 0.0044. Frames begin at the first sample, with no centring and no padding of their own.

The transform runs in float64: in float32 the rounding of a pure tone's largest bin moves the logarithm of nearly
empty bins by 1e-3, and NumPy's float32 transform is no faster.
"""

from __future__ import annotations

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
_CHUNK = 96  # frames transformed at a time, 390 KB, so that they stay in the core's cache


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
    media = np.pad(media[:samples], (0, max(0, samples - len(media))))
    mel = log_mel(media, card.constants["log_offset"], start // HOP)
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
    lead = first % _GROUP
    starts = [0, *range(_CHUNK - lead, len(pieces), _CHUNK)]
    mel: Floats = np.concatenate([_mel(pieces[a:b], 0 if a else lead) for a, b in zip(starts, [*starts[1:], None])])
    mel += np.float32(offset)
    np.log(mel, out=mel)
    return mel


def _mel(pieces: NDArray[np.floating], lead: int) -> Floats:
    """Return mel magnitudes of at most _CHUNK frames, the first at position `lead` of its group.

    The matrix product always has the same shape, so that each row is always rounded alike.
    """
    padded = np.zeros((-(-(lead + len(pieces)) // _GROUP) * _GROUP, TRANSFORM))
    np.multiply(pieces, hann(), out=padded[lead : lead + len(pieces), :FRAME])
    magnitudes = np.abs(np.fft.rfft(padded)).astype(np.float32)
    mel: Floats = magnitudes.reshape(-1, _GROUP, magnitudes.shape[1]) @ _mel_matrix32()
    return mel.reshape(-1, BANDS)[lead : lead + len(pieces)]


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
def _mel_matrix32() -> Floats:
    return mel_matrix().astype(np.float32)


def _mel_of(hz: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(MEL_Q * np.log1p(np.asarray(hz) / MEL_BREAK_HZ))
