"""Altered copies of files, as they come about by saving, scaling, cropping, noise or compression."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightsound import media
from sightsound.contract.arrays import Floats, Matrix
from sightsound.contract.errors import MediaError
from sightsound.media.safe_open import error_line

if TYPE_CHECKING:
    from PIL.Image import Image

ORIGINAL = "original"
"""The copy that is not altered, which the others are compared with."""
EXCERPT = 30.0
"""Seconds from the beginning of a recording that are altered."""

_NOISE_DB = 20.0  # signal to noise ratio of the whole excerpt
_GAIN_DB = -6.0
_SHIFT = 0.1  # seconds that are cut off at the beginning
_MP3_KBITS = 64
_MP3_RATES = {  # Hz -> bit rates of MPEG-1, 2 and 2.5 layer III in kbit/s, which libsndfile divides evenly
    **dict.fromkeys((32_000, 44_100, 48_000), (32, 320)),
    **dict.fromkeys((16_000, 22_050, 24_000), (8, 160)),
    **dict.fromkeys((8_000, 11_025, 12_000), (8, 64)),
}

Copy = tuple[str, Path | MediaError]
"""The name of an alteration, and the file, or why it could not be made."""


def altered_copies(path: Path, modality: str, folder: Path, seed: int) -> Iterator[Copy]:
    """Write altered copies of a file into a folder.

    Images are saved as JPEG of quality 50 and 75, scaled to half their width and height, and cropped by 5 % and 10 % of
    these, half at each side. Of recordings the first 30 s are taken, mixed to mono; they get white noise at 20 dB below
    the signal, a gain of -6 dB, are compressed to MP3 of 64 kbit/s, and begin 0.1 s later.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    modality : {"image", "sound"}
        What it is.
    folder : pathlib.Path
        An empty folder.
    seed : int
        Of the noise.

    Yields
    ------
    Copy
        `ORIGINAL` first.

    Raises
    ------
    MediaError
        If the file cannot be read, or is silent.
    """
    yield from _images(path, folder) if modality == "image" else _sounds(path, folder, seed)


def _images(path: Path, folder: Path) -> Iterator[Copy]:
    from PIL import Image

    image = Image.fromarray(media.read_image(path).pixels)
    width, height = image.size
    half = max(1, width // 2), max(1, height // 2)
    yield ORIGINAL, path
    for quality in (50, 75):
        yield _written(f"JPEG {quality}", folder / f"{quality}.jpg", functools.partial(_save_jpeg, image, quality))
    yield _saved("resized to 1/2", folder / "half.png", image.resize(half, Image.Resampling.BICUBIC))
    for percent in (5, 10):
        left, top = (round(side * percent / 200) for side in (width, height))
        cropped = image.crop((left, top, max(left + 1, width - left), max(top + 1, height - top)))
        yield _saved(f"cropped by {percent} %", folder / f"crop{percent}.png", cropped)


def _save_jpeg(image: Image, quality: int, to: Path) -> None:
    image.save(to, "JPEG", quality=quality)


def _saved(name: str, to: Path, image: Image) -> Copy:
    return _written(name, to, lambda file: image.save(file, "PNG", compress_level=1))


def _sounds(path: Path, folder: Path, seed: int) -> Iterator[Copy]:
    with media.open_sound(path) as sound:
        rate = sound.sample_rate
        pieces = [*sound.pieces(rate, stop=EXCERPT), np.empty(0, np.float32)]
    samples = np.nan_to_num(np.concatenate(pieces), posinf=0, neginf=0)
    level = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
    if not level:
        raise MediaError(f"{path}: silent, or empty; it cannot be told from other silence")
    noise = np.random.default_rng(seed).normal(0, level * 10 ** (-_NOISE_DB / 20), len(samples))
    yield _wave(ORIGINAL, folder / "original.wav", samples, rate)
    yield _wave("noise at 20 dB", folder / "noise.wav", samples + noise, rate)
    yield _wave("gain of -6 dB", folder / "gain.wav", samples * 10 ** (_GAIN_DB / 20), rate)
    yield _written("MP3 of 64 kbit/s", folder / "copy.mp3", lambda to: _write_mp3(to, samples, rate))
    yield _wave("shifted by 0.1 s", folder / "shift.wav", samples[round(_SHIFT * rate) :], rate)


def _wave(name: str, to: Path, samples: Matrix, rate: int) -> Copy:
    import soundfile

    return _written(
        name, to, lambda file: soundfile.write(file, samples.astype(np.float32), rate, "FLOAT", format="WAV")
    )


def _write_mp3(to: Path, samples: Floats, rate: int) -> None:
    """Write MP3 of a constant bit rate, at the next sample rate that MP3 has."""
    import soundfile

    from sightsound.media.samples import resample

    target = rate if rate in _MP3_RATES else min((r for r in _MP3_RATES if r > rate), default=max(_MP3_RATES))
    joined = np.concatenate([*resample(iter([samples]), rate, target)])
    low, high = _MP3_RATES[target]
    level = (high - _MP3_KBITS) / (high - low)
    options = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": level}
    soundfile.write(to, joined.clip(-1, 1), target, **options)


def _written(name: str, to: Path, write: Callable[[Path], object]) -> Copy:
    """Write a copy; what a library for files raises depends on its version and on how it was built."""
    try:
        write(to)
    except Exception as error:
        return name, MediaError(f"{os.fspath(to.name)}: cannot be written ({error_line(error)})")
    return name, to
