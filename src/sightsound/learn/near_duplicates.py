"""Find items of a labelled collection that are nearly the same, but are labelled or split differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, unit_rows
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
_MANY = 4096  # items from which pairs are searched with FAISS
_PAIRS = 4096  # pairs whose similarity is computed at once
_ROUNDING = 1e-5  # of similarities in float32

Ints = NDArray[np.intp]


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
    for a, b, similarity in _similar(units, least):
        told = (a < b) & _differ(first, a, b)
        a, b, similarity = a[told], b[told], similarity[told]
        most = np.argsort(-similarity, kind="stable")[:_MOST_PAIRS]
        pairs += [_pair(first, int(a[i]), int(b[i]), float(similarity[i])) for i in most]
    return tuple(sorted(pairs, key=lambda pair: -pair.similarity)[:_MOST_PAIRS])


def _similar(units: Sequence[Floats], least: float) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Yield the items of pairs (m,), (m,) whose similarity (m,) is at least a number in every network, by blocks."""
    count = len(units[0])
    for start in range(0, count, _BLOCK):
        block = slice(start, min(count, start + _BLOCK))
        if count < _MANY:
            similarity = np.min([rows[block] @ rows.T for rows in units], axis=0)
            a, b = np.nonzero(similarity >= least)
            yield a + start, b, similarity[a, b]
            continue
        a, b = _candidates(units[0], block, least)
        similarity = np.ones(len(a), np.float32)
        for at in range(0, len(a), _PAIRS):
            part = slice(at, at + _PAIRS)
            dots = [np.einsum("nd,nd->n", rows[a[part]], rows[b[part]]) for rows in units]
            similarity[part] = np.min(dots, axis=0)
        close = similarity >= least
        yield a[close], b[close], similarity[close]


def _candidates(rows: Floats, block: slice, least: float) -> tuple[Ints, Ints]:
    """Return the items of a block and those after them whose similarity in one network is about a number or more."""
    import faiss

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(rows[block])
    ends, _, found = index.range_search(rows[block.start :], least - _ROUNDING)
    b = np.repeat(np.arange(len(rows) - block.start), np.diff(ends).astype(np.intp)) + block.start
    a = found + block.start
    before = a < b
    return a[before], b[before]


def _differ(dataset: Dataset, a: Ints, b: Ints) -> NDArray[np.bool_]:
    """Return which pairs have different classes or folds."""
    differ = np.asarray(dataset.y[a] != dataset.y[b])
    return differ if dataset.folds is None else differ | (dataset.folds[a] != dataset.folds[b])


def _pair(dataset: Dataset, a: int, b: int, similarity: float) -> NearDuplicate:
    """Return two similar items whose classes or folds differ."""
    classes = (str(dataset.y[a]), str(dataset.y[b]))
    across: Literal["classes", "folds"] = "classes" if dataset.y[a] != dataset.y[b] else "folds"
    return NearDuplicate(dataset.items[a], dataset.items[b], similarity, classes, across)
