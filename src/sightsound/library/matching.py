"""The contents, items and windows of a space that match a filter."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.results import Item, Outcome
from sightsound.library.filter_checks import check_filter
from sightsound.library.filters import Filter, conditions_on_outcomes, label_condition
from sightsound.library.space_rows import RowsView, SpaceRows
from sightsound.library.store.database import Database
from sightsound.library.store.validation import decode_item, decode_path, json_object
from sightsound.library.window_choice import WindowChoice, check_overlap

_CONTENTS = 500  # whose items are read at once


@dataclass(frozen=True)
class MatchingContents:
    """The contents that a search may find, and which of their items.

    Parameters
    ----------
    contents : ndarray of int64 (n,) or None
        Numbers of the contents, sorted; None for all.
    ids : ndarray of int64 (m,) or None
        Ids of the items that match, sorted; None for all.
    windows : WindowChoice or None
        Which windows of recordings match; None for all.
    """

    contents: NDArray[np.int64] | None
    ids: NDArray[np.int64] | None
    windows: WindowChoice | None = None

    def keeps(self, item: Item, seconds: tuple[float, float] | None) -> bool:
        """Return whether a part of a matching item matches, by its start and stop; None stands for an image."""
        return self.windows is None or seconds is None or self.windows.keeps(item.id or 0, seconds)

    def rows(self, rows: SpaceRows) -> SpaceRows | RowsView:
        """Return the rows of a space of which only contents are left to choose."""
        return rows if self.windows is None or self.contents is None else self.windows.view(rows, self.contents)

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
        return self.ids is None or _is_in(self.ids, item.id or 0)


def _is_in(numbers: NDArray[np.int64], number: int) -> bool:
    at = int(np.searchsorted(numbers, number))
    return at < len(numbers) and int(numbers[at]) == number


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
        If a condition has another form, or names a fact or a column of labels that the library does not have.
    """
    test = where.metadata_test()
    check_filter(database, where)
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
    windows = _windows(database, space_id, where, numbers)
    return MatchingContents(np.unique(numbers[:, 0]), np.unique(numbers[:, 1]), windows)


def _windows(database: Database, space_id: int, where: Filter, matching: NDArray[np.int64]) -> WindowChoice | None:
    """Return the windows that match the labels of a filter, given the (content, item) that do; None for all."""
    check_overlap(where.min_overlap)
    ids, ranges = np.unique(matching[:, 1]), []
    for label in where.labels:
        condition, values = label_condition(label)
        query = (
            "SELECT g.item, g.start, g.stop FROM ranges g JOIN outcomes o ON o.item = g.item AND o.space = ? AND"
            f" o.status = 'ok' WHERE {condition} AND g.item NOT IN (SELECT item FROM labels WHERE {condition})"
            " ORDER BY g.item, g.start"
        )
        items, spans = array("q"), array("d")
        for item, start, stop in database.iterate(query, space_id, *values, *values):
            if _is_in(ids, item):
                with database.decoding():
                    items.append(item)
                    spans.extend((float(start), float(stop)))
        ranges.append((np.frombuffer(items, np.int64), np.frombuffer(spans, np.float64).reshape(-1, 2)))
    if not any(len(items) for items, _ in ranges):
        return None
    return WindowChoice.of(matching, ranges, where.min_overlap)


def _decoded(values: Sequence[Any], where: Filter) -> tuple[str, dict[str, Any]]:
    """Return the path and the metadata of an outcome, as far as they are needed."""
    path = decode_path(values[0]) if where.paths else ""
    return path, {"seconds": values[-2], **json_object(values[-1])} if where.reads_facts else {}
