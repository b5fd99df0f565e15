"""The writer's table of vectors: rows are pending until their content is complete, and counted and checksummed."""

from __future__ import annotations

import numpy as np

from sightsound.contract.results import Rows
from sightsound.library.store.schema import checksum
from sightsound.library.store.transaction import Transaction


class VectorTable:
    """Vectors of contents by space, as a writer changes them.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._sums: dict[tuple[int | None, int], tuple[int, int]] = {}  # of the pending contents

    def clear_cache(self) -> None:
        """Forget the checksums of pending vectors, after a rollback."""
        self._sums.clear()

    def add(self, content: int | None, space: int, rows: Rows) -> None:
        """Store some rows of a content, which stay pending until `complete`.

        Parameters
        ----------
        content, space : int
            Numbers of the content and of the space.
        rows : Rows
            The rows that follow those already added.
        """
        self._transaction.execute("INSERT OR IGNORE INTO pending (content, space) VALUES (?, ?)", content, space)
        spans = [(None, None)] * len(rows.embeddings) if rows.spans is None else rows.spans.tolist()
        count, crc = self._sums.get((content, space), (0, 0))
        values = []
        for (start, stop), row in zip(spans, np.ascontiguousarray(rows.embeddings, "<f4")):
            values.append((content, space, start, stop, row.tobytes()))
            crc = checksum(crc, *values[-1][2:])
        self._transaction.execute_many(
            "INSERT INTO vectors (content, space, start, stop, embedding) VALUES (?, ?, ?, ?, ?)", values
        )
        self._sums[content, space] = count + len(values), crc

    def complete(self, content: int | None, space: int) -> tuple[int, int]:
        """Make the pending rows of a content searchable.

        Parameters
        ----------
        content, space : int
            Numbers of the content and of the space.

        Returns
        -------
        count, checksum : int
            Of the rows that were pending.
        """
        self._transaction.execute("DELETE FROM pending WHERE content IS ? AND space = ?", content, space)
        return self._sums.pop((content, space), (0, 0))

    def exist(self, content: int | None, space: int) -> bool:
        """Return whether there are vectors of a content in a space, complete or pending."""
        query = "SELECT 1 FROM vectors WHERE content = ? AND space = ? LIMIT 1"
        return self._transaction.execute(query, content, space).fetchone() is not None

    def delete(self, content: int | None, space: int) -> None:
        """Delete the vectors and tags of a content in a space."""
        for table in ("vectors", "tags", "tagged"):
            self._transaction.execute(f"DELETE FROM {table} WHERE content IS ? AND space = ?", content, space)

    def delete_pending(self) -> None:
        """Delete the vectors of contents that a crashed writer did not complete."""
        for content, space in self._transaction.read("SELECT content, space FROM pending"):
            self._transaction.execute("DELETE FROM vectors WHERE content = ? AND space = ?", content, space)
            self._transaction.execute("DELETE FROM pending WHERE content = ? AND space = ?", content, space)
        self._transaction.commit()
