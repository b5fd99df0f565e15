"""Draw a sample of rows: whole groups, and of each class the same share."""

from __future__ import annotations

import numpy as np

from sightsound.linear.folds import Ints


def sample_groups(classes: Ints, groups: Ints, count: int, *, seed: int = 0) -> Ints:
    """Return a sample of rows that has whole groups alone.

    Parameters
    ----------
    classes : int array (n,)
        Class (n,) of each row, from 0. A group counts for the class of its first row.
    groups : int array (n,)
        Group (n,) of each row.
    count : int
        About how many rows are drawn. All are where there are no more.
    seed : int
        Seed of the draw.

    Returns
    -------
    ndarray
        Rising positions (m,). Each class has the same share of its groups, rounded, and at least one.
    """
    if len(groups) <= count:
        return np.arange(len(groups))
    first, number = np.unique(groups, return_index=True, return_inverse=True)[1:]
    kinds = classes[first]
    sizes = np.bincount(kinds)
    order = np.lexsort((np.random.default_rng(seed).permutation(len(first)), kinds))
    rank = np.arange(len(first)) - (np.cumsum(sizes) - sizes)[kinds[order]]
    drawn = order[rank < np.maximum(1, np.rint(sizes * count / len(groups)))[kinds[order]]]
    return np.flatnonzero(np.isin(number, drawn))
