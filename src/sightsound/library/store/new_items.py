"""Items that a library does not have, which a writer adds many at a time, in the order of the indexes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sightsound.contract.card import Modality
from sightsound.contract.results import Item, Outcome
from sightsound.library.store.items import ItemTable, storable_stat
from sightsound.library.store.transaction import Transaction, storable

RANGE_COLUMNS = ("start", "stop", "low_hz", "high_hz", "channel", '"column"', "value")
"""The columns of the table `ranges`, but for id and item."""


@dataclass(frozen=True)
class NewItem:
    """An item that a library does not have.

    Parameters
    ----------
    item : Item
        The file.
    stat : tuple of int
        Its size in bytes and mtime_ns.
    hash : bytes or None
        SHA-256 of its content, which the library does not have either; None if it could not be read.
    modality : {"image", "sound"} or None
        Of the content.
    labels : sequence of tuple of str
        Column and value of each label.
    ranges : sequence of tuple
        Labels of time ranges; values as `RANGE_COLUMNS` says.
    outcomes : sequence of tuple
        Number of the space, and outcome of the content of the item in it; all of one modality.
    """

    item: Item
    stat: tuple[int, int]
    hash: bytes | None
    modality: Modality | None
    labels: Sequence[tuple[str, str]]
    ranges: Sequence[tuple[Any, ...]]
    outcomes: Sequence[tuple[int, Outcome]]


def add_new_items(transaction: Transaction, items: ItemTable, new: Sequence[NewItem]) -> dict[bytes, int]:
    """Add items with their contents, labels and outcomes, and return the number of each content.

    Each table is filled in the order of its index that is the most scattered, so that a page is changed once.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    items : ItemTable
        Knows the roots.
    new : sequence of NewItem
        The items, no two of which are the same file. Several may have one content.
    """
    modalities = {each.hash: each.modality for each in new if each.hash is not None}
    contents = dict(zip(modalities, range(_next_id(transaction, "contents"), 2**63)))
    transaction.execute_many(
        "INSERT INTO contents (id, hash, modality) VALUES (?, ?, ?)",
        sorted(((id_, hash_, modalities[hash_]) for hash_, id_ in contents.items()), key=lambda row: row[1]),
    )
    numbered = list(zip(range(_next_id(transaction, "items"), 2**63), new))
    rows = [
        (id_, items.root_id(each.item.root), os.fsencode(each.item.path), *storable_stat(each.stat), content)
        for id_, each in numbered
        for content in [None if each.hash is None else contents[each.hash]]
    ]
    transaction.execute_many(
        "INSERT INTO items (id, root, path, size, mtime_ns, content) VALUES (?, ?, ?, ?, ?, ?)",
        sorted(rows, key=lambda row: row[1:3]),
    )
    transaction.execute_many(
        "INSERT OR IGNORE INTO labels VALUES (?, ?, ?)",
        ((id_, storable(column), storable(value)) for id_, each in numbered for column, value in each.labels),
    )
    transaction.execute_many(
        f"INSERT INTO ranges (item, {', '.join(RANGE_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((id_, *values) for id_, each in numbered for values in dict.fromkeys(each.ranges)),
    )
    transaction.execute_many(
        "INSERT INTO outcomes (item, space, content, status, reason, flags, seconds, facts)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (row[0], space, row[-1], *outcome_columns(outcome))
            for row, each in zip(rows, new)
            for space, outcome in each.outcomes
        ),
    )
    transaction.execute_many(
        "UPDATE spaces SET generation = generation + 1 WHERE id = ?",
        [(space,) for space in {space for each in new for space, _ in each.outcomes}],
    )
    return contents


def outcome_columns(outcome: Outcome) -> tuple[Any, ...]:
    """Return the columns of an outcome as they are stored: status, reason, flags, seconds and facts."""
    facts = json.dumps(dict(outcome.facts), default=str)
    return outcome.status, storable(outcome.reason), " ".join(outcome.flags), outcome.seconds, facts


def _next_id(transaction: Transaction, table: str) -> int:
    """Return the number of the next row of a table, whose numbers are never used again."""
    query = (
        f"SELECT max(coalesce((SELECT max(id) FROM {table}), 0),"
        " coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = ?), 0)) + 1"
    )
    ((id_,),) = transaction.read(query, table)
    return int(id_)
