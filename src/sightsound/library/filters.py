"""Which items a search may find: what the user asks for, and the items that match it."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sightsound.classify.segments import SegmentRules
from sightsound.contract.card import Modality
from sightsound.library.fact_conditions import fact_test, hour_test, near_test, time_test


@dataclass(frozen=True)
class Filter:
    """Conditions on the items that a search may find.

    All that are given must hold.

    Parameters
    ----------
    labels : tuple of str
        Labels that an item, or a time range of it, must have: `VALUE` in any column, or `COLUMN=VALUE`. Where windows
        are found or exported, those of a recording that has a label on time ranges alone must overlap such a range.
    paths : tuple of str
        Globs, one of which the path relative to the root must match.
    facts : tuple of str
        Conditions on the metadata of the file (seconds, channels, width, ...): `KEY=VALUE`, `KEY<NUMBER` or
        `KEY>NUMBER`.
    modality : {"image", "sound"} or None
        The only modality to find; None for both.
    tags : tuple of frozenset of str
        Sets of labels or ids of classes. An item must have a tag of each set. `sightsound.search` and the command line
        make these sets of names.
    labelled, unlabelled : tuple of str
        Columns in which an item must have, or must not have, a label, be it on a time range; "" stands for any column.
    after, before : str
        When the file was recorded: at this time or later, and before this time. A day or a time of ISO 8601, as
        "2026-05-01" or "2026-05-01T04:30". Without an offset it is compared with the local time of each file; with one
        (as "+02:00"), files whose zone is not known do not match. Empty for any time.
    hours : str
        Hours of the day, in the local time of each file: "4-6" is from 4:00 until before 6:00, "22-4" passes midnight.
        A recording counts by its start. Empty for any.
    near : str
        A place and a distance in km or m, "52.5,13.4,10km": degrees of latitude and longitude. Empty for any place.
    min_overlap : float
        The least part of a time range or of a window, whichever is shorter, that must overlap; over 0 and up to 1.
    """

    labels: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    modality: Modality | None = None
    tags: tuple[frozenset[str], ...] = ()
    labelled: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    after: str = ""
    before: str = ""
    hours: str = ""
    near: str = ""
    min_overlap: float = 0.5

    @property
    def reads_facts(self) -> bool:
        """Whether the metadata of files is tested."""
        return bool(self.facts or self.after or self.before or self.hours or self.near)

    def matches_path(self, path: str) -> bool:
        """Return whether a path matches one of the globs, or no glob is given."""
        return not self.paths or any(fnmatch.fnmatchcase(path, glob) for glob in self.paths)

    def metadata_test(self) -> Callable[[Mapping[str, Any]], bool]:
        """Return a function that tests the metadata of a file.

        Raises
        ------
        SightsoundError
            If one of `facts` is not of the form `KEY=VALUE`, `KEY<NUMBER` or `KEY>NUMBER`, or a time, the hours or the
            place are of another form than above.
        """
        tests = [fact_test(text) for text in self.facts]
        tests += [time_test(text, name) for name, text in (("after", self.after), ("before", self.before)) if text]
        tests += [hour_test(self.hours)] if self.hours else []
        tests += [near_test(self.near)] if self.near else []
        return lambda facts: all(test(facts) for test in tests)


def conditions_on_outcomes(where: Filter, item: str = "o.item") -> tuple[list[str], list[str]]:
    """Return the SQL conditions for labels and tags on a row `o` of `outcomes`, and their values.

    `item` is the number of the item, for a query without outcomes, which then has no condition for tags.
    """
    conditions, values = label_conditions(where, item)
    for names in where.tags:
        condition, texts = tag_condition(names)
        of_classes, names_ = class_condition(names)
        conditions.append(
            f"o.content IN (SELECT content FROM tags WHERE {condition} UNION SELECT h.content FROM highest h"
            f" WHERE h.class IN (SELECT id FROM classes WHERE {of_classes}) AND {IS_TAGGED})"
        )
        values += [*texts, *names_]
    return conditions, values


def label_conditions(where: Filter, item: str) -> tuple[list[str], list[str]]:
    """Return the SQL conditions of a filter on the labels of an item, and their values.

    Parameters
    ----------
    where : Filter
        The filter.
    item : str
        The SQL expression of the id of the item.
    """
    conditions, values = [], list[str]()
    for label in where.labels:
        condition, texts = label_condition(label)
        either = " UNION ALL ".join(f"SELECT item FROM {table} WHERE {condition}" for table in _LABEL_TABLES)
        conditions.append(f"{item} IN ({either})")
        values += [*texts, *texts]
    for columns, word in ((where.labelled, ""), (where.unlabelled, "NOT ")):
        for column in columns:
            condition = ' AND l."column" = ?' if column else ""
            either = " OR ".join(
                f"EXISTS (SELECT 1 FROM {table} l WHERE l.item = {item}{condition})" for table in _LABEL_TABLES
            )
            conditions.append(f"{word}({either})")
            values += [column, column] if column else []
    return conditions, values


_LABEL_TABLES = ("labels", "ranges")


def label_condition(label: str) -> tuple[str, list[str]]:
    """Return the SQL condition that a row of `labels` or `ranges` has a label, and its values."""
    column, sign, value = label.partition("=")
    return ('value = ? AND "column" = ?', [value, column]) if sign else ("value = ?", [label])


def tag_condition(tags: Collection[str]) -> tuple[str, list[str]]:
    """Return the SQL condition that a tag has one of these labels or ids, and its values."""
    marks = ", ".join("?" * len(tags))
    return f"(label COLLATE NOCASE IN ({marks}) OR class IN ({marks}))", [*tags, *tags]


def class_condition(tags: Collection[str]) -> tuple[str, list[str]]:
    """Return the SQL condition that a row of `classes` has one of these labels or ids, and its values."""
    marks = ", ".join("?" * len(tags))
    return f"(label COLLATE NOCASE IN ({marks}) OR (key != '' AND key IN ({marks})))", [*tags, *tags]


IS_TAGGED = (
    f"(h.score >= {SegmentRules().threshold} OR h.space IN"
    " (SELECT id FROM spaces WHERE json_extract(facts, '$.modality') = 'image'))"
)
"""The SQL condition that a row `h` of `highest` makes a content one of the class."""
