"""Conditions on the facts of a file: numbers and texts, times, hours of the day, and distance from a place."""

from __future__ import annotations

import datetime as dt
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import nearest
from sightsound.media.facts.read import DECODER_FACTS, FILE_FACTS
from sightsound.media.facts.times import recorded_at

if TYPE_CHECKING:
    from sightsound.library.store.database import Database

EARTH_KM = 6371.0088
"""The mean radius of the earth in km (IUGG)."""

Test = Callable[[Mapping[str, Any]], bool]

_FACT = re.compile(r"(?P<key>[^<>=]+)(?P<sign>[<>=])(?P<value>.*)", re.DOTALL)
_DAY = 24 * 60  # minutes


def fact_test(text: str) -> Test:
    """Return the test of `KEY=VALUE`, `KEY<NUMBER` or `KEY>NUMBER`. Of several values one must be equal."""
    match = _FACT.fullmatch(text)
    if match:
        key, sign, value = match.groups()
        number = _number(value)
        if sign == "=":
            return lambda facts: key in facts and any(_equal(each, value, number) for each in _values(facts[key]))
        if number is not None:
            compare = operator.lt if sign == "<" else operator.gt
            return lambda facts: (found := _number(facts.get(key))) is not None and bool(compare(found, number))
    raise SightsoundError(f"filter {text!r}: expected KEY=VALUE, KEY<NUMBER or KEY>NUMBER")


def _values(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else [value]


def _equal(found: object, value: str, number: float | None) -> bool:
    return str(found) == value or _number(found) == number is not None


def _number(value: object) -> float | None:
    """Return a number, or the number that a text stands for; None for anything else."""
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None


def time_test(text: str, option: str) -> Test:
    """Return the test whether a file was recorded at a time or later (`after`), or earlier (`before`).

    Parameters
    ----------
    text : str
        A year, a month, a day, or a time of ISO 8601. Without an offset it is compared with the local time of each
        file, with one with the moment of the files whose zone is known.
    option : {"after", "before"}
        Which of both.

    Raises
    ------
    SightsoundError
        If it is no such time.
    """
    bound = _bound(text, option)

    def test(facts: Mapping[str, Any]) -> bool:
        when = recorded_at(facts)
        if when is None or (bound.tzinfo is not None and when.tzinfo is None):
            return False
        when = when if bound.tzinfo is not None else when.replace(tzinfo=None)
        return (when >= bound) == (option == "after")

    return test


def _bound(text: str, option: str) -> dt.datetime:
    whole = text.strip()
    if re.fullmatch(r"\d{4}(-\d\d)?", whole):
        whole += "-01-01" if len(whole) == 4 else "-01"
    try:
        return dt.datetime.fromisoformat(whole)
    except ValueError:
        what = "expected a day or a time as 2026-05-01 or 2026-05-01T04:30"
        raise SightsoundError(f"{option} {text!r}: {what}, got another text") from None


def hour_test(text: str) -> Test:
    """Return the test whether a file was recorded in some hours of the day, by its local time.

    Parameters
    ----------
    text : str
        `4-6` is from 4:00 until before 6:00, `22-4` passes midnight, `4:30-6` has minutes, `5` is `5-6`.

    Raises
    ------
    SightsoundError
        If it is none of these.
    """
    match = re.fullmatch(r"\s*(\d{1,2})(?::(\d\d))?\s*(?:-\s*(\d{1,2})(?::(\d\d))?\s*)?", text)
    first = _minutes(match[1], match[2]) if match else -1
    last = (first + 60 if match[3] is None else _minutes(match[3], match[4])) if match else -1
    if not (0 <= first < _DAY and 0 <= last <= _DAY and first != last):
        raise SightsoundError(f"hour {text!r}: expected hours from 0 to 24 as 4-6, 22-4 or 4:30-6:15, got others")

    def test(facts: Mapping[str, Any]) -> bool:
        when = recorded_at(facts)
        if when is None:
            return False
        minute = 60 * when.hour + when.minute
        return first <= minute < last if first < last else minute >= first or minute < last

    return test


def _minutes(hours: str, minutes: str | None) -> int:
    return 60 * int(hours) + int(minutes or 0) if int(minutes or 0) < 60 else -1


def near_test(text: str) -> Test:
    """Return the test whether a file was recorded within a distance of a place.

    Parameters
    ----------
    text : str
        Degrees of latitude and longitude, and a distance in km or m: `52.5,13.4,10km`.

    Raises
    ------
    SightsoundError
        If it is none of these, or not on the earth.
    """
    parts = re.fullmatch(r"\s*([-+\d.]+)\s*,\s*([-+\d.]+)\s*,\s*([\d.]+)\s*(km|m)\s*", text)
    numbers = [_number(part) for part in parts.groups()[:3]] if parts else []
    latitude, longitude, distance = numbers if None not in numbers and len(numbers) == 3 else (None, None, None)
    if parts is None or latitude is None or longitude is None or distance is None:
        raise SightsoundError(f"near {text!r}: expected latitude, longitude and distance as 52.5,13.4,10km")
    if abs(latitude) > 90 or abs(longitude) > 180:
        what = "expected degrees from -90 to 90 and from -180 to 180, latitude first"
        raise SightsoundError(f"near {text!r}: {what}, got others")
    most = distance / (1000 if parts[4] == "m" else 1)

    def test(facts: Mapping[str, Any]) -> bool:
        there = [_number(facts.get(key)) for key in ("latitude", "longitude")]
        if there[0] is None or there[1] is None:
            return False
        return distance_km((latitude, longitude), (there[0], there[1])) <= most

    return test


def distance_km(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Return the distance of two places on a sphere in km, by the haversine formula.

    Parameters
    ----------
    here, there : tuple of float
        Latitude and longitude in degrees.
    """
    (lat1, lon1), (lat2, lon2) = (map(math.radians, place) for place in (here, there))
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def check_facts(database: Database, texts: Sequence[str]) -> None:
    """Refuse conditions on facts that no file has or can have.

    Parameters
    ----------
    database : Database
        The library.
    texts : sequence of str
        The conditions, as of `fact_test`.

    Raises
    ------
    SightsoundError
        With the nearest fact that there is.
    """
    for key in fact_keys(texts):
        if key not in FILE_FACTS and key not in DECODER_FACTS and not _has_fact(database, key):
            raise no_such_fact(key, fact_names(database))


def fact_keys(texts: Sequence[str]) -> list[str]:
    """Return the names of the facts of conditions, as of `fact_test`."""
    return [match["key"] for text in texts if (match := _FACT.fullmatch(text))]


def no_such_fact(key: str, known: Collection[str]) -> SightsoundError:
    """Return the error for a condition on a fact that is not among those that are known, with the nearest one."""
    near = nearest(key, known)
    advice = f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
    return SightsoundError(f"fact {key!r}: expected one that files have, got another; {advice}")


def _has_fact(database: Database, key: str) -> bool:
    return bool(database.rows("SELECT 1 FROM outcomes o, json_each(o.facts) j WHERE j.key = ? LIMIT 1", key))


def fact_names(database: Database) -> list[str]:
    """Return the names of all facts that items of a library have or can have, sorted."""
    rows = database.rows("SELECT DISTINCT j.key FROM outcomes o, json_each(o.facts) j")
    return sorted({*FILE_FACTS, *DECODER_FACTS, *(key for (key,) in rows if isinstance(key, str))})
