"""Assign rows to folds: stratified, and never with a group in two folds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.contract.errors import SightsoundError

Ints = NDArray[np.intp]

FOLDS = 5
"""Default number of folds, where each class has as many groups."""


def split(
    Y: Matrix,
    names: Sequence[str],
    groups: NDArray[Any] | None = None,
    folds: int | None = None,
    *,
    seed: int = 0,
    strict: bool = True,
) -> Ints:
    """Return the fold in which each row is held out.

    Parameters
    ----------
    Y : array (n, k)
        Targets (n, k) in {0, 1}. Classes are spread evenly over the folds as far as the groups allow.
    names : sequence of str
        Names (k,) of the classes, for messages.
    groups : array-like (n,), optional
        Groups (n,). No group is in two folds. None makes each row a group.
    folds : int, optional
        Number of folds, 2 or more. None means 5, or as many as the smallest class has groups.
    seed : int
        Seed of the shuffle.
    strict : bool
        Whether to refuse classes with fewer groups than folds. Otherwise these are in some of the folds only, and None
        means as many folds as the smallest class of two groups or more has groups, or a single one if there is none.

    Returns
    -------
    ndarray
        Folds (n,), from 0.

    Raises
    ------
    SightsoundError
        Where a class, or without `strict` every class, has fewer groups than there are folds.
    """
    groups = np.arange(len(Y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    counts = {name: len(np.unique(groups[Y[:, i] > 0])) for i, name in enumerate(names)}
    if not strict and folds is None and max(counts.values()) < 2:
        return np.zeros(len(Y), np.intp)
    several = {name: size for name, size in counts.items() if size > 1}
    smallest = min(counts if strict else several or counts, key=lambda name: counts[name])
    count = min(FOLDS, max(2, counts[smallest])) if folds is None else folds
    smallest = smallest if strict else max(counts, key=lambda name: counts[name])
    if count < 2:
        raise SightsoundError(f"folds: expected 2 or more, got {count}; 5 is usual")
    if counts[smallest] < count:
        fewer = "ask for fewer folds (2 or more), " if counts[smallest] > 1 else ""  # one item suffices for none
        raise SightsoundError(
            f"class {smallest!r}: expected at least {count} items, one for each fold, got {counts[smallest]}; "
            f"{fewer}add items to it, or remove its label"
        )
    held_out = _stratified(_strata(Y, count), groups, count, seed)
    for name, column in zip(names, Y.T):
        if strict and len(np.unique(held_out[column > 0])) < 2:
            raise SightsoundError(f"class {name!r}: expected groups in two folds or more, got it all in one; use fewer")
    return held_out


def keep_for_training(held_out: Ints, Y: Matrix) -> Ints:
    """Return folds in which the rows of a class that is in one fold alone have the number -1.

    Without these rows nothing could be learned of that class, so they are never held out.

    Parameters
    ----------
    held_out : int array (n,)
        Folds (n,), from 0.
    Y : array (n, k)
        Targets (n, k) in {0, 1}.

    Returns
    -------
    ndarray
        Folds (n,), from 0 without gaps, and -1. All are -1 where fewer than two folds remain, or of rows with one class
        each fewer than two classes.
    """
    alone = [column > 0 for column in Y.T if len(np.unique(held_out[column > 0])) < 2]
    kept = np.any(alone, axis=0) if alone else np.zeros(len(Y), bool)
    if len(alone) > Y.shape[1] - 2 and (Y.sum(axis=1) == 1).all():
        return np.full(len(Y), -1)
    numbers, found = np.full(len(Y), -1), np.unique(held_out[~kept], return_inverse=True)[1]
    if found.size and found.max() > 0:
        numbers[~kept] = found
    return numbers


def kept_notes(names: Sequence[str], Y: Matrix, held_out: Ints) -> tuple[str, ...]:
    """Return a note on the classes of which no row is held out.

    Parameters
    ----------
    names : sequence of str
        Names (k,) of the classes.
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    held_out : int array (n,)
        Folds (n,) from `keep_for_training`.

    Returns
    -------
    tuple of str
        The note, if there are such classes.
    """
    kept = [name for name, column in zip(names, Y.T) if not (held_out[column > 0] >= 0).any()]
    if not kept:
        return ()
    more = f" and {len(kept) - 3} more" if len(kept) > 3 else ""
    return (f"too few items to hold some out, so used for training alone: {', '.join(kept[:3])}{more}",)


def official(folds: Sequence[Any] | NDArray[Any], Y: Matrix, names: Sequence[str], *, strict: bool = True) -> Ints:
    """Return folds that come with a data set as numbers from 0.

    Parameters
    ----------
    folds : array-like (n,)
        Names or numbers (n,) of the folds.
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    names : sequence of str
        Names (k,) of the classes, for messages.
    strict : bool
        Whether to refuse classes that are in one fold alone.

    Returns
    -------
    ndarray
        Folds (n,), from 0.

    Raises
    ------
    SightsoundError
        Where there is only one fold, or with `strict` a class has no row outside of one.
    """
    labels, numbers = np.unique(np.asarray(folds), return_inverse=True)
    if len(numbers) != len(Y):
        raise SightsoundError(f"folds: expected one for each of {len(Y)} rows, got {len(numbers)}")
    if len(labels) < 2:
        raise SightsoundError(f"folds: expected two or more, got {len(labels)}; name the column that has them")
    for fold, label in enumerate(labels if strict else ()):
        for i, name in enumerate(names):
            if not Y[numbers != fold, i].any():
                raise SightsoundError(f"fold {label}: expected every class outside of it, {name!r} has none there")
    return numbers


def partition(splits: Any, X: NDArray[Any], y: Any = None, groups: NDArray[Any] | None = None) -> Ints:
    """Return the fold in which each row is tested, by a splitter of scikit-learn or its splits.

    Parameters
    ----------
    splits : splitter or iterable of pairs
        Object with a method `split`, or pairs of (train, test) row numbers.
    X : array (n, d)
        Rows (n, d), for the splitter.
    y : array-like (n,) or (n, k), optional
        Targets, for splitters that stratify.
    groups : array (n,), optional
        Groups (n,), for splitters that keep them together.

    Returns
    -------
    ndarray
        Folds (n,), from 0.

    Raises
    ------
    SightsoundError
        Where a row is in no test set, or in two.
    """
    held_out = np.full(len(X), -1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The groups parameter is ignored", UserWarning)  # the report counts these
            pairs = list(splits.split(X, y, groups) if hasattr(splits, "split") else splits)
    except (ValueError, TypeError) as error:
        raise SightsoundError(f"cv: {type(splits).__name__} cannot split these rows ({error})") from error
    for fold, (_, test) in enumerate(pairs):
        if (held_out[test] >= 0).any():
            raise SightsoundError("cv: expected each row in one test set, got a row in two; use KFold or its like")
        held_out[test] = fold
    if (held_out < 0).any():
        raise SightsoundError("cv: expected each row in one test set, got a row in none; use KFold or its like")
    return held_out


def count_split_groups(folds: Ints, groups: NDArray[Any]) -> int:
    """Return how many groups have rows in more than one fold.

    Parameters
    ----------
    folds, groups : arrays (n,)
        Fold and group (n,) of each row.

    Returns
    -------
    int
        The number of such groups, which leak from training to test rows.
    """
    pairs = np.unique(np.stack([np.unique(groups, return_inverse=True)[1], folds]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _strata(Y: Matrix, count: int) -> Ints:
    """Return a number for each combination of classes.

    Combinations of several labels that are rarer than the folds share a number.
    """
    strata = np.unique(Y > 0, axis=0, return_inverse=True)[1].reshape(-1)
    rare = np.bincount(strata)[strata] < count
    return np.where(rare & (Y.sum(axis=1).max() > 1), strata.max() + 1, strata)


def _stratified(strata: Ints, groups: Ints, count: int, seed: int) -> Ints:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # the caller has said so
        return _by_scikit_learn(StratifiedKFold, StratifiedGroupKFold, strata, groups, count, seed)


def _by_scikit_learn(by_group: Any, by_row: Any, strata: Ints, groups: Ints, count: int, seed: int) -> Ints:
    held_out, first = np.empty(len(groups), np.intp), np.unique(groups, return_index=True)[1]
    if (strata == strata[first][groups]).all():  # every group is of one stratum: splitting groups is faster, more even
        splitter = by_group(count, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(first, strata[first])):
            held_out[np.isin(groups, test)] = fold
    else:
        splitter = by_row(count, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(strata, strata, groups)):
            held_out[test] = fold
    return held_out
