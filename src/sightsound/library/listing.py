"""The items of a library, one after the other, with what the library knows of them."""

from __future__ import annotations

import itertools
import json
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sightsound.contract.card import Modality
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item, Status, TimeRange
from sightsound.library.filters import IS_TAGGED, Filter, class_condition, label_conditions, tag_condition
from sightsound.library.library import Library, open_library
from sightsound.library.space_names import named_spaces
from sightsound.library.store.queries import RANGE_COLUMNS
from sightsound.library.store.renamed import is_missing
from sightsound.library.store.validation import decode_item, decode_outcome, decode_path, decode_range, digest, text

_PAGE = 1000  # items that are read at once


@dataclass(frozen=True)
class ListedItem:
    """An item of a library, and what the library knows of it.

    Parameters
    ----------
    item : Item
        The file.
    modality : {"image", "sound"} or None
        What its content is; None if it is neither, or was never read.
    size : int or None
        Bytes of the file when it was last read.
    content : str or None
        SHA-256 of its content, 64 hexadecimal digits; None if it was never read.
    seconds : float or None
        The duration that was decoded, the longest of all networks; None for images.
    status : mapping of str to str
        Name of a space -> "ok", "failed", "not-media" or "no-windows"; the name is "" where no network was run.
    reasons : mapping of str to str
        Name of a space -> why the status is not "ok".
    windows : mapping of str to int
        Name of a space -> the number of its vectors.
    labels : mapping of str to tuple of str
        Column -> labels of the item itself.
    ranges : tuple of TimeRange
        The labels of its time ranges, by their beginning.
    facts : mapping of str to object
        Metadata of the file: format, channels, width and so on.
    """

    item: Item
    modality: Modality | None = None
    size: int | None = None
    content: str | None = None
    seconds: float | None = None
    status: Mapping[str, Status] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    windows: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: tuple[TimeRange, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as values for JSON, with those of the item in place of the item."""
        plain = {name: value for name, value in vars(self).items() if name != "item"}
        plain |= {"labels": {column: list(values) for column, values in self.labels.items()}}
        plain |= {"ranges": [vars(each) for each in self.ranges]}
        plain |= {name: dict(plain[name]) for name in ("status", "reasons", "windows", "facts")}
        return {"id": self.item.id, "path": self.item.path, "root": self.item.root, **plain}


def list_items(
    library: PathLike | Library,
    *,
    where: Filter | None = None,
    failed: bool = False,
    gone: bool = False,
    limit: int | None = None,
) -> Iterator[ListedItem]:
    """Yield the items of a library in the order of their ids.

    Items are read a thousand at a time, so that memory does not grow with their number. What another process commits
    meanwhile may or may not be seen.

    Parameters
    ----------
    library : path-like or Library
        The library.
    where : Filter or None
        Which items; None for all. `facts` are those of any network on the item.
    failed : bool, default=False
        Only items that a network failed on.
    gone : bool, default=False
        Only items whose file does not exist any more.
    limit : int or None
        The most items; None for all.

    Yields
    ------
    ListedItem

    Raises
    ------
    LibraryError
        If there is no library, or it cannot be read.
    SightsoundError
        If `where` is not valid, or `limit` is negative.

    Examples
    --------
    >>> for found in sightsound.list_items("zoo", where=sightsound.Filter(unlabelled=("species",))): print(found.item)
    """
    if limit is not None and limit < 0:
        raise SightsoundError(f"limit: expected a whole number from 0, got {limit}")
    where = where or Filter()
    test = where.metadata_test()
    with open_library(library) as opened:
        opened.check_filter(where)
        names = {(s.name, s.fingerprint): name for name, s, _ in named_spaces(opened.spaces)}
        found = _listed(opened, where, names, failed=failed)
        chosen = (
            each
            for each, all_facts in found
            if (not where.reads_facts or any(map(test, all_facts))) and (not gone or is_missing(each.item.file))
        )
        yield from itertools.islice(chosen, limit)


def _listed(
    library: Library, where: Filter, names: Mapping[tuple[str, str], str], *, failed: bool
) -> Iterator[tuple[ListedItem, list[Mapping[str, Any]]]]:
    """Yield the items that match but for facts and `gone`, and for each the facts of all its outcomes, with seconds."""
    conditions, values = _conditions(where, failed=failed)
    query = (
        "SELECT i.id, r.path, i.path, i.size, c.hash, c.modality FROM items i JOIN roots r ON r.id = i.root"
        f" LEFT JOIN contents c ON c.id = i.content WHERE {' AND '.join(['i.id > ?', *conditions])}"
        " ORDER BY i.id LIMIT ?"
    )
    last = -1
    while page := library.rows(query, last, *values, _PAGE):
        last = page[-1][0]
        if where.paths:  # before anything else is read of the items
            with library.decoding():
                page = [row for row in page if where.matches_path(decode_path(row[2], row[0]))]
        ids = json.dumps([row[0] for row in page])
        found = [_grouped(library.rows(each, ids)) for each in (_LABELS, _RANGES, _OUTCOMES, _WINDOWS)]
        for row in page:
            with library.decoding():
                decoded = _decoded(row, names, *(of_item.get(row[0], []) for of_item in found))
            yield decoded


_LABELS = 'SELECT item, "column", value FROM labels WHERE item IN (SELECT value FROM json_each(?)) ORDER BY 1, 2, 3'
_RANGES = (
    f"SELECT item, {RANGE_COLUMNS} FROM ranges WHERE item IN (SELECT value FROM json_each(?))"
    " ORDER BY 1, 2, 3, 4, 5, 6, 7, 8"
)
_SPACE = "coalesce(s.name, ''), coalesce(s.fingerprint, '')"
_OUTCOMES = (
    f"SELECT o.item, {_SPACE}, o.status, o.reason, o.flags, o.seconds, o.facts FROM outcomes o"
    " LEFT JOIN spaces s ON s.id = o.space WHERE o.item IN (SELECT value FROM json_each(?)) ORDER BY o.item, o.space"
)
_WINDOWS = (
    f"SELECT o.item, {_SPACE}, sum(n.count) FROM outcomes o JOIN runs n ON n.content = o.content AND n.space = o.space"
    " JOIN spaces s ON s.id = o.space WHERE o.item IN (SELECT value FROM json_each(?)) AND o.status = 'ok'"
    " GROUP BY o.item, o.space"
)


def _conditions(where: Filter, *, failed: bool) -> tuple[list[str], list[Any]]:
    """Return the conditions of SQL on an item `i` with a content `c`, and their values."""
    conditions, texts = label_conditions(where, "i.id")
    values: list[Any] = list(texts)
    if where.modality:
        conditions.append("c.modality = ?")
        values.append(where.modality)
    for names in where.tags:
        of_tags, tag_values = tag_condition(names)
        of_classes, class_values = class_condition(names)
        # The plus keeps SQLite from reading all contents of a class for each item.
        classes = f"+h.class IN (SELECT id FROM classes WHERE {of_classes})"
        conditions.append(
            "EXISTS (SELECT 1 FROM outcomes o WHERE o.item = i.id AND o.status = 'ok'"
            f" AND (EXISTS (SELECT 1 FROM tags WHERE content = o.content AND {of_tags})"
            f" OR EXISTS (SELECT 1 FROM highest h WHERE h.content = o.content AND {classes} AND {IS_TAGGED})))"
        )
        values += [*tag_values, *class_values]
    if failed:
        conditions.append("EXISTS (SELECT 1 FROM outcomes WHERE item = i.id AND status = 'failed')")
    return conditions, values


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    """Return rows that are sorted by their first value: the value -> the rest of each row."""
    by_item = itertools.groupby(rows, key=operator.itemgetter(0))
    return {item: [row[1:] for row in group] for item, group in by_item}


def _decoded(
    row: tuple[Any, ...],
    names: Mapping[tuple[str, str], str],
    labels: list[tuple[Any, ...]],
    ranges: list[tuple[Any, ...]],
    outcomes: list[tuple[Any, ...]],
    windows: list[tuple[Any, ...]],
) -> tuple[ListedItem, list[Mapping[str, Any]]]:
    """Return an item of the rows of the tables; call it inside `decoding`."""
    id_, root, path, size, content, modality = row
    item = decode_item(root, path, id_)
    found = {}
    for name, fingerprint, *outcome in outcomes:
        found[names.get((name, fingerprint), "") if name else ""] = decode_outcome(item, *outcome)
    by_column: dict[str, tuple[str, ...]] = {}
    for column, value in labels:
        by_column[text(column)] = (*by_column.get(column, ()), text(value))
    listed = ListedItem(
        item,
        modality if modality in ("image", "sound") else None,
        size if isinstance(size, int) else None,
        None if content is None else digest(content).hex(),
        max((each.seconds for each in found.values() if each.seconds is not None), default=None),
        {name: each.status for name, each in found.items()},
        {name: each.reason for name, each in found.items() if each.reason},
        {names.get((name, fingerprint), name): int(count) for name, fingerprint, count in windows},
        by_column,
        tuple(decode_range(*each) for each in ranges),
        {key: value for each in found.values() for key, value in each.facts.items()},
    )
    return listed, [{"seconds": each.seconds, **each.facts} for each in found.values()]
