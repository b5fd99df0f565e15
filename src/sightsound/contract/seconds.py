"""Times in a recording as people type them."""

from __future__ import annotations

import re

TIME = r"(\d+:){0,2}\d+(\.\d+)?"
"""A regular expression of seconds, with minutes and hours before them or not: `12.5`, `1:30`, `1:02:03.5`."""
TIME_FORMS = "seconds, or a time as 1:30 or 1:02:03.5"
"""How a time may be written, for messages."""


def parse_seconds(text: str) -> float:
    """Return the seconds of a time such as `12.5`, `1:30` or `1:02:03.5`.

    Parameters
    ----------
    text : str
        The time. What has no colon is any number.

    Raises
    ------
    ValueError
        If it is none.
    """
    if ":" not in text:
        return float(text)
    if not re.fullmatch(TIME, text):
        raise ValueError(f"expected {TIME_FORMS}, got {text!r}")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
