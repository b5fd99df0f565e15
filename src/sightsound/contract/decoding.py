"""How images are decoded for a network: in full, or a large JPEG at a half, a quarter or an eighth (`[decode=scaled]`).

What the option does stands in the constants of the card, and so in the space. A model that is derived from such a
network has them too, whatever its name is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sightsound.contract.card import Card

KEY = "decode"
"""The constant that says how images are decoded; without it they are decoded in full."""

SCALED = "scaled"
"""The value of the option, and of `jpeg` in the constant."""

MARGIN = 2
"""The shorter side of a scaled image has at least so many times the pixels that the network resizes it to, so that most
of the reduction is left to the exact resize."""


def scaled_constants(card: Card) -> dict[str, Any] | None:
    """Return the constants of a network with `[decode=scaled]`.

    Parameters
    ----------
    card : Card
        The card without the option.

    Returns
    -------
    dict or None
        The constants of the card, and `KEY`. None for sounds, and for a card whose constants do not say what
        `sightsound.plugin.CenterCrop` resizes images to.
    """
    constants = card.constants
    if card.modality != "image" or not {"resize", "crop", "interpolation"} <= set(constants):
        return None
    sides = constants["resize"] if isinstance(constants["resize"], tuple) else (constants["resize"],)
    if not sides or not all(
        isinstance(side, int | float) and not isinstance(side, bool) and side > 0 for side in sides
    ):
        return None
    return {**constants, KEY: {"jpeg": SCALED, "shortest": MARGIN * int(max(sides))}}


def shortest_side(card: Card) -> int | None:
    """Return how small an image may be decoded for a network.

    Parameters
    ----------
    card : Card
        The card.

    Returns
    -------
    int or None
        The pixels that the shorter side of a JPEG must keep; None if images are decoded in full.
    """
    found = card.constants.get(KEY)
    if not isinstance(found, Mapping) or found.get("jpeg") != SCALED:
        return None
    shortest = found.get("shortest")
    return shortest if isinstance(shortest, int) and not isinstance(shortest, bool) and shortest > 0 else None
