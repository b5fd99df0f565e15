"""Find items of a labelled collection that are nearly the same, but are labelled or split differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import unit_rows
from sightsound.contract.results import Item
from sightsound.learn.dataset import Dataset
from sightsound.library.duplicates.pairs import similar_pairs
from sightsound.library.duplicates.rows import ArrayRows, Ints
from sightsound.library.duplicates.threshold import UNCALIBRATED

_MOST_PAIRS = 50


@dataclass(frozen=True)
class NearDuplicate:
    """Two items that are nearly the same in every network, but have different classes or different folds.

    Parameters
    ----------
    first, second : Item
        The items.
    similarity : float
        The least of their cosine similarities in the networks.
    classes : tuple of str
        The class of each.
    across : {"classes", "folds"}
        Whether they have different classes, which suggests a wrong label, or different official folds, which makes
        scores optimistic.
    """

    first: Item
    second: Item
    similarity: float
    classes: tuple[str, str]
    across: Literal["classes", "folds"]


def near_duplicates(datasets: Sequence[Dataset]) -> tuple[NearDuplicate, ...]:
    """Find near-duplicates with different classes, or with different official folds.

    Parameters
    ----------
    datasets : sequence of Dataset
        Data sets of one collection with the same items in the same order, see `align_datasets`.

    Returns
    -------
    tuple of NearDuplicate
        At most 50, the most similar first.
    """
    units = [ArrayRows(unit_rows(dataset.X)) for dataset in datasets]
    first = datasets[0]
    least = UNCALIBRATED[first.feature_spec.space.modality]
    pairs: list[NearDuplicate] = []
    for a, b, similarity in similar_pairs(units, least):
        told = _differ(first, a, b)
        a, b, similarity = a[told], b[told], similarity[told]
        most = np.argsort(-similarity, kind="stable")[:_MOST_PAIRS]
        pairs += [_pair(first, int(a[i]), int(b[i]), float(similarity[i])) for i in most]
    return tuple(sorted(pairs, key=lambda pair: -pair.similarity)[:_MOST_PAIRS])


def _differ(dataset: Dataset, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """Return which pairs have different classes or folds."""
    differ = np.asarray(dataset.y[a] != dataset.y[b])
    return differ if dataset.folds is None else differ | (dataset.folds[a] != dataset.folds[b])


def _pair(dataset: Dataset, a: int, b: int, similarity: float) -> NearDuplicate:
    """Return two similar items whose classes or folds differ."""
    classes = (str(dataset.y[a]), str(dataset.y[b]))
    across: Literal["classes", "folds"] = "classes" if dataset.y[a] != dataset.y[b] else "folds"
    return NearDuplicate(dataset.items[a], dataset.items[b], similarity, classes, across)
