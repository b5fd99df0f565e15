"""Which items a search may find."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sightsound.contract.card import Modality
from sightsound.contract.errors import SightsoundError


@dataclass(frozen=True)
class Filter:
    """Which items a search may find: all that is given must hold.

    `modality` is `image` or `sound`; `labels` are `VALUE` (in any column) or `COLUMN=VALUE`; `paths` are globs on the
    path relative to the root; `facts` are `KEY=VALUE`, `KEY<NUMBER` or `KEY>NUMBER` on what is known of the file
    (seconds, channels, width, ...); `tags` are sets of labels or ids of classes, of each of which an item must have
    one (see `searching.tags_of`).
    """

    labels: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    modality: Modality | None = None
    tags: tuple[frozenset[str], ...] = ()

    def fits(self, path: str) -> bool:
        """Whether one of the globs fits a path, or none was given."""
        return not self.paths or any(fnmatch.fnmatchcase(path, glob) for glob in self.paths)

    def known(self) -> Callable[[Mapping[str, Any]], bool]:
        """The test of a file's facts. Raises `SightsoundError` for a text of another form."""
        tests = [_fact_test(text) for text in self.facts]
        return lambda facts: all(test(facts) for test in tests)


def _fact_test(text: str) -> Callable[[Mapping[str, Any]], bool]:
    match = re.fullmatch(r"(?P<key>[^<>=]+)(?P<sign>[<>=])(?P<value>.*)", text, re.DOTALL)
    if match:
        key, sign, value = match.groups()
        number = _number(value)
        if sign == "=":
            return lambda facts: (
                key in facts and (str(facts[key]) == value or _number(facts[key]) == number is not None)
            )
        if number is not None:
            way = operator.lt if sign == "<" else operator.gt
            return lambda facts: (found := _number(facts.get(key))) is not None and bool(way(found, number))
    raise SightsoundError(f"filter {text!r}: expected KEY=VALUE, KEY<NUMBER or KEY>NUMBER")


def _number(value: object) -> float | None:
    """A number, or a text that is one; None for anything else."""
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
