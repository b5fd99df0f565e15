"""The writer's table of scores: which classes a content has, for searching by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError
from sightsound.library.store.transaction import Transaction, storable

FLOOR = 0.05
"""Lower scores are kept beside the rows only, and not found by their class."""


class ScoreTable:
    """The highest score of each class in each content, as a writer changes them.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._lists: dict[int, list[int]] = {}
        self._pending: dict[tuple[int, int], tuple[int, Floats]] = {}

    def clear_cache(self) -> None:
        """Forget what is under way, after a rollback."""
        self._lists.clear()
        self._pending.clear()

    def list_id(self, classes: ClassList) -> int:
        """Return the number of a list of classes, which is added if the library does not have it."""
        query = "SELECT id FROM class_lists WHERE fingerprint = ?"
        found = self._transaction.execute(query, classes.fingerprint).fetchone()
        if found:
            return int(found[0])
        insert = "INSERT INTO class_lists (fingerprint, name) VALUES (?, ?) RETURNING id"
        ((id_,),) = self._transaction.execute(insert, classes.fingerprint, storable(classes.name)).fetchall()
        keys = classes.ids or [""] * len(classes)
        self._transaction.execute_many(
            "INSERT INTO classes (list, position, label, key) VALUES (?, ?, ?, ?)",
            [(id_, n, storable(label), storable(key)) for n, (label, key) in enumerate(zip(classes.labels, keys))],
        )
        return int(id_)

    def add(self, content: int, space: int, classes: int, scores: Floats) -> None:
        """Take note of the scores of some rows of a content that is under way.

        Parameters
        ----------
        content, space : int
            Numbers of the content and of the space.
        classes : int
            Number of the list of classes.
        scores : ndarray of float32 (n, classes)
            As they are stored.
        """
        if len(scores):
            highest = scores.max(axis=0)
            _, before = self._pending.get((content, space), (classes, highest))
            self._pending[content, space] = classes, np.maximum(before, highest)

    def complete(self, content: int, space: int) -> None:
        """Make what is under way the scores of a content."""
        if (content, space) in self._pending:
            classes, highest = self._pending.pop((content, space))
            self.add_highest(space, classes, np.array([content]), highest[None])

    def add_highest(self, space: int, classes: int, contents: NDArray[np.int64], highest: Floats) -> None:
        """Store the highest scores of some contents, in the order of the index by score.

        Parameters
        ----------
        space : int
            Number of the space.
        classes : int
            Number of the list of classes.
        contents : ndarray of int64 (n,)
            Numbers of the contents.
        highest : ndarray of float32 (n, classes)
            The highest score of each class.
        """
        numbers, positions = np.nonzero(highest >= FLOOR)
        if not len(numbers):
            return
        ids = self._class_ids(classes)
        if positions.max() >= len(ids):
            raise LibraryError(f"list {classes} of classes: damaged, it has {len(ids)}; run `sightsound check`")
        found = highest[numbers, positions].astype(np.float64)
        order = np.lexsort((found, positions))
        rows = zip(positions[order].tolist(), contents[numbers[order]].tolist(), found[order].tolist())
        self._transaction.execute_many(
            "INSERT OR REPLACE INTO highest VALUES (?, ?, ?, ?)",
            ((ids[position], space, content, score) for position, content, score in rows),
        )

    def give_up(self, content: int | None, space: int) -> None:
        """Forget what is under way of a content."""
        self._pending.pop((content, space), None)  # type: ignore[arg-type]

    def delete(self, content: int | None, space: int) -> None:
        """Delete the scores of a content in a space."""
        self._transaction.execute("DELETE FROM highest WHERE content IS ? AND space = ?", content, space)

    def delete_space(self, space: int) -> None:
        """Delete all scores of a space."""
        self._transaction.execute("DELETE FROM highest WHERE space = ?", space)
        for key in [key for key in self._pending if key[1] == space]:
            del self._pending[key]

    def _class_ids(self, classes: int) -> list[int]:
        if classes not in self._lists:
            query = "SELECT id FROM classes WHERE list = ? ORDER BY position"
            self._lists[classes] = [int(id_) for (id_,) in self._transaction.read(query, classes)]
        return self._lists[classes]
