"""One vector for each item: the mean of its rows at length 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sightsound.contract.arrays import Floats, Matrix, unit_rows
from sightsound.contract.results import Item
from sightsound.library.row_blocks import RowBlock


@dataclass
class ItemMean:
    """The mean of the rows of an item.

    Parameters
    ----------
    item : Item
        The item.
    labels : mapping
        Its labels: column -> values.
    content : bytes
        SHA-256 of its content.
    total : ndarray of float64 (dim,)
        The sum of its rows at length 1.
    row : ndarray of float32 (dim,)
        The row that is most like the mean of those in its block.
    seconds : tuple of float or None
        Start and stop of its window; None for images.
    best : tuple of str
        The best classes of that window.
    """

    item: Item
    labels: Mapping[str, tuple[str, ...]]
    content: bytes
    total: Matrix
    row: Floats
    seconds: tuple[float, float] | None = None
    best: tuple[str, ...] = field(default=())


def item_means(blocks: Iterator[RowBlock]) -> Iterator[tuple[list[ItemMean], Floats]]:
    """Yield the items of blocks of rows, with the means of their rows at length 1, float32 (n, dim).

    The rows of an item may continue in the next block.
    """
    open_: dict[int, ItemMean] = {}
    for block in blocks:
        means = _means(block)
        here = {each.item.id or 0 for each in means}
        yield from _closed([mean for id_, mean in open_.items() if id_ not in here])
        known = {id_: mean for id_, mean in open_.items() if id_ in here}
        for mean in means:
            before = known.get(mean.item.id or 0)
            if before is not None:
                before.total += mean.total
            known[mean.item.id or 0] = before or mean
        last = block.contents[-1]
        open_ = {id_: mean for id_, mean in known.items() if mean.content == last}
        yield from _closed([mean for mean in known.values() if mean.content != last])
    yield from _closed(list(open_.values()))


def _closed(means: list[ItemMean]) -> Iterator[tuple[list[ItemMean], Floats]]:
    if means:
        yield means, unit_rows(np.stack([mean.total for mean in means]).astype(np.float32))


def _means(block: RowBlock) -> list[ItemMean]:
    """Return the means of the items of a block."""
    rows = unit_rows(block.rows)
    found = []
    order = np.argsort(block.of, kind="stable")
    numbers, starts = np.unique(block.of[order], return_index=True)
    for number, at in zip(numbers.tolist(), np.split(order, starts[1:])):
        total = rows[at].sum(axis=0, dtype=np.float64)
        nearest = int(at[np.argmax(rows[at] @ total)])
        start, stop = block.spans[nearest].tolist()
        seconds = None if np.isnan(start) else (start, stop)
        facts = (block.items[number], block.labels[number], block.contents[number], total, rows[nearest])
        found.append(ItemMean(*facts, seconds, block.best[nearest].labels))
    return found
