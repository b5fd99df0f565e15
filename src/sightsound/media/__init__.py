"""Media files: `identify` tells what a file is by its content, `read_image` and `open_sound` decode it.

No other part of sightsound opens media files. A file that cannot be decoded raises a `MediaError` with one line:
*name: what is wrong, why; what to do*.
"""

from __future__ import annotations

from typing import Literal

from sightsound.contract.errors import NotMedia
from sightsound.contract.paths import PathLike, printable
from sightsound.media import decoders, ffmpeg, images
from sightsound.media.images import MAX_PIXELS, DecodedImage, read_image
from sightsound.media.kinds import HEAD_BYTES, kind_of
from sightsound.media.safe_open import open_file, read_head
from sightsound.media.sounds import MAX_RATE, MIN_RATE, Sound, open_sound, pipe_sound, read_sound, stream_sound

__all__ = [
    "MAX_PIXELS",
    "MAX_RATE",
    "MIN_RATE",
    "DecodedImage",
    "Sound",
    "identify",
    "open_sound",
    "pipe_sound",
    "read_image",
    "read_sound",
    "stream_sound",
]


def identify(path: PathLike) -> Literal["image", "sound"]:
    """Return whether a file is an image or a sound, by its first bytes and never by its name.

    If the first bytes are not enough, a decoder is tried. A film counts as sound if it has a sound track, and also if
    no installed decoder can open it: `open_sound` says what to install then. A damaged image or sound still counts.

    Parameters
    ----------
    path : path-like
        An ordinary file.

    Returns
    -------
    {"image", "sound"}
        What the file is.

    Raises
    ------
    NotMedia
        If it is neither; the text says why.
    MediaError
        If the file cannot be opened or read.
    """
    name = printable(path)
    with open_file(path) as file:
        head = read_head(file, name, HEAD_BYTES)
        if not head:
            raise NotMedia(f"{name}: an empty file, expected an image or a sound; copy it anew")
        kind = kind_of(head)
        if kind is None or kind.modality is None:
            what = f"{kind.name}, which is not read" if kind else "neither an image nor a sound by its first bytes"
            raise NotMedia(f"{name}: {what}; convert it to PNG or WAV, or leave it out")
        if kind.modality == "image":
            certain = kind.sure or images.can_decode(file, kind)
        else:
            certain = kind.sure or decoders.can_decode(file, kind) or (kind.film and not ffmpeg.is_available())
    if not certain:
        lacks = "without a sound track that can be read" if kind.film else "by its first bytes, but not by the rest"
        raise NotMedia(f"{name}: {kind.name} {lacks}; convert it to PNG or WAV, or leave it out")
    return kind.modality
