"""A random sample of labelled items that is drawn while they are read, in bounded memory."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.results import Item

MAX_SAMPLES = 100_000
"""Rows that a data set has at most by default. The accuracy of a probe is known to 0.3 % then, and cross-validation
and nearest neighbours take minutes."""

LEAST = 50
"""Rows of each class that are in a sample, if there are as many and all classes together have half of it at most."""

_SPARE = 1.25  # times the rows of a sample, from which those that are too many are removed


@dataclass(frozen=True)
class LabelledItem:
    """An item with its rows, classes, fold and group.

    Parameters
    ----------
    item : Item
        The item.
    rows : ndarray of float32 (n, d)
        Its features.
    spans : ndarray of float64 (n, 2) or None
        The start and stop of its windows in seconds, where each is a row.
    scores : ndarray of float32 (n, c) or None
        The features of its scores.
    classes : tuple of str
        Its classes.
    fold, group : str
        Its official fold, and its group.
    row_classes : tuple of tuples of str, length n, or None
        The classes of each row, where each has its own.
    """

    item: Item
    rows: Floats = field(repr=False)
    spans: Seconds | None
    scores: Floats | None = field(repr=False)
    classes: tuple[str, ...]
    fold: str
    group: str
    row_classes: tuple[tuple[str, ...], ...] | None = None


class LabelledSample:
    """The labelled items of a data set; of many rows a random sample of whole items, the same share of each class.

    Each group gets a random number that depends on its name alone, and the groups with the smallest are taken. So the
    sample depends neither on the order of items nor on the features.

    Parameters
    ----------
    most : int or None
        How many rows the sample has at most, but for the last item of a class with many; None for all.

    Attributes
    ----------
    seen : int
        How many items `takes` was asked about.
    classes : set of str
        Their classes.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._found: list[tuple[int, int, LabelledItem]] = []  # random number and id of the item
        self._rows, self._room = 0, float("inf") if most is None else most * _SPARE
        self._bound = 2**64  # random numbers below it are taken
        self._bounds: dict[str, int] = {}  # the same for items of a class; for other classes all are
        self.seen = 0
        self.classes: set[str] = set()

    def __len__(self) -> int:
        """Return the number of items that were taken."""
        return len(self._found)

    def takes(self, group: str, classes: Sequence[str]) -> bool:
        """Return whether an item of a group and with some classes may be in the sample; call it once for each item."""
        self.seen += 1
        self.classes |= set(classes)
        return self._may_be_in(random_number(group), classes)

    def _may_be_in(self, random: int, classes: Sequence[str]) -> bool:
        return random < self._bound or any(random < self._bounds.get(name, 2**64) for name in classes)

    def add(self, item: LabelledItem) -> None:
        """Add an item that the sample takes."""
        self._found.append((random_number(item.group), item.item.id or 0, item))
        self._rows += len(item.rows)
        if self._rows > self._room:
            self._remove_most()

    def items(self) -> list[LabelledItem]:
        """Return the items, sorted by their id."""
        if self._most is not None and (self._rows > self._most or self._bound < 2**64):
            self._remove_most()
        return [item for _, _, item in sorted(self._found, key=lambda each: each[1])]

    def _remove_most(self) -> None:
        """Remove the items that are not in the sample of what has been added."""
        assert self._most is not None
        self._found.sort(key=lambda each: each[:2])
        first = self._first_of_classes(min(LEAST, self._most // (2 * max(1, len(self.classes)))))
        room = self._most - sum(len(self._found[at][2].rows) for at in first)
        kept = []
        for at, (random, id_, item) in enumerate(self._found):
            if at not in first:
                room -= len(item.rows)
                if room < 0:
                    self._bound = min(self._bound, random)
            if at in first or random < self._bound:
                kept.append((random, id_, item))
        self._found, self._rows = kept, sum(len(item.rows) for _, _, item in kept)
        self._room = max(self._most, self._rows) * _SPARE

    def _first_of_classes(self, least: int) -> set[int]:
        """Return the first items in which each class has a number of rows, by their position."""
        found, rows = set(), Counter[str]()
        for at, (random, _, item) in enumerate(self._found):
            if any(rows[name] < least for name in item.classes):
                found.add(at)
            for name, count in rows_by_class(item).items():
                rows[name] += count
                if rows[name] - count < least <= rows[name]:
                    self._bounds[name] = random
        return found


def rows_by_class(item: LabelledItem) -> Counter[str]:
    """Return how many rows of an item each class has."""
    if item.row_classes is None:
        return Counter({name: len(item.rows) for name in item.classes})
    return Counter(name for classes in item.row_classes for name in classes)


def random_number(group: str) -> int:
    """Return a number from 0 to 2**64 that is random, but always the same for a group."""
    return int.from_bytes(hashlib.blake2b(group.encode(errors="surrogateescape"), digest_size=8).digest(), "little")
