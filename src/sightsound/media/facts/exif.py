"""Facts in an EXIF block: when and where a picture was taken, and with which camera (EXIF 2.32, CIPA DC-008)."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from sightsound.contract.paths import printable
from sightsound.media.facts.times import EARLIEST, LATEST, TimeRules, parse_offset
from sightsound.media.tiff import Directory, Tiff

_MAKE, _MODEL, _EXIF, _GPS = 0x010F, 0x0110, 0x8769, 0x8825
_ORIGINAL, _OFFSET_ORIGINAL, _OFFSET = 0x9003, 0x9011, 0x9010
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 1, 2, 3, 4, 5, 6
_FORMATS = ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y:%m:%d %H:%M")


def exif_facts(
    tiff: Tiff, rules: TimeRules, notes: list[str], apart: Mapping[int, Tiff] | None = None
) -> dict[str, Any]:
    """Return the facts of an EXIF block.

    Parameters
    ----------
    tiff : Tiff
        The block, or a TIFF file.
    rules : TimeRules
        How times are read.
    notes : list of str
        What the user should know is added to it.
    apart : mapping of int to Tiff, optional
        Parts that stand in blocks of their own, by the tags that point to them elsewhere.

    Returns
    -------
    dict
        `recorded` and its zone, `latitude` and `longitude` (degrees, WGS 84), `altitude` (m), `camera`; each if it is
        there.
    """
    main, apart = tiff.first(), apart or {}
    exif, gps = (_below(tiff, main, tag, apart) for tag in (_EXIF, _GPS))
    return {**_time(*exif, rules, notes), **_place(*gps, notes), **_camera(tiff, main)}


def _below(tiff: Tiff, main: Directory, tag: int, apart: Mapping[int, Tiff]) -> tuple[Tiff, Directory]:
    """Return a part of EXIF, and the block that it is in."""
    if tag in apart:
        return apart[tag], apart[tag].first()
    offsets = tiff.offsets(main, tag)
    return tiff, tiff.directory(offsets[0])[0] if offsets else {}


def _time(tiff: Tiff, exif: Directory, rules: TimeRules, notes: list[str]) -> dict[str, Any]:
    """Return the time at which the picture was taken; cameras fill in zeros or blanks where their clock is not set."""
    text = tiff.text(exif, _ORIGINAL)
    when = _parsed(text)
    if when is None:
        if set(text) & set("123456789"):
            notes.append(f"EXIF: {printable(text[:40])!r} is no time")
        return {}
    offset = parse_offset(tiff.text(exif, _OFFSET_ORIGINAL) or tiff.text(exif, _OFFSET))
    if offset is dt.UTC:  # what the clock of the camera was set to, and no time that has to be converted
        offset = dt.timezone(dt.timedelta(0), "UTC")
    return rules.facts(when.replace(tzinfo=offset), "exif", notes)


def _parsed(text: str) -> dt.datetime | None:
    for form in _FORMATS:
        try:
            found = dt.datetime.strptime(text, form)
        except ValueError:
            continue
        return found if EARLIEST <= found.year < LATEST else None
    return None


def _place(tiff: Tiff, gps: Directory, notes: list[str]) -> dict[str, float]:
    latitude = _degrees(tiff, gps, _LATITUDE, _LATITUDE_REF, "NS", 90)
    longitude = _degrees(tiff, gps, _LONGITUDE, _LONGITUDE_REF, "EW", 180)
    if latitude is None or longitude is None:
        given = [*tiff.numbers(gps, _LATITUDE), *tiff.numbers(gps, _LONGITUDE)]
        if any(given) and all(map(math.isfinite, given)):  # receivers without a fix write zeros, or 0/0
            notes.append("EXIF: its latitude and longitude are no place")
        return {}
    found = {"latitude": latitude, "longitude": longitude}
    altitude, below = tiff.numbers(gps, _ALTITUDE), tiff.numbers(gps, _ALTITUDE_REF)
    if altitude and math.isfinite(altitude[0]):
        found["altitude"] = round(-altitude[0] if below and below[0] == 1 else altitude[0], 2)
    return found


def _degrees(tiff: Tiff, gps: Directory, tag: int, ref: int, signs: str, most: float) -> float | None:
    """Return degrees, minutes and seconds as degrees; None where they are not there or are impossible."""
    parts, side = tiff.numbers(gps, tag), tiff.text(gps, ref).upper()
    if not 1 <= len(parts) <= 3 or side not in tuple(signs):
        return None
    degrees = sum(part / 60.0**i for i, part in enumerate(parts))
    if not 0 <= degrees <= most:  # False for NaN
        return None
    return round(-degrees if side == signs[1] else degrees, 7)


def _camera(tiff: Tiff, main: Directory) -> dict[str, str]:
    name = full_name(tiff.text(main, _MAKE), tiff.text(main, _MODEL))
    return {"camera": name} if name else {}


def full_name(make: str, model: str) -> str:
    """Return the name of a device with its maker, which many models begin with already."""
    make, model = (" ".join("".join(c for c in text if c.isprintable()).split()) for text in (make, model))
    if not model or model.casefold().startswith(make.casefold().split(" ")[0]):
        return model or make
    return f"{make} {model}"
