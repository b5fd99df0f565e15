"""Items that a library has nothing of, which are gathered with their rows and added many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightsound.contract.results import Item, Rows
from sightsound.library.store.new_items import NewItem
from sightsound.library.store.writer import Writer

MOST_BYTES = 2**22
"""Bytes of vectors that are gathered."""


class GatheredItems:
    """Gathers items whose files and contents the library does not have.

    Parameters
    ----------
    writer : Writer
        The writer of the library.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer, self._bytes = writer, 0
        self._items: dict[Item, tuple[NewItem, Sequence[Rows]]] = {}
        self._contents: set[bytes] = set()

    def settle(self, item: Item, content: bytes = b"") -> None:
        """Add what is gathered if an item or a content is among it, so that the library tells what it has of them."""
        if item in self._items or content in self._contents:
            self.flush()

    def fits(self, content: bytes) -> bool:
        """Return whether the library has nothing of a content."""
        return self._writer.items.content_id(content) is None

    def add(self, new: NewItem, rows: Sequence[Rows]) -> None:
        """Gather an item that fits, with the rows of its content in the space of its one outcome."""
        assert new.hash is not None
        self._items[new.item] = new, rows
        self._contents.add(new.hash)
        self._bytes += sum(each.embeddings.nbytes for each in rows)
        if self._bytes > MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Add what is gathered to the library."""
        if not self._items:
            return
        gathered = list(self._items.values())
        self._items.clear()
        self._contents.clear()
        self._bytes = 0
        contents = self._writer.intake.add_new([new for new, _ in gathered])
        ((space, _),) = gathered[0][0].outcomes
        every = [each for _, rows in gathered for each in rows]
        spans = [each.spans for each in every if each.spans is not None]
        scores = [each.scores for each in every if each.scores is not None]
        self._writer.intake.stretches.add(
            space,
            np.array([contents[new.hash or b""] for new, _ in gathered]),
            np.array([sum(len(each.embeddings) for each in rows) for _, rows in gathered]),
            np.concatenate([each.embeddings for each in every]),
            np.concatenate(spans) if spans else None,
            np.concatenate(scores) if scores else None,
        )
