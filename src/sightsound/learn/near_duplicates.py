"""Find items of a labelled collection that are nearly the same, but are labelled or split differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sightsound.contract.arrays import unit_rows
from sightsound.contract.results import Item
from sightsound.learn.dataset import Dataset

NEAR_DUPLICATE_SIMILARITY = {"image": 0.9, "sound": 0.999}
"""The least cosine similarity of near-duplicates, by modality. It must be reached in every network.

Measured with EfficientNet-Lite0 on 100 photographs that were saved again at a quality of 60, scaled to 160 pixels or
cropped by 4 pixels: 95 % of the pairs have a similarity of at least 0.93, all of at least 0.91. Pairs of different
photographs have at most 0.83. Different short sounds in long silence reach 0.9997 in YAMNet alone.
"""

_BLOCK = 1024
"""Items that are compared with all others at once; bounds the memory."""
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
    units = [unit_rows(dataset.X) for dataset in datasets]
    first = datasets[0]
    least = NEAR_DUPLICATE_SIMILARITY[first.feature_spec.space.modality]
    pairs: list[NearDuplicate] = []
    for start in range(0, len(first.items), _BLOCK):
        similarity = np.min([rows[start : start + _BLOCK] @ rows.T for rows in units], axis=0)
        for row, b in np.argwhere(similarity >= least).tolist():
            pair = _pair(first, start + row, b, float(similarity[row, b]))
            if pair is not None:
                pairs.append(pair)
    return tuple(sorted(pairs, key=lambda pair: -pair.similarity)[:_MOST_PAIRS])


def _pair(dataset: Dataset, a: int, b: int, similarity: float) -> NearDuplicate | None:
    """Return two similar items if their classes or folds differ, and if `a` comes before `b`."""
    classes_differ = dataset.y[a] != dataset.y[b]
    folds_differ = dataset.folds is not None and dataset.folds[a] != dataset.folds[b]
    if a >= b or not (classes_differ or folds_differ):
        return None
    classes = (str(dataset.y[a]), str(dataset.y[b]))
    return NearDuplicate(
        dataset.items[a], dataset.items[b], similarity, classes, "classes" if classes_differ else "folds"
    )
