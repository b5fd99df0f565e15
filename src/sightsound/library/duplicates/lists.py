"""Lists of rows that are near the same centre: similar rows are looked for in the nearest lists only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from sightsound.library.approximate.kinds import (
    ITERATIONS,
    SAMPLE_BYTES,
    SAMPLE_PER_LIST,
    list_count,
    load_faiss,
    threads,
)
from sightsound.library.duplicates.rows import Ints, UnitRows

Numbers = NDArray[np.uint16]

_ROWS = 2**13  # that are compared with the centres at once
_ENTRIES = 2**21  # of lists that are sorted at once


class Lists:
    """Rows divided into lists by the nearest of some centres, which are found by k-means on a sample.

    Parameters
    ----------
    rows : UnitRows
        The rows.
    seed : int
        Of the sample and of the first centres.
    """

    def __init__(self, rows: UnitRows, seed: int = 0) -> None:
        self._rows, self._count = rows, list_count(len(rows))
        dim = rows.take(np.zeros(1, np.int64)).shape[1]
        size = max(self._count, min(len(rows), SAMPLE_PER_LIST * self._count, SAMPLE_BYTES // (4 * dim)))
        chosen = np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False))
        sample = np.empty((size, dim), np.float32)
        for start in range(0, size, _ROWS):
            sample[start : start + _ROWS] = rows.take(chosen[start : start + _ROWS])
        faiss = load_faiss()
        self._centres = faiss.IndexFlatIP(dim)
        means = faiss.Clustering(dim, self._count)
        means.niter, means.min_points_per_centroid, means.spherical, means.seed = ITERATIONS, 1, True, seed + 1
        with threads():
            means.train(sample, self._centres)

    def __len__(self) -> int:
        return self._count

    def nearest(
        self, numbers: Ints | None, count: int, advance: Callable[[int], object] = lambda compared: None
    ) -> Numbers:
        """Return the nearest lists of some rows, nearest first: the first one is that in which a row is.

        Parameters
        ----------
        numbers : ndarray of int64 (n,) or None
            The rows; None for all.
        count : int
            How many lists, at most all.
        advance : callable
            Called with the number of rows after each block.

        Returns
        -------
        ndarray of uint16 (n, count)
        """
        total = len(self._rows) if numbers is None else len(numbers)
        found = np.empty((total, min(count, self._count)), np.uint16)
        with threads():
            for start in range(0, total, _ROWS):
                stop = min(total, start + _ROWS)
                block = self._rows.block(start, stop) if numbers is None else self._rows.take(numbers[start:stop])
                found[start:stop] = self._centres.search(np.ascontiguousarray(block), found.shape[1])[1]
                advance(stop - start)
        return found


def entries_by_list(nearest: Numbers, lists: int) -> Iterator[tuple[Ints, Ints]]:
    """Yield, for each list, the rows in it, and the rows that have it among their nearest lists; both are sorted.

    Parameters
    ----------
    nearest : ndarray of uint16 (n, count)
        The nearest lists of all rows.
    lists : int
        How many lists there are.
    """
    step = max(1, lists * _ENTRIES // nearest.size)
    for first in range(0, lists, step):
        stop = min(lists, first + step)
        row, column = np.nonzero((nearest >= first) & (nearest < stop))
        number = nearest[row, column]
        order = np.argsort(number, kind="stable")
        row, inside = row[order], column[order] == 0
        ends = np.searchsorted(number[order], np.arange(first, stop + 1))
        for start, end in itertools.pairwise(ends.tolist()):
            yield row[start:end][inside[start:end]], row[start:end]


def needed(nearest_a: Numbers, nearest_b: Numbers) -> Ints:
    """Return how many of its nearest lists row `a` has to look into to find row `b`, int64 (m,).

    Parameters
    ----------
    nearest_a, nearest_b : ndarray of uint16 (m, count)
        The nearest lists of each row of some pairs.

    Returns
    -------
    ndarray of int64 (m,)
        `count + 1` where it is in none of them.
    """
    same = nearest_a == nearest_b[:, :1]
    found: Ints = np.where(same.any(axis=1), same.argmax(axis=1) + 1, nearest_a.shape[1] + 1)
    return found
