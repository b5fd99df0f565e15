"""What a writer takes in from another library: rows as they are stored, and tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from sightsound.contract.card import Modality
from sightsound.contract.results import Item
from sightsound.library.store.items import ItemTable
from sightsound.library.store.lookup import Lookup
from sightsound.library.store.new_items import RANGE_COLUMNS, NewItem, add_new_items
from sightsound.library.store.outcomes import OutcomeTable
from sightsound.library.store.row_table import RowTable
from sightsound.library.store.stretches import StretchTable
from sightsound.library.store.transaction import Transaction


class Intake:
    """Rows and tags of other libraries, as a writer takes them in.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    items, outcomes, rows, stretches : ItemTable, OutcomeTable, RowTable, StretchTable
        The tables of the writer.

    Attributes
    ----------
    lookup : Lookup
        What the library has, with the changes that were not committed yet.
    stretches : StretchTable
        Adds rows of several new contents at once.
    """

    def __init__(
        self,
        transaction: Transaction,
        items: ItemTable,
        outcomes: OutcomeTable,
        rows: RowTable,
        stretches: StretchTable,
    ) -> None:
        self._transaction, self._items, self._outcomes, self._rows = transaction, items, outcomes, rows
        self.stretches = stretches
        self.lookup = Lookup(transaction.read)

    def add_new(self, items: Sequence[NewItem]) -> dict[bytes, int]:
        """Add items that the library does not have; see `add_new_items`."""
        return add_new_items(self._transaction, self._items, items)

    def content(self, hash_: bytes, modality: Modality | None) -> int:
        """Return the number of a content, which is added if the library does not have it."""
        return self._items.add_content(hash_, modality)

    def lacks_rows(self, content: int, space: int, *, scores: bool) -> bool:
        """Return whether a content has no rows in a space, or none with the scores that are asked for."""
        return not self._rows.exist(content, space) or (scores and not self._rows.have_scores(content, space))

    def add_rows(self, content: int, space: int, parts: Iterable[Sequence[NDArray[Any]]]) -> None:
        """Store all rows of a content, as they are stored in another library.

        Parameters
        ----------
        content, space : int
            Numbers of the content and of the space.
        parts : iterable of sequence of ndarray
            The rows block by block, see `RowTable.add_stored`. None is kept if reading them raises an error.
        """
        try:
            for part in parts:
                self._rows.add_stored(content, space, part)
        except BaseException:
            self._rows.give_up(content, space)
            raise
        self._rows.complete(content, space)

    def add_tags(self, content: int, space: int, rules: str, tags: Sequence[tuple[Any, ...]]) -> None:
        """Store the tags of a content that has none and no scores.

        Parameters
        ----------
        content, space : int
            Numbers of the content and of the space.
        rules : str
            JSON of the rules that they were made with.
        tags : sequence of tuple
            Label, class, start, stop, mean and peak of each.
        """
        known = self._transaction.read("SELECT 1 FROM tagged WHERE content = ? AND space = ?", content, space)
        if known or self._rows.have_scores(content, space):
            return
        self._transaction.execute("INSERT INTO tagged (content, space, rules) VALUES (?, ?, ?)", content, space, rules)
        self._transaction.execute_many(
            "INSERT INTO tags (content, space, label, class, start, stop, mean, peak) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(content, space, *tag) for tag in tags],
        )

    def add_ranges(self, item: int, ranges: Iterable[tuple[Any, ...]]) -> None:
        """Store labels of time ranges of an item that it does not have; values as `RANGE_COLUMNS` says."""
        same = " AND ".join(f"{column} IS ?" for column in ("item", *RANGE_COLUMNS))
        for values in ranges:
            if not self._transaction.read(f"SELECT 1 FROM ranges WHERE {same}", item, *values):
                self._transaction.execute(
                    f"INSERT INTO ranges (item, {', '.join(RANGE_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    *(item, *values),
                )

    def outcome(self, item: Item, space: int) -> tuple[str, bool] | None:
        """Return the status of an item in a space, and whether it is of its present content; None if it has none."""
        query = (
            "SELECT o.status, o.content IS i.content FROM outcomes o JOIN items i ON i.id = o.item"
            " WHERE o.item = ? AND o.space = ?"
        )
        found = self._transaction.read(query, self._items.id(item), space)
        return (str(found[0][0]), bool(found[0][1])) if found else None
