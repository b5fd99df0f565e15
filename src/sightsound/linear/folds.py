"""Who is held out when: folds over items, stratified, that never tear a group apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.errors import SightsoundError

Ints = NDArray[np.intp]

FOLDS = 5
"""Folds where nobody says how many, and the smallest class has as many groups."""


def split(
    Y: NDArray[Any],
    names: Sequence[str],
    groups: NDArray[Any] | None = None,
    folds: int | None = None,
    *,
    seed: int = 0,
) -> Ints:
    """The fold (n,), from 0, in which each row is held out.

    `Y` (n, k) in {0, 1} says which rows belong to which of the classes `names`; `groups` (n,) which belong together,
    each row by itself otherwise. Classes are spread evenly as far as the groups allow. Without `folds` there are
    five, or as many as the smallest class has groups.

    Raises `SightsoundError` for a class that cannot be in every fold.
    """
    groups = np.arange(len(Y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    counts = {name: len(np.unique(groups[Y[:, i] > 0])) for i, name in enumerate(names)}
    smallest = min(counts, key=lambda name: counts[name])
    count = min(FOLDS, max(2, counts[smallest])) if folds is None else folds
    if count < 2:
        raise SightsoundError(f"folds: expected 2 or more, got {count}; 5 is usual")
    if counts[smallest] < count:
        raise SightsoundError(
            f"class {smallest!r}: expected at least {count} items, one for each fold, got {counts[smallest]}; "
            f"ask for fewer folds (2 or more), add items to it, or leave it out"
        )
    held = _held_out(_strata(Y, count), groups, count, seed)
    for name, column in zip(names, Y.T):
        if len(np.unique(held[column > 0])) < 2:
            raise SightsoundError(f"class {name!r}: expected groups in two folds or more, got it all in one; use fewer")
    return held


def official(folds: Sequence[Any] | NDArray[Any], Y: NDArray[Any], names: Sequence[str]) -> Ints:
    """Folds (n,) that somebody else drew, whatever their names, as numbers from 0.

    Raises `SightsoundError` where there is only one, or a class has no row outside of one.
    """
    told, found = np.unique(np.asarray(folds), return_inverse=True)
    if len(found) != len(Y):
        raise SightsoundError(f"folds: expected one for each of {len(Y)} rows, got {len(found)}")
    if len(told) < 2:
        raise SightsoundError(f"folds: expected two or more, got {len(told)}; name the column that has them")
    for fold, name in enumerate(told):
        for i, label in enumerate(names):
            if not Y[found != fold, i].any():
                raise SightsoundError(f"fold {name}: expected every class outside of it, {label!r} has none there")
    return found


def partition(splits: Any, rows: int) -> Ints:
    """Pairs of (train, test) row numbers, or a splitter that makes such, as the fold (n,) in which a row is tested.

    Raises `SightsoundError` where a row is tested never or twice.
    """
    held = np.full(rows, -1)
    for fold, (_, out) in enumerate(splits.split(held, held) if hasattr(splits, "split") else splits):
        if (held[out] >= 0).any():
            raise SightsoundError("cv: expected each row in one test set, got a row in two; use KFold or its like")
        held[out] = fold
    if (held < 0).any():
        raise SightsoundError("cv: expected each row in one test set, got a row in none; use KFold or its like")
    return held


def torn(folds: Ints, groups: NDArray[Any]) -> int:
    """How many groups have rows in more than one fold."""
    pairs = np.unique(np.stack([np.unique(groups, return_inverse=True)[1], folds]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _strata(Y: NDArray[Any], count: int) -> Ints:
    """A number for each row that is the same for rows of the same classes; combinations of several labels that are
    rarer than the folds share one."""
    found = np.unique(Y > 0, axis=0, return_inverse=True)[1].reshape(-1)
    rare = np.bincount(found)[found] < count
    return np.where(rare & (Y.sum(axis=1).max() > 1), found.max() + 1, found)


def _held_out(strata: Ints, groups: Ints, count: int, seed: int) -> Ints:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    held, first = np.empty(len(groups), np.intp), np.unique(groups, return_index=True)[1]
    if (strata == strata[first][groups]).all():  # groups of one kind: spread them, which is evener and faster
        whole = StratifiedKFold(count, shuffle=True, random_state=seed)
        for fold, (_, out) in enumerate(whole.split(first, strata[first])):
            held[np.isin(groups, out)] = fold
    else:
        mixed = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        for fold, (_, out) in enumerate(mixed.split(strata, strata, groups)):
            held[out] = fold
    return held
