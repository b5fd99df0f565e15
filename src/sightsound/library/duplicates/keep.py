"""Which of several similar files to keep, by a rule that the user chooses."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Keep = Literal["best", "largest", "oldest"]

_LOSSLESS_IMAGES = frozenset({"PNG", "BMP", "DIB", "TIFF", "PPM", "QOI", "ICO"})
_LOSSLESS_SOUNDS = ("pcm", "float", "double", "flac", "alac")
_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Quality:
    """What a rule looks at.

    Parameters
    ----------
    key : tuple of float
        Higher ones are kept, the first number before the second and so on. Three numbers.
    text : str
        The same in words.
    """

    key: tuple[float, float, float]
    text: str


def quality(rule: Keep, facts: Mapping[str, Any], seconds: float | None, size: int, mtime_ns: int) -> Quality:
    """Return how good a file is by a rule.

    ===========  ===========================================  ================================================
    rule         images                                       recordings
    ===========  ===========================================  ================================================
    `best`       pixels, then lossless before lossy formats,  sample rate, then channels, then lossless before
                 then bytes                                   lossy; bytes where all are equal
    `largest`    pixels, then bytes                           seconds, then bytes
    `oldest`     when it was taken, where the library knows   when it was recorded, else the time of the file
                 it, else the time of the file
    ===========  ===========================================  ================================================

    Parameters
    ----------
    rule : {"best", "largest", "oldest"}
        The rule.
    facts : mapping
        Metadata of the file.
    seconds : float or None
        Duration of a recording; None for an image.
    size : int
        In bytes.
    mtime_ns : int
        When the file was last changed, in nanoseconds since 1970.

    Returns
    -------
    Quality
    """
    if rule == "oldest":
        taken = _recorded(facts)
        when = mtime_ns / _NANOSECONDS if taken is None else taken
        return Quality((-when, 0.0, 0.0), f"{_date(when)}{' (file time)' if taken is None else ''}")
    if seconds is not None:
        return _of_recording(rule, facts, seconds, size)
    width, height = _number(facts, "width"), _number(facts, "height")
    text = f"{width:.0f} x {height:.0f} px"
    if rule == "largest":
        return Quality((width * height, size, 0.0), text)
    form = str(facts.get("format", ""))
    lossless = form.upper() in _LOSSLESS_IMAGES
    return Quality((width * height, lossless, size), f"{text} {form}, {_bytes(size)}")


def _of_recording(rule: Keep, facts: Mapping[str, Any], seconds: float, size: int) -> Quality:
    if rule == "largest":
        return Quality((round(seconds, 3), size, 0.0), f"{seconds:.1f} s")
    rate, channels = _number(facts, "sample_rate"), _number(facts, "channels")
    kind = str(facts.get("subtype", "")).lower()
    lossless = kind.startswith(_LOSSLESS_SOUNDS)
    text = f"{rate:.0f} Hz, {channels:.0f} ch, {facts.get('format', '')} {kind}".rstrip()
    return Quality((rate, channels + lossless / 2, size), f"{text}, {_bytes(size)}")  # channels are whole numbers


def _recorded(facts: Mapping[str, Any]) -> float | None:
    """Return when a file was made, in seconds since 1970; a time without a zone counts as UTC."""
    try:
        found = datetime.datetime.fromisoformat(str(facts["recorded"]))
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
    except (LookupError, ValueError, OverflowError):
        return None


def _date(seconds: float) -> str:
    try:
        return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return "an unknown time"


def _number(facts: Mapping[str, Any], name: str) -> float:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e15 else 0.0


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
