"""The only room that opens media files: what a file is, its pixels, its samples.

`identify` tells by content, `read_image` and `open_sound` decode; every other module works on their arrays. What
cannot be decoded ends in a `MediaError` of one line: *name: what, why; next step*.
"""

from __future__ import annotations

import os
from typing import Literal

from sightsound.contract.errors import NotMedia
from sightsound.contract.paths import printable
from sightsound.media import ffmpeg, pictures, sounds
from sightsound.media.kinds import HEAD, known
from sightsound.media.pictures import MAX_PIXELS, Picture, read_image
from sightsound.media.safe_open import open_file
from sightsound.media.sounds import MAX_RATE, MIN_RATE, Sound, open_sound, pipe_sound, read_sound, stream_sound

__all__ = [
    "MAX_PIXELS",
    "MAX_RATE",
    "MIN_RATE",
    "Picture",
    "Sound",
    "identify",
    "open_sound",
    "pipe_sound",
    "printable",
    "read_image",
    "read_sound",
    "stream_sound",
]


def identify(path: str | os.PathLike[str]) -> Literal["image", "sound"]:
    """Whether a file is a picture or a sound, by its first bytes and never by its name.

    Where the first bytes are too few to be sure, the decoder is asked as well; so it is for films, which count as
    sounds if they have a sound track. A film that nothing installed can open counts as a sound: `open_sound` says what
    to install. A picture or sound that is damaged is still one. Raises `NotMedia` with the reason, and `MediaError`
    where the file cannot be opened.
    """
    with open_file(path) as file:
        head = file.read(HEAD)
        if not head:
            raise NotMedia(f"{printable(path)}: an empty file, expected a picture or a sound; copy it anew")
        kind = known(head)
        if kind is None or kind.modality is None:
            what = f"{kind.name}, which is not read" if kind else "neither a picture nor a sound by its first bytes"
            raise NotMedia(f"{printable(path)}: {what}; convert it to PNG or WAV, or leave it out")
        if kind.modality == "image":
            certain = kind.sure or pictures.opens(file, kind)
        else:
            certain = kind.sure or sounds.opens(file, kind) or (kind.film and not ffmpeg.available())
    if not certain:
        lacks = "without a sound track that can be read" if kind.film else "by its first bytes, but not by the rest"
        raise NotMedia(f"{printable(path)}: {kind.name} {lacks}; convert it to PNG or WAV, or leave it out")
    return kind.modality
