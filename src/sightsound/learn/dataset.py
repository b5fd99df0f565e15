"""Labelled rows of one space, ready to fit a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.linear.features import FeatureSpec


@dataclass(frozen=True)
class Dataset:
    """Labelled rows of one space: n rows of m items, with d features and k classes.

    Parameters
    ----------
    feature_spec : FeatureSpec
        The space of the rows, and whether a row is an item or a window.
    X : ndarray of float32, shape (n, d)
        The features.
    y : ndarray of str, shape (n,), or of int, shape (n, k)
        The class of each row. For multi-label data whether it has each of the classes, 0 or 1.
    classes : tuple of str, length k
        The names of the classes, sorted.
    items : tuple of Item, length m
        The items, sorted by their id.
    item_index : ndarray of int, shape (n,)
        The position in `items` of the item that a row belongs to.
    groups : ndarray of int, shape (n,)
        Rows with the same number stay on one side of every split.
    folds : ndarray of str, shape (n,), optional
        The official fold of each row.
    spans : ndarray of float64, shape (n, 2), optional
        The start and the end of each window in seconds.
    content_ids : ndarray of uint64, shape (m,)
        The first 8 bytes of the SHA-256 of each item, as a little-endian number.
    notes : tuple of str
        What was left out, and why.
    background : tuple of float32 arrays (rows, d)
        The rows of each item that has none of the classes, see `Labels`. No classifier is fitted to them.
    """

    feature_spec: FeatureSpec
    X: Floats
    y: NDArray[Any]
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    item_index: NDArray[np.intp]
    groups: NDArray[np.intp]
    folds: NDArray[Any] | None
    spans: Seconds | None
    content_ids: NDArray[np.uint64]
    notes: tuple[str, ...] = ()
    background: tuple[Floats, ...] = field(default=(), repr=False)

    @property
    def model(self) -> str:
        """The name of the network that the vectors are from."""
        return self.feature_spec.space.name

    @property
    def single(self) -> bool:
        """Whether each row has exactly one class."""
        return self.y.ndim == 1

    @property
    def truth(self) -> NDArray[np.float64]:
        """Whether each row has each of the classes, 0 or 1, shape (n, k)."""
        return (self.y[:, None] == np.array(self.classes)).astype(float) if self.single else self.y.astype(float)

    def subset(self, items: Sequence[int]) -> Dataset:
        """Return a data set with some of the items, in this order, by their position in `items`.

        Each row must be an item: it is not for data sets of windows.
        """
        at = list(items)
        return replace(
            self,
            X=self.X[at],
            y=self.y[at],
            items=tuple(self.items[i] for i in at),
            item_index=np.arange(len(at)),
            groups=self.groups[at],
            folds=None if self.folds is None else self.folds[at],
            content_ids=self.content_ids[at],
        )


def align_datasets(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Reduce the data sets of several spaces to the items that all of them have, in the same order.

    Parameters
    ----------
    datasets : sequence of Dataset
        Data sets of one library, whose rows are items.

    Returns
    -------
    list of Dataset
        A data set for each, with a note if items were left out.

    Raises
    ------
    SightsoundError
        If they have no item in common.
    """
    positions = [{item.id: i for i, item in enumerate(data.items)} for data in datasets]
    common = [item.id for item in datasets[0].items if all(item.id in known for known in positions)]
    total = len({item.id for data in datasets for item in data.items})
    if not common:
        names = ", ".join(data.model for data in datasets)
        raise SightsoundError(f"{names}: expected labelled items with vectors in all of them, got none in common")
    aligned = [data.subset([known[id_] for id_ in common]) for data, known in zip(datasets, positions)]
    if len(common) == total:
        return aligned
    note = f"{total - len(common)} of {total} items left out, which are not in all of the spaces"
    return [replace(data, notes=(*data.notes, note)) for data in aligned]
