"""Facts that recorders of sound write into WAV files: AudioMoth's comment, GUANO, and the broadcast extension.

GUANO: https://guano-md.org. AudioMoth: the comment of its firmware, in the chunk `ICMT` of the list `INFO`. Broadcast
WAV: EBU Tech 3285.
"""

from __future__ import annotations

import datetime as dt
import io
import math
import re
from typing import Any

from sightsound.media.facts.blocks import riff_chunks
from sightsound.media.facts.exif import full_name
from sightsound.media.facts.times import EARLIEST, LATEST, TimeRules, parse_offset

_MAX_TEXT = 2**20  # bytes of a chunk that is read
_SHOWN = 40  # characters of a text that a note shows
_COMMENT = re.compile(
    r"Recorded at (\d\d:\d\d:\d\d(?:\.\d{3})?) (\d\d/\d\d/\d{4}) \(UTC([+-]\d{1,2}(?::\d\d)?)?\)"
    r"(?:.{0,80}? by AudioMoth ([0-9A-F]{16}))?"
)
_GAIN = re.compile(r"at gain setting (\d)|at (low|low-medium|medium|medium-high|high) gain")
_BATTERY = re.compile(r"battery (?:state )?was (?:greater than |less than )?(\d+(?:\.\d+)?) ?V")
_TEMPERATURE = re.compile(r"temperature was (-?\d+(?:\.\d+)?) ?C")
_INFO_COMMENT, _INFO_ARTIST = b"ICMT", b"IART"


class WavTexts:
    """The texts in the chunks of a WAV file.

    Parameters
    ----------
    file : io.FileIO
        The file. Its position moves.

    Attributes
    ----------
    comment, artist, guano, bext : bytes
        The content of the chunks `ICMT`, `IART`, `guan` and `bext`; empty without them.
    """

    def __init__(self, file: io.FileIO) -> None:
        self.comment = self.artist = self.guano = self.bext = b""
        for name, size, offset in riff_chunks(file):
            if name == b"LIST" and _at(file, offset, 4) == b"INFO":
                for inner, length, start in riff_chunks(file, offset + 4, offset + size):
                    if inner == _INFO_COMMENT:
                        self.comment = _at(file, start, length)
                    elif inner == _INFO_ARTIST:
                        self.artist = _at(file, start, length)
            elif name == b"guan":
                self.guano = _at(file, offset, size)
            elif name == b"bext":
                self.bext = _at(file, offset, min(size, 602))


def _at(file: io.FileIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size) or b"" if size <= _MAX_TEXT else b""


def guano_facts(data: bytes, rules: TimeRules, notes: list[str]) -> dict[str, Any]:
    """Return the facts of a GUANO chunk: time, place, altitude, temperature, and the name of the recorder."""
    if not data:
        return {}
    lines = data.rstrip(b"\0").decode("utf-8", "replace").splitlines()
    fields = {key.strip(): value.strip() for key, sign, value in (line.partition(":") for line in lines) if sign}
    found: dict[str, Any] = {}
    stamp = fields.get("Timestamp", "")
    when = _iso_time(stamp)
    if when is not None:
        found |= rules.facts(when, "guano", notes)
    elif stamp:
        notes.append(f"GUANO says {stamp[:_SHOWN]!r}, which is no time")
    position = fields.get("Loc Position", "")
    place = [_number(part) for part in position.split()]
    latitude, longitude = place if len(place) == 2 else (None, None)
    if latitude is not None and longitude is not None and abs(latitude) <= 90 and abs(longitude) <= 180:
        found |= {"latitude": latitude, "longitude": longitude}
    elif position:
        notes.append(f"GUANO says {position[:_SHOWN]!r}, which is no latitude and longitude in degrees")
    numbers = {"altitude": "Loc Elevation", "temperature": "Temperature Int"}
    found |= {key: number for key, name in numbers.items() if (number := _number(fields.get(name, ""))) is not None}
    device = full_name(fields.get("Make", ""), fields.get("Model", ""))
    if device:
        found["recorder"] = " ".join([device, *fields.get("Serial", "").split()])
    return found


def _iso_time(text: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.utcoffset() == dt.timedelta(0):
        found = found.replace(tzinfo=dt.UTC)
    return found if EARLIEST <= found.year < LATEST else None


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def audiomoth_facts(comment: bytes, rules: TimeRules, notes: list[str]) -> dict[str, Any]:
    """Return the facts of AudioMoth's comment: time, recorder, gain, battery (V) and temperature (degrees Celsius)."""
    text = comment.rstrip(b"\0").decode("utf-8", "replace")
    match = _COMMENT.search(text)
    if match is None:
        return {}
    time, date, offset, serial = match.groups()
    found: dict[str, Any] = {"recorder": f"AudioMoth {serial}"} if serial else {}
    zone = parse_offset(offset) if offset else dt.UTC
    try:
        form = "%d/%m/%Y %H:%M:%S.%f" if "." in time else "%d/%m/%Y %H:%M:%S"
        found |= rules.facts(dt.datetime.strptime(f"{date} {time}", form).replace(tzinfo=zone), "audiomoth", notes)
    except ValueError:  # such as a month 0, where its clock was not set
        notes.append(f"AudioMoth says {date} {time}, which is no time")
    if gain := _GAIN.search(text):
        found["gain"] = gain[1] or gain[2]
    for name, pattern in (("battery", _BATTERY), ("temperature", _TEMPERATURE)):
        if value := pattern.search(text):
            found[name] = float(value[1])
    return found


def bext_facts(data: bytes, rules: TimeRules, notes: list[str]) -> dict[str, Any]:
    """Return the local time in a broadcast extension: 10 and 8 characters at 320, with any sign between numbers."""
    text = data[320:338].decode("latin-1")
    match = re.fullmatch(r"(\d{4}).(\d\d).(\d\d)(\d\d).(\d\d).(\d\d)", text)
    try:
        when = dt.datetime(*map(int, match.groups())) if match else None  # type: ignore[arg-type]
    except ValueError:
        return {}
    return rules.facts(when, "bext", notes) if when and EARLIEST <= when.year < LATEST else {}


def name_facts(name: str, rules: TimeRules, notes: list[str]) -> dict[str, Any]:
    """Return the time in the name of a recording, as recorders write it.

    Parameters
    ----------
    name : str
        `YYYYMMDD_HHMMSS` alone is AudioMoth's and in UTC; with a prefix before it, it is a Song Meter's and local. With
        an offset from UTC behind it (`Z`, `+1000`, `-07:00`), as Frontier Labs and ISO 8601 have it, it is in that.
        Eight hexadecimal digits are the seconds since 1970 of older AudioMoths. An ending, and a channel or part behind
        the time, do not matter.
    rules : TimeRules
        How times are read.
    notes : list of str
        What the user should know is added to it.
    """
    stem = name.rpartition(".")[0] or name
    if re.fullmatch(r"[0-9A-F]{8}", stem):
        seconds = int(stem, 16)
        if _HEX_FIRST <= seconds < _HEX_LAST:
            return rules.facts(dt.datetime.fromtimestamp(seconds, dt.UTC), "audiomoth-name", notes)
    match = _NAME.fullmatch(stem)
    if match is None:
        return {}
    try:
        when = dt.datetime.strptime(match[2] + match[3], "%Y%m%d%H%M%S")
    except ValueError:
        return {}
    if zone := parse_offset(match[4] or ""):
        return rules.facts(when.replace(tzinfo=zone), "name", notes)
    if match[1]:
        return rules.facts(when, "song-meter-name", notes)
    return rules.facts(when.replace(tzinfo=dt.UTC), "audiomoth-name", notes)


_NAME = re.compile(
    r"(.*?)[_-]?(?<!\d)((?:19|20)\d{6})[_$T-](\d{6})(?!\d)"
    r"(?:T|(Z|[+](?:0\d|1[0-4])(?::?(?:[03]0|45))?(?!\d)|-(?!00)(?:0\d|1[0-2]):?(?:[03]0|45)(?!\d)))?"
    r"(?:[._ -].{0,40})?",
    re.DOTALL,
)
"""A prefix, the day, the time, and its offset from UTC, if any. Offsets are those that zones have, of whole, half or
three quarters of an hour, so that the number of a part, such as `-0001`, is none."""
_HEX_FIRST, _HEX_LAST = 0x5000_0000, 0x7800_0000
"""From 2012 to 2033. Eight decimal digits that are a date, such as 20180221, are below."""
