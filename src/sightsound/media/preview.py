"""Small copies of media for pages and tables: a thumbnail of an image, a part of a recording."""

from __future__ import annotations

import io

import numpy as np

from sightsound.contract.errors import MediaError
from sightsound.contract.paths import PathLike, printable
from sightsound.media.images import read_image
from sightsound.media.sounds import open_sound

SIDE = 192
"""Pixels of the longer side of a thumbnail at most."""
SECONDS = 10.0
"""Seconds of a part at most."""
RATE = 16_000
"""Sample rate of a part in Hz, or that of the recording if it is lower."""

_QUALITY = 80  # of JPEG


def thumbnail(path: PathLike, side: int = SIDE) -> bytes:
    """Return an image as a small JPEG, upright.

    Parameters
    ----------
    path : path-like
        The file.
    side : int
        Pixels of the longer side at most; an image is never enlarged.

    Raises
    ------
    MediaError
        If it cannot be read.
    """
    from PIL import Image

    small = Image.fromarray(read_image(path, shortest=side).pixels)
    small.thumbnail((side, side))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def sound_part(path: PathLike, start: float = 0.0, stop: float | None = None, most: float = SECONDS) -> bytes:
    """Return a part of a recording as a WAV file of 16 bits, mono.

    Parameters
    ----------
    path : path-like
        The file.
    start, stop : float
        In seconds; None stands for the end.
    most : float
        The most seconds; what is beyond is left out.

    Raises
    ------
    MediaError
        If it cannot be read, or has no sample there.
    """
    import soundfile

    end = start + most if stop is None else min(stop, start + most)
    with open_sound(path) as sound:
        rate = min(RATE, sound.sample_rate)
        pieces = list(sound.pieces(rate, start=start, stop=end))
    if not pieces:
        raise MediaError(f"{printable(path)}: no sample from {start:g} to {end:g} s; name another part")
    stream = io.BytesIO()
    soundfile.write(stream, np.clip(np.concatenate(pieces), -1, 1), rate, "PCM_16", format="WAV")
    return stream.getvalue()
