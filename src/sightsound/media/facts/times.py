"""When something was recorded: local times, their zones, and the hours that clocks are put forward and back."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import nearest

LOCAL = "local"
"""The zone of a time of which nothing says where it was."""

EARLIEST, LATEST = 1800, 2200
"""Years that are believed."""

_DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{2}",
    "d": r"\d{2}",
    "j": r"\d{3}",
    "H": r"\d{2}",
    "I": r"\d{2}",
    "M": r"\d{2}",
    "S": r"\d{2}",
    "f": r"\d{1,6}",
    "p": r"[AaPp][Mm]",
    "b": r"[^\W\d_]+",
    "B": r"[^\W\d_]+",
    "z": r"(?:Z|[+-]\d{2}:?\d{2})",
    "%": "%",
}
"""The directives of `strptime` that a pattern may have, with what they stand for in the name of a file."""


@dataclass(frozen=True)
class TimeRules:
    """How the times of files are read.

    Parameters
    ----------
    zone : str
        The name of the zone that local times are in, such as "Europe/Berlin", or "local" where it is not known. Times
        that are written in UTC are converted to it.
    patterns : tuple of str
        Patterns of `strptime` that are searched in the names of files before anything else. A pattern with a slash is
        searched in the path below the root.

    Raises
    ------
    SightsoundError
        If there is no such zone, or a pattern has no date.
    """

    zone: str = LOCAL
    patterns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _ = self.tzinfo, self._searches

    @cached_property
    def tzinfo(self) -> ZoneInfo | None:
        """The zone of local times, None if it is not known."""
        if self.zone == LOCAL:
            return None
        try:
            return ZoneInfo(self.zone)
        except (OSError, ValueError, LookupError) as error:  # it may be a path, a folder, or any text
            raise SightsoundError(_unknown_zone(self.zone)) from error

    @cached_property
    def _searches(self) -> list[Callable[[str], dt.datetime | None]]:
        return [_search(pattern) for pattern in self.patterns]

    def in_name(self, path: str) -> dt.datetime | None:
        """Return the time that the first of the patterns finds in the path of a file below its root."""
        return next((found for search in self._searches if (found := search(path)) is not None), None)

    def facts(self, when: dt.datetime, source: str, notes: list[str]) -> dict[str, Any]:
        """Return a time as facts of a file.

        Parameters
        ----------
        when : datetime
            A local time without a zone, or a time with one. One in UTC is converted to the zone of the rules.
        source : str
            Where it was read.
        notes : list of str
            What the user should know is added to it.

        Returns
        -------
        dict
            `recorded` (ISO 8601), `time_zone` and `time_source`.
        """
        if when.tzinfo is None and self.tzinfo is not None:
            when = self._placed(when, self.tzinfo, notes)
        elif when.tzinfo is dt.UTC and self.tzinfo is not None:
            when = when.astimezone(self.tzinfo)
        precision = "milliseconds" if when.microsecond else "seconds"
        return {"recorded": when.isoformat(timespec=precision), "time_zone": _zone_name(when), "time_source": source}

    def _placed(self, when: dt.datetime, zone: ZoneInfo, notes: list[str]) -> dt.datetime:
        """Return a local time with its zone; without one, if no clock of this zone ever showed it (PEP 495)."""
        placed = when.replace(tzinfo=zone, fold=0)
        shown = f"{when:%Y-%m-%d %H:%M}"
        first, second = placed.utcoffset(), placed.replace(fold=1).utcoffset()
        if first == second:
            return placed
        if placed.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != when:
            notes.append(f"{shown} does not exist in {self.zone}, since clocks are put forward; it stays local")
            return when
        notes.append(f"{shown} exists twice in {self.zone}, since clocks are put back; the first is taken")
        return placed


def recorded_at(facts: Mapping[str, Any], seconds: float = 0.0) -> dt.datetime | None:
    """Return when a file, or a moment of a recording, was recorded.

    Parameters
    ----------
    facts : mapping of str to object
        The facts of an outcome.
    seconds : float
        Seconds since the start of the recording.

    Returns
    -------
    datetime or None
        With the offset from UTC where that is known, in the zone of the file. None where the time is not known.
    """
    try:
        start = dt.datetime.fromisoformat(facts["recorded"])
        if not seconds:
            return start
        zone = start.tzinfo
        if zone is not None and "/" in str(facts.get("time_zone")):
            zone = ZoneInfo(facts["time_zone"])
        if zone is None:
            return start + dt.timedelta(seconds=seconds)
        moment = start.astimezone(dt.UTC) + dt.timedelta(seconds=seconds)
        return moment.astimezone(zone)
    except (LookupError, TypeError, ValueError, OverflowError, OSError):  # not there, or made up
        return None


def changed_rules(rules: TimeRules, zone: str | None, patterns: Sequence[str] | None) -> TimeRules:
    """Return rules with another zone and other patterns, each unless it is None."""
    return TimeRules(rules.zone if zone is None else zone, rules.patterns if patterns is None else tuple(patterns))


def _zone_name(when: dt.datetime) -> str:
    if when.tzinfo is None:
        return LOCAL
    if isinstance(when.tzinfo, ZoneInfo):
        return when.tzinfo.key
    digits = f"{when:%z}"
    return "UTC" if when.tzinfo is dt.UTC else f"{digits[:3]}:{digits[3:5]}"


def _unknown_zone(name: str) -> str:
    from zoneinfo import available_timezones

    near = nearest(name, available_timezones())
    advice = f"did you mean {near!r}?" if near else "name one such as Europe/Berlin, UTC, or local"
    return f"time zone {name!r}: expected a name of the IANA database, got another; {advice}"


def _search(pattern: str) -> Callable[[str], dt.datetime | None]:
    """Return a function that finds the time of a pattern in a path."""
    expression, used = "", set[str]()
    for directive, other in re.findall(r"%(.)|([^%]+|%$)", pattern, re.DOTALL):
        if directive and directive not in _DIRECTIVES:
            known = " ".join(f"%{each}" for each in _DIRECTIVES)
            raise SightsoundError(f"time pattern {pattern!r}: expected directives of {known}, got %{directive}")
        if other == "%":
            raise SightsoundError(f"time pattern {pattern!r}: expected a directive after the last %, got none")
        used.add(directive)
        expression += _DIRECTIVES[directive] if directive else re.escape(other)
    if not (used & {"Y", "y"} and ("j" in used or ({"d"} <= used and used & {"m", "b", "B"}))):
        raise SightsoundError(
            f"time pattern {pattern!r}: expected a date, as %Y, %m and %d; write it as in '%Y-%m-%d_%H-%M'"
        )
    compiled, whole = re.compile(rf"(?<!\d){expression}(?!\d)"), "/" in pattern

    def search(path: str) -> dt.datetime | None:
        name = path if whole else PurePosixPath(path).name
        for match in compiled.finditer(name):
            try:
                found = dt.datetime.strptime(match.group(), pattern)
            except ValueError:  # such as a month 13
                continue
            if EARLIEST <= found.year < LATEST:
                return found
        return None

    return search


def parse_offset(text: str) -> dt.timezone | None:
    """Return the zone of an offset such as `+02:00`, `-7` or `Z`; None for anything else."""
    match = re.fullmatch(r"Z|([+-])(\d{1,2})(?::?(\d{2}))?", text.strip())
    if match is None:
        return None
    if match.group() == "Z":
        return dt.UTC
    minutes = 60 * int(match[2]) + int(match[3] or 0)
    if minutes >= 24 * 60:
        return None
    return dt.timezone(dt.timedelta(minutes=-minutes if match[1] == "-" else minutes))
