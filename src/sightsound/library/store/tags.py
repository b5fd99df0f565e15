"""The writer's table of tags: which classes were found in each content."""

from __future__ import annotations

from collections.abc import Iterable

from sightsound.contract.results import Item, Prediction, Segment
from sightsound.library.store.items import ItemTable
from sightsound.library.store.transaction import Transaction, storable


class TagTable:
    """Tags of contents by space, as a writer changes them.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    items : ItemTable
        The items, with their present contents.
    """

    def __init__(self, transaction: Transaction, items: ItemTable) -> None:
        self._transaction, self._items = transaction, items

    def missing(self, content: bytes, space: int, rules: str) -> bool:
        """Return whether a content has its vectors in a space, but no tags by these rules.

        Parameters
        ----------
        content : bytes
            SHA-256.
        space : int
            Number of the space.
        rules : str
            The rules as JSON.
        """
        query = (
            "SELECT 1 FROM contents c JOIN outcomes o ON o.content = c.id AND o.space = ? AND o.status = 'ok'"
            " LEFT JOIN tagged t ON t.content = c.id AND t.space = o.space WHERE c.hash = ? AND t.rules IS NOT ?"
        )
        return bool(self._transaction.read(query, space, content, rules))

    def replace(self, item: Item, space: int, rules: str, found: Iterable[Segment | Prediction]) -> None:
        """Replace the tags of the present content of an item.

        Parameters
        ----------
        item : Item
            An item with an outcome in the space.
        space : int
            Number of the space.
        rules : str
            The rules that the tags were found by, as JSON.
        found : iterable of Segment or Prediction
            The segments of a sound, or the best classes of an image.
        """
        content = self._items.content_of(self._items.id(item))
        self._transaction.execute("DELETE FROM tags WHERE content = ? AND space = ?", content, space)
        self._transaction.execute("INSERT OR REPLACE INTO tagged VALUES (?, ?, ?)", content, space, rules)
        rows = [
            (content, space, storable(tag.label), tag.id, tag.start, tag.stop, tag.mean, tag.peak)
            if isinstance(tag, Segment)
            else (content, space, storable(tag.label), tag.id, None, None, tag.score, tag.score)
            for tag in found
        ]
        self._transaction.execute_many(
            "INSERT INTO tags (content, space, label, class, start, stop, mean, peak) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
