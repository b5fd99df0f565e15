"""Which items a search may find: what the user asks for, and the items that match it."""

from __future__ import annotations

import fnmatch
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.classify.segments import SegmentRules
from sightsound.contract.card import Modality
from sightsound.contract.results import Item, Outcome
from sightsound.library.fact_conditions import check_facts, fact_test, hour_test, near_test, time_test
from sightsound.library.store.database import Database
from sightsound.library.store.validation import decode_item, decode_path, json_object

_CONTENTS = 500  # whose items are read at once


@dataclass(frozen=True)
class Filter:
    """Conditions on the items that a search may find.

    All that are given must hold.

    Parameters
    ----------
    labels : tuple of str
        Labels that an item must have: `VALUE` in any column, or `COLUMN=VALUE`.
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
        Columns in which an item must have, or must not have, a label; "" stands for any column.
    after, before : str
        When the file was recorded: at this time or later, and before this time. A day or a time of ISO 8601, as
        "2026-05-01" or "2026-05-01T04:30". Without an offset it is compared with the local time of each file; with one
        (as "+02:00"), files whose zone is not known do not match. Empty for any time.
    hours : str
        Hours of the day, in the local time of each file: "4-6" is from 4:00 until before 6:00, "22-4" passes midnight.
        A recording counts by its start. Empty for any.
    near : str
        A place and a distance in km or m, "52.5,13.4,10km": degrees of latitude and longitude. Empty for any place.
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


@dataclass(frozen=True)
class MatchingContents:
    """The contents that a search may find, and which of their items.

    Parameters
    ----------
    contents : ndarray of int64 (n,) or None
        Numbers of the contents, sorted; None for all.
    ids : ndarray of int64 (m,) or None
        Ids of the items that match, sorted; None for all.
    """

    contents: NDArray[np.int64] | None
    ids: NDArray[np.int64] | None

    def items(self, database: Database, space_id: int, contents: Collection[int]) -> dict[int, list[Item]]:
        """Return the matching items of some contents in a space, in the order of their ids."""
        found = self.outcomes(database, space_id, contents)
        return {content: [outcome.item for outcome in outcomes] for content, outcomes in found.items()}

    def outcomes(self, database: Database, space_id: int, contents: Collection[int]) -> dict[int, list[Outcome]]:
        """Return the outcomes of the matching items of some contents in a space, with their seconds alone."""
        found: dict[int, list[Outcome]] = {}
        chosen = sorted(contents)
        for first in range(0, len(chosen), _CONTENTS):
            part = chosen[first : first + _CONTENTS]
            rows = database.rows(
                "SELECT r.path, i.path, i.id, o.content, o.seconds FROM outcomes o JOIN items i ON i.id = o.item"
                f" JOIN roots r ON r.id = i.root WHERE o.content IN ({', '.join('?' * len(part))})"
                " AND o.space = ? AND o.status = 'ok' ORDER BY i.id",
                *(*part, space_id),
            )
            with database.decoding():
                for root, path, id_, content, seconds in rows:
                    length = None if seconds is None else float(seconds)
                    outcome = Outcome(decode_item(root, path, id_), "ok", seconds=length)
                    if self.has(outcome.item):
                        found.setdefault(content, []).append(outcome)
        return found

    def has(self, item: Item) -> bool:
        """Return whether an item matches."""
        if self.ids is None:
            return True
        at = int(np.searchsorted(self.ids, item.id or 0))
        return at < len(self.ids) and int(self.ids[at]) == item.id


def matching_contents(database: Database, space_id: int, where: Filter) -> MatchingContents:
    """Return the contents with rows in a space that have an item which matches a filter.

    Parameters
    ----------
    database : Database
        The library; call inside `Database.snapshot` to combine the result with other reads.
    space_id : int
        Number of the space.
    where : Filter
        The conditions; its modality is not tested.

    Raises
    ------
    SightsoundError
        If a condition has another form, or names a fact that no file has.
    """
    test = where.metadata_test()
    check_facts(database, where.facts)
    conditions, texts = conditions_on_outcomes(where)
    conditions = ["o.space = ?", "o.status = 'ok'", *conditions]
    values: list[int | str] = [space_id, *texts]
    columns, joined = ["o.content", "o.item"], ""
    if where.paths:
        columns, joined = [*columns, "i.path"], "JOIN items i ON i.id = o.item"
    if where.reads_facts:
        columns += ["o.seconds", "o.facts"]
    if len(conditions) == 2 and len(columns) == 2:
        return MatchingContents(None, None)
    query = f"SELECT {', '.join(columns)} FROM outcomes o {joined} WHERE {' AND '.join(conditions)}"
    found = array("q")
    for content, item, *rest in database.iterate(query, *values):
        if rest:
            with database.decoding():
                path, facts = _decoded(rest, where)
            if not (where.matches_path(path) and test(facts)):
                continue
        with database.decoding():
            found.extend((content, item))
    numbers = np.frombuffer(found, np.int64).reshape(-1, 2)
    return MatchingContents(np.unique(numbers[:, 0]), np.unique(numbers[:, 1]))


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


def _decoded(values: Sequence[Any], where: Filter) -> tuple[str, dict[str, Any]]:
    """Return the path and the metadata of an outcome, as far as they are needed."""
    path = decode_path(values[0]) if where.paths else ""
    return path, {"seconds": values[-2], **json_object(values[-1])} if where.reads_facts else {}


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
        column, sign, value = label.partition("=")
        condition = 'value = ? AND "column" = ?' if sign else "value = ?"
        conditions.append(f"{item} IN (SELECT item FROM labels WHERE {condition})")
        values += [value, column] if sign else [label]
    for columns, word in ((where.labelled, "EXISTS"), (where.unlabelled, "NOT EXISTS")):
        for column in columns:
            condition = ' AND l."column" = ?' if column else ""
            conditions.append(f"{word} (SELECT 1 FROM labels l WHERE l.item = {item}{condition})")
            values += [column] if column else []
    return conditions, values


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
