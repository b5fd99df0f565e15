"""Which items a search may find: what the user asks for, and the items that match it."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sightsound.contract.card import Modality
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.library.store.database import Database
from sightsound.library.store.validation import decode_item, json_object


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
    """

    labels: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    modality: Modality | None = None
    tags: tuple[frozenset[str], ...] = ()

    def matches_path(self, path: str) -> bool:
        """Return whether a path matches one of the globs, or no glob is given."""
        return not self.paths or any(fnmatch.fnmatchcase(path, glob) for glob in self.paths)

    def metadata_test(self) -> Callable[[Mapping[str, Any]], bool]:
        """Return a function that tests the metadata of a file.

        Raises
        ------
        SightsoundError
            If one of `facts` is not of the form `KEY=VALUE`, `KEY<NUMBER` or `KEY>NUMBER`.
        """
        tests = [_metadata_test(text) for text in self.facts]
        return lambda facts: all(test(facts) for test in tests)


def _metadata_test(text: str) -> Callable[[Mapping[str, Any]], bool]:
    match = re.fullmatch(r"(?P<key>[^<>=]+)(?P<sign>[<>=])(?P<value>.*)", text, re.DOTALL)
    if match:
        key, sign, value = match.groups()
        number = _number(value)
        if sign == "=":
            return lambda facts: (
                key in facts and (str(facts[key]) == value or _number(facts[key]) == number is not None)
            )
        if number is not None:
            compare = operator.lt if sign == "<" else operator.gt
            return lambda facts: (found := _number(facts.get(key))) is not None and bool(compare(found, number))
    raise SightsoundError(f"filter {text!r}: expected KEY=VALUE, KEY<NUMBER or KEY>NUMBER")


def _number(value: object) -> float | None:
    """Return a number, or the number that a text stands for; None for anything else."""
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None


def matching_items(
    database: Database, space_id: int, where: Filter, leave_out: bytes | None = None
) -> dict[int, list[Item]]:
    """Return the items with vectors in a space that match a filter, by content.

    Parameters
    ----------
    database : Database
        The library; call inside `Database.snapshot` to combine the result with other reads.
    space_id : int
        Number of the space.
    where : Filter
        The conditions; its modality is not tested.
    leave_out : bytes or None
        SHA-256 of a content to leave out.

    Returns
    -------
    dict of int to list of Item
        Number of a content -> the items that have it, in the order of their ids.
    """
    query = (
        "SELECT r.path, i.path, i.id, o.content, o.seconds, o.facts FROM outcomes o"
        " JOIN items i ON i.id = o.item JOIN roots r ON r.id = i.root JOIN contents c ON c.id = o.content"
        " WHERE o.space = ? AND o.status = 'ok' AND c.hash IS NOT ? ORDER BY i.id"
    )
    labelled, tagged = _labelled_items(database, where.labels), _tagged_contents(database, where.tags)
    test = where.metadata_test()
    rows = database.rows(query, space_id, leave_out)
    with database.decoding():
        decoded = [
            (content, decode_item(root, path, id_), {"seconds": seconds, **json_object(facts)} if where.facts else {})
            for root, path, id_, content, seconds, facts in rows
            if (labelled is None or id_ in labelled) and (tagged is None or content in tagged)
        ]
    found: dict[int, list[Item]] = {}
    for content, item, metadata in decoded:
        if where.matches_path(item.path) and test(metadata):
            found.setdefault(content, []).append(item)
    return found


def tag_condition(tags: Collection[str]) -> tuple[str, list[str]]:
    """Return the SQL condition that a tag has one of these labels or ids, and its values."""
    marks = ", ".join("?" * len(tags))
    return f"(label COLLATE NOCASE IN ({marks}) OR class IN ({marks}))", [*tags, *tags]


def _labelled_items(database: Database, labels: Sequence[str]) -> set[int] | None:
    """Return the items that have all of these labels, or None if there are no labels to test."""
    sets = []
    for label in labels:
        column, sign, value = label.partition("=")
        query, values = "SELECT item FROM labels WHERE value = ?", [label]
        if sign:
            query, values = f'{query} AND "column" = ?', [value, column]
        sets.append({item for (item,) in database.rows(query, *values)})
    return set.intersection(*sets) if sets else None


def _tagged_contents(database: Database, tags: Sequence[Collection[str]]) -> set[int] | None:
    """Return the contents that have a tag of each of these sets, or None if there are no tags to test."""
    sets = []
    for names in tags:
        condition, values = tag_condition(names)
        sets.append({content for (content,) in database.rows(f"SELECT content FROM tags WHERE {condition}", *values)})
    return set.intersection(*sets) if sets else None
