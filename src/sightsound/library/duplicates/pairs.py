"""All pairs of rows whose cosine reaches a number, found block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.library.duplicates.rows import Ints, UnitRows

_ROWS = 1024
"""Rows that are compared with all others at once."""
_OTHERS = 4096
"""Others that are compared at once: the scores of a block take 16 MB."""
_PAIRS = 4096
"""Pairs whose cosines are computed at once."""
_ROUNDING = 1e-5  # of cosines in float32
_SPARE = 4  # times the pairs that are kept of a block may wait

Pairs = tuple[Ints, Ints, Floats]
"""The rows of pairs, int64 (m,) and (m,), the first with the lower number, and their cosines, float32 (m,)."""


def similar_pairs(
    spaces: Sequence[UnitRows],
    least: float,
    *,
    most: int | None = None,
    chosen: Ints | None = None,
    among: Ints | None = None,
    owners: Ints | None = None,
    advance: Callable[[int], object] = lambda compared: None,
) -> Iterator[Pairs]:
    """Yield the pairs of rows whose cosine is at least a number, block by block.

    Parameters
    ----------
    spaces : sequence of UnitRows
        The same rows in one space or several. The cosine of a pair is the least over these.
    least : float
        The least cosine.
    most : int, optional
        How many pairs to give for each row, the most similar first, of those with rows that are compared later. This
        bounds the memory. All by default.
    chosen : ndarray of int64 (c,), optional
        Numbers of rows, sorted: only pairs with one of these. All by default.
    among : ndarray of int64 (m,), optional
        Numbers of the rows that are compared with those of `chosen`, sorted. All by default.
    owners : ndarray of int64 (n,), optional
        Rows of the same owner are no pair.
    advance : callable
        Called with the number of comparisons after each block.

    Yields
    ------
    Pairs
        Each pair once.
    """
    first, count = spaces[0], len(spaces[0])
    total = count if among is None else len(among)
    is_chosen, is_among = (None if each is None else _mask(count, each) for each in (chosen, among))

    def wanted(a: Ints, b: Ints) -> NDArray[np.bool_]:
        """Return which pairs are to be found from row `a`: of two rows that are both compared, once."""
        right: NDArray[np.bool_] = a < b
        if is_chosen is not None:
            right = right | ((a > b) & ~(is_chosen[b] & (is_among is None or is_among[a])))
        return right if owners is None else right & (owners[a] != owners[b])

    for start in range(0, count if chosen is None else len(chosen), _ROWS):
        numbers = np.arange(start, min(count, start + _ROWS)) if chosen is None else chosen[start : start + _ROWS]
        rows = first.take(numbers) if chosen is not None else first.block(start, start + len(numbers))
        waiting: list[Pairs] = []
        for other in range(start if chosen is None else 0, total, _OTHERS):
            stop = min(total, other + _OTHERS)
            others = np.arange(other, stop) if among is None else among[other:stop]
            scores = rows @ (first.block(other, stop) if among is None else first.take(others)).T
            waiting.append(_close(scores, numbers, others, least - _ROUNDING, most, wanted))
            advance(len(numbers) * (stop - other))
            if most is not None and sum(len(each[0]) for each in waiting) > _SPARE * most * len(numbers):
                waiting = [best_of_each(joined(waiting), most)]
        found = joined(waiting)
        a, b, _ = found if most is None else best_of_each(found, most)
        similarity = np.min([cosines(space, a, b) for space in spaces], axis=0)
        reach = similarity >= least
        a, b = a[reach], b[reach]
        yield np.minimum(a, b), np.maximum(a, b), similarity[reach]


def _close(
    scores: Floats,
    numbers: Ints,
    others: Ints,
    least: float,
    most: int | None,
    wanted: Callable[[Ints, Ints], NDArray[np.bool_]],
) -> Pairs:
    """Return the pairs of a block of scores that are close and wanted, roughly the `most` closest of each row.

    Where rows have more than that, those that are not among the closest are discarded before pairs are made of them.
    """
    close = scores >= least
    count = np.count_nonzero(close)
    if most is not None and most < len(others) and count > most * len(numbers):
        close &= wanted(numbers[:, None], others[None, :])
        nearest = np.argpartition(np.where(close, -scores, 2), most, axis=1)[:, :most]
        a, at = np.repeat(np.arange(len(numbers)), most), nearest.ravel()
        kept = close[a, at]
        a, at = a[kept], at[kept]
        return numbers[a], others[at], scores[a, at]
    a, at = np.nonzero(close) if count else (np.empty(0, np.int64), np.empty(0, np.int64))
    first, second = numbers[a], others[at]
    right = wanted(first, second)
    return first[right], second[right], scores[a, at][right]


def cosines(rows: UnitRows, a: Ints, b: Ints) -> Floats:
    """Return the cosines of pairs of rows, float32 (m,), whatever the block in which they were found."""
    found = np.empty(len(a), np.float32)
    for at in range(0, len(a), _PAIRS):
        part = slice(at, at + _PAIRS)
        found[part] = np.einsum("nd,nd->n", rows.take(a[part]), rows.take(b[part]), dtype=np.float64)
    return found


def _mask(count: int, chosen: Ints) -> NDArray[np.bool_]:
    mask = np.zeros(count, np.bool_)
    mask[chosen] = True
    return mask


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Return all pairs of some parts."""
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    a, b, scores = zip(*parts)
    return np.concatenate(a), np.concatenate(b), np.concatenate(scores)


def best_of_each(pairs: Pairs, most: int) -> Pairs:
    """Keep the most similar pairs of each first row; of equal ones those with the lower second row."""
    a, b, scores = pairs
    order = np.lexsort((b, -scores, a))
    a = a[order]
    rank = np.arange(len(a)) - np.searchsorted(a, a)
    kept = order[rank < most]
    return pairs[0][kept], b[kept], scores[kept]
