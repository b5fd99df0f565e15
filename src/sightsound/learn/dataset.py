"""Labelled rows of one space, ready to fit a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.linear.features import FeatureSpec, Use


@dataclass(frozen=True)
class FeatureParts:
    """What rows with each kind of features are made of.

    Parameters
    ----------
    classes : ClassList
        The classes of the scores.
    embeddings, scores : ndarray of float32, shape (n, d) and (n, c)
        The features of vectors alone, and the square roots of scores alone.
    background : tuple of pairs of float32 arrays
        The same of each background item.
    """

    classes: ClassList
    embeddings: Floats = field(repr=False)
    scores: Floats = field(repr=False)
    background: tuple[tuple[Floats, Floats], ...] = field(default=(), repr=False)


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
    parts : FeatureParts or None
        What other kinds of features are made of; None where the library has no scores of all items.
    automatic : bool
        Whether `fit_probe` chooses among the kinds.
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
    parts: FeatureParts | None = None
    automatic: bool = False

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

    def using(self, use: Use) -> Dataset:
        """Return the same rows with another kind of features; as they are where there is none.

        Parameters
        ----------
        use : {"embedding", "scores", "both"}
            The kind, see `FeatureSpec`.

        Returns
        -------
        Dataset
        """
        parts = self.parts
        if parts is None or use == self.feature_spec.use:
            return self
        spec = self.feature_spec.using(use, parts.classes)
        return replace(
            self,
            feature_spec=spec,
            X=spec.joined(parts.embeddings, parts.scores),
            background=tuple(spec.joined(*each) for each in parts.background),
        )

    def subset(self, items: Sequence[int]) -> Dataset:
        """Return a data set with some of the items, in this order, by their position in `items`.

        Each row must be an item: it is not for data sets of windows.
        """
        at, parts = list(items), self.parts
        if parts is not None:
            parts = replace(parts, embeddings=parts.embeddings[at], scores=parts.scores[at])
        return replace(
            self,
            parts=parts,
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
