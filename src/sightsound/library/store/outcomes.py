"""The writer's table of outcomes: what became of each item in each space, and which rows that keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sightsound.contract.results import Item, Outcome, Status
from sightsound.library.store.items import ItemTable
from sightsound.library.store.new_items import outcome_columns
from sightsound.library.store.row_table import RowTable
from sightsound.library.store.transaction import Transaction
from sightsound.library.store.validation import decode_outcome, json_object
from sightsound.media.facts.read import with_file_facts


class OutcomeTable:
    """Outcomes of items by space, as a writer changes them. Rows go with the last outcome that needs them.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    items : ItemTable
        The items, with their present contents.
    rows : RowTable
        The rows of these contents.
    """

    def __init__(self, transaction: Transaction, items: ItemTable, rows: RowTable) -> None:
        self._transaction, self._items, self._rows = transaction, items, rows
        self._modalities: dict[int, str] = {}

    def clear_cache(self) -> None:
        """Forget the modalities of spaces, after a rollback or when a space is added."""
        self._modalities.clear()

    def status(self, item: Item, space: int) -> Status | None:
        """Return the status of the present content of an item in a space, None if it has no outcome there.

        Parameters
        ----------
        item : Item
            An item that was passed to `ItemTable.find` or `ItemTable.record` before.
        space : int
            Number of the space, 0 for items that no model was run on.
        """
        query = (
            "SELECT o.status FROM outcomes o JOIN items i ON i.id = o.item"
            " WHERE o.item = ? AND o.space = ? AND o.content IS i.content"
        )
        rows = self._transaction.read(query, self._items.id(item), space)
        return rows[0][0] if rows else None

    def exist(self, item: Item) -> bool:
        """Return whether an item has an outcome in any space."""
        return bool(self._transaction.read("SELECT 1 FROM outcomes WHERE item = ?", self._items.id(item)))

    def record(self, outcome: Outcome, space: int, content: int | None = None) -> None:
        """Record the outcome of an item, make its rows searchable, and delete what they replace.

        A failed item keeps no rows of its present content.

        Parameters
        ----------
        outcome : Outcome
            The outcome of the item's present content.
        space : int
            Number of the space, 0 for an item that no model was run on.
        content : int or None
            Number of the content that represents the item in the space, for an older one than the present content.
        """
        item = self._items.id(outcome.item)
        content = self._items.content_of(item) if content is None else content
        if outcome.status == "ok":
            self._rows.complete(content, space)
        else:
            self._rows.give_up(content, space)
        self._delete(item, self._other_modalities(space))
        query = "SELECT content FROM outcomes WHERE item = ? AND space = ?"
        before = self._transaction.execute(query, item, space).fetchone()
        self._transaction.execute(
            "INSERT OR REPLACE INTO outcomes"
            " (item, space, content, status, reason, flags, seconds, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(item, space, content, *outcome_columns(outcome)),
        )
        if before and before[0] != content:
            self._delete_unused(before[0], space)
        if outcome.status != "ok" and self._rows.exist(content, space):
            self._delete_unused(content, space)
        self._increment_generation(space)

    def copy(self, item: Item, content: bytes, space: int, facts: Mapping[str, Any] | None = None) -> Outcome | None:
        """Give an item the outcome that another item of the same content has in a space.

        Parameters
        ----------
        item : Item
            An item whose present content is `content`.
        content : bytes
            SHA-256.
        space : int
            Number of the space.
        facts : mapping of str to object or None
            What the file of the item says of itself, in place of what the other file does. None if it was not read.

        Returns
        -------
        Outcome or None
            The outcome that was recorded. None if there is none to copy; a failure is not copied, since the other file
            may have been the cause.
        """
        query = (
            "SELECT o.status, o.reason, o.flags, o.seconds, o.facts FROM outcomes o JOIN contents c ON c.id = o.content"
            " WHERE c.hash = ? AND o.space = ? AND o.status != 'failed' LIMIT 1"
        )
        row = self._transaction.execute(query, content, space).fetchone()
        if row is None:
            return None
        try:
            outcome = decode_outcome(item, *row)
        except (ValueError, TypeError, RecursionError):
            return None  # damaged, or made up: the file is embedded itself
        outcome = replace(outcome, facts=with_file_facts(outcome.facts, facts or {}))
        self.record(outcome, space)
        return outcome

    def set_file_facts(self, item: int, facts: Mapping[str, Any]) -> bool:
        """Put what a file says of itself in place of what its outcomes have of that; return whether it is different.

        Parameters
        ----------
        item : int
            The id of the item.
        facts : mapping of str to object
            The facts, from `read_file_facts`.
        """
        changed = False
        for space, stored in self._transaction.read("SELECT space, facts FROM outcomes WHERE item = ?", item):
            try:
                kept = json_object(stored)
            except (ValueError, TypeError, RecursionError):
                continue  # damaged: `check` reports it
            text = json.dumps(with_file_facts(kept, facts), default=str)
            if text != stored and json.loads(text) != kept:
                self._transaction.execute(
                    "UPDATE outcomes SET facts = ? WHERE item = ? AND space = ?", text, item, space
                )
                changed = True
        return changed

    def delete(self, item: int) -> None:
        """Delete the outcomes of an item, and the rows that no other item needs."""
        self._delete(item, None)

    def move(self, space: int, into: int) -> None:
        """Move the outcomes of a space, with those of its rows alone that are needed, to another one of the modality.

        An item that has rows in the other one keeps them.
        """
        both = (
            "SELECT item FROM outcomes WHERE space = ? INTERSECT SELECT item FROM outcomes WHERE space = ? AND status"
        )
        for (item,) in self._transaction.read(f"{both} = 'ok'", space, into):
            self._delete(item, {space})
        for (item,) in self._transaction.read(f"{both} != 'ok'", space, into):
            self._delete(item, {into})
        self._transaction.execute("UPDATE outcomes SET space = ? WHERE space = ?", into, space)

    def _other_modalities(self, space: int) -> set[int]:
        """Return the spaces of other modalities, and 0: an item is in one modality only."""
        if space not in self._modalities:
            rows = self._transaction.execute("SELECT id, json_extract(facts, '$.modality') FROM spaces").fetchall()
            self._modalities = {0: "", **dict(rows)}
        own = self._modalities[space]
        return {id_ for id_, modality in self._modalities.items() if modality != own}

    def _delete(self, item: int, spaces: set[int] | None) -> None:
        """Delete the outcomes of an item in these spaces, or in all."""
        for content, space in self._transaction.execute(
            "SELECT content, space FROM outcomes WHERE item = ?", item
        ).fetchall():
            if spaces is None or space in spaces:
                self._transaction.execute("DELETE FROM outcomes WHERE item = ? AND space = ?", item, space)
                self._delete_unused(content, space)
                self._increment_generation(space)

    def _delete_unused(self, content: int | None, space: int) -> None:
        """Delete the rows and tags of a content in a space that no outcome needs, and the content if nothing does."""
        used = "SELECT 1 FROM outcomes WHERE content = ? AND space = ? AND status = 'ok'"
        if self._rows.exist(content, space) and not self._transaction.read(used, content, space):
            self._rows.delete(content, space)
            for table in ("tags", "tagged"):
                self._transaction.execute(f"DELETE FROM {table} WHERE content = ? AND space = ?", content, space)
        self._items.delete_content_if_unused(content)

    def _increment_generation(self, space: int) -> None:
        self._transaction.execute("UPDATE spaces SET generation = generation + 1 WHERE id = ?", space)
