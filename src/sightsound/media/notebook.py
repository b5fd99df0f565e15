"""Media in a notebook: a thumbnail or a player, in the page itself."""

from __future__ import annotations

import base64

from sightsound.contract.errors import MediaError
from sightsound.contract.html import escaped
from sightsound.contract.results import Item
from sightsound.media import identify
from sightsound.media.preview import sound_part, thumbnail


def media_html(item: Item, seconds: tuple[float, float] | None) -> str:
    """Return an image or a part of a recording as HTML; a line that says why if it cannot be read.

    Parameters
    ----------
    item : Item
        The file.
    seconds : tuple of float or None
        The part of a recording, of which at most 10 s are there.
    """
    try:
        if identify(item.file) == "image":
            return f'<img alt="" src="data:image/jpeg;base64,{_base64(thumbnail(item.file))}">'
        start, stop = seconds or (0.0, None)
        part = _base64(sound_part(item.file, start, stop))
        return f'<audio controls preload="none" src="data:audio/wav;base64,{part}"></audio>'
    except MediaError as error:
        return f"<em>{escaped(error)}</em>"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
