"""A random sample of labelled rows that is drawn while they are read, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Matrix, Seconds
from sightsound.contract.results import Item

MAX_SAMPLES = 100_000
"""Rows that a data set has at most by default. The accuracy of a probe is known to 0.3 % then, and cross-validation
and nearest neighbours take minutes."""

LEAST = 50
"""Rows of each class that are in a sample, if there are as many and all classes together have half of it at most."""

_SPARE = 1.25  # times the rows of a sample, from which those that are too many are removed

Classes = tuple[str, ...]


@dataclass(frozen=True)
class LabelledItem:
    """An item with some of its rows, their classes, and its fold and group.

    Parameters
    ----------
    item : Item
        The item.
    numbers : ndarray of float64 (n,)
        What `random_numbers` says of each row.
    rows : ndarray of float32 (n, d)
        Its features.
    spans : ndarray of float64 (n, 2) or None
        The start and stop of its windows in seconds, where each is a row.
    scores : ndarray of float32 (n, c) or None
        The features of its scores.
    classes : list of tuple of str, length n
        The classes of each row.
    fold, group : str
        Its official fold, and its group.
    """

    item: Item
    numbers: Matrix = field(repr=False)
    rows: Floats = field(repr=False)
    spans: Seconds | None
    scores: Floats | None = field(repr=False)
    classes: list[Classes]
    fold: str
    group: str

    def some(self, at: NDArray[np.intp]) -> LabelledItem:
        """Return the item with some of its rows, by their positions."""
        if len(at) == len(self.rows):
            return self
        parts: dict[str, Any] = {name: getattr(self, name) for name in ("numbers", "rows", "spans", "scores")}
        parts = {name: None if part is None else part[at] for name, part in parts.items()}
        return replace(self, classes=[self.classes[i] for i in at], **parts)


class LabelledSample:
    """The labelled rows of a data set; of many a random sample, the same share of each class.

    Each row has a random number, which depends on its item and position alone, and the rows with the smallest are
    taken. So the sample depends neither on the order of items nor on the features.

    Parameters
    ----------
    most : int or None
        How many rows the sample has at most; None for all.

    Attributes
    ----------
    seen : int
        How many rows `choose` was asked about.
    classes : set of str
        Their classes.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._found: list[LabelledItem] = []
        self._rows, self._room = 0, float("inf") if most is None else most * _SPARE
        self._bound = 1.0  # rows with smaller numbers are taken
        self._bounds: dict[str, float] = {}  # the same for the rows of a class; all of other classes are
        self.seen = 0
        self.classes: set[str] = set()

    def __len__(self) -> int:
        """Return the number of items that were taken."""
        return len(self._found)

    def choose(self, numbers: Matrix, classes: Sequence[Classes]) -> NDArray[np.intp]:
        """Return which rows of an item may be in the sample, by their positions; ask once for each item.

        Parameters
        ----------
        numbers : ndarray of float64 (n,)
            What `random_numbers` says of the rows.
        classes : sequence of tuple of str, length n
            Their classes.
        """
        self.seen += len(numbers)
        self.classes.update(name for each in set(classes) for name in each)
        return self._within(numbers, classes)

    def _within(self, numbers: Matrix, classes: Sequence[Classes]) -> NDArray[np.intp]:
        """Return the positions of rows that are not beyond the bounds."""
        taken = numbers < self._bound
        for at in np.flatnonzero(~taken).tolist():
            taken[at] = any(numbers[at] <= self._bounds.get(name, 1.0) for name in classes[at])
        return np.flatnonzero(taken)

    def add(self, item: LabelledItem) -> None:
        """Add an item with the rows that were chosen."""
        self._found.append(item)
        self._rows += len(item.rows)
        if self._rows > self._room:
            self._remove_most()

    def items(self) -> list[LabelledItem]:
        """Return the items, sorted by their id."""
        if self._most is not None and (self._rows > self._most or self._bound < 1):
            self._remove_most()
        return sorted(self._found, key=lambda each: each.item.id or 0)

    def _remove_most(self) -> None:
        """Remove the rows that are not in the sample of what has been added."""
        assert self._most is not None
        numbers = np.concatenate([item.numbers for item in self._found])
        self._set_bounds_of_classes(min(LEAST, self._most // (2 * max(1, len(self.classes)))))
        self._bound, bound = 0.0, self._bound
        first = np.zeros(len(numbers), bool)  # those that are taken for their class
        at = 0
        for item in self._found:
            first[at + self._within(item.numbers, item.classes)] = True
            at += len(item.numbers)
        rest, room = np.sort(numbers[~first]), self._most - int(first.sum())
        self._bound = min(bound, float(rest[room]) if room < len(rest) else 1.0)
        kept = (item.some(self._within(item.numbers, item.classes)) for item in self._found)
        self._found = [item for item in kept if len(item.rows)]
        self._rows = sum(len(item.rows) for item in self._found)
        self._room = max(self._most, self._rows) * _SPARE

    def _set_bounds_of_classes(self, least: int) -> None:
        """Set the bounds below which each class has a number of rows."""
        numbers = defaultdict(list)
        for item in self._found:
            for number, classes in zip(item.numbers.tolist(), item.classes):
                for name in classes:
                    numbers[name].append(number)
        self._bounds = {
            name: sorted(each)[least - 1] if least else -1.0 for name, each in numbers.items() if len(each) >= least
        }


def random_numbers(item: Item, rows: int) -> Matrix:
    """Return a random number from 0 to 1 for each row of an item of a library, always the same: float64 (rows,)."""
    return np.random.default_rng(item.id or 0).random(rows)
