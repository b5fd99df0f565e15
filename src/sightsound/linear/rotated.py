"""Rows of a large set in their principal axes, computed once in blocks and used by every fold without a copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.axes import PrincipalAxes, decompose
from sightsound.linear.folds import Ints
from sightsound.linear.scaling import Preparation

_NUMBERS = 2**18  # numbers in float64 at once
_ROUNDING = 8  # units of the last place up to which a feature counts as constant


@dataclass(frozen=True)
class FoldOrder:
    """An order of rows in which those of a fold stand together.

    Attributes
    ----------
    order : int array (m,)
        Position (m,) of each row among those given.
    ends : int array (folds + 1,)
        Where each fold begins, and where the last ends. Rows that are never held out follow.
    """

    order: Ints
    ends: Ints

    @classmethod
    def of(cls, folds: Ints) -> FoldOrder:
        """Return the order of rows with folds (n,); -1 is never held out."""
        count = int(folds.max()) + 1
        order = np.argsort(np.where(folds < 0, count, folds), kind="stable")
        return cls(order, np.concatenate([[0], np.cumsum(np.bincount(folds[folds >= 0], minlength=count))]))

    def inside(self, fold: int) -> slice:
        """Return where the rows of a fold stand."""
        return slice(int(self.ends[fold]), int(self.ends[fold + 1]))

    def outside(self, values: NDArray[Any], fold: int) -> list[NDArray[Any]]:
        """Return the values (m, ...) of rows before and after a fold, of values (n, ...) in this order."""
        out = self.inside(fold)
        return [values[: out.start], values[out.stop :]]


def rotated(X: NDArray[Any], preparation: Preparation, weights: Matrix, order: Ints) -> PrincipalAxes:
    """Return rows in their principal axes.

    Mean, scale and axes are those of all rows of the result. They do not depend on the classes, and those of a fold
    differ from them by little where rows are more than features.

    Parameters
    ----------
    X : array (n, d)
        Rows (n, d), not prepared. Beside them this takes the memory of Z.
    preparation : Preparation
        How they are prepared; not `centred`.
    weights : array (m,)
        Positive weights (m,), in the order that follows.
    order : int array (m,)
        Position (m,) of each row of the result, m > d. It may have some of the rows alone.

    Returns
    -------
    PrincipalAxes
        Z is float32 (m, d), in this order.

    Raises
    ------
    ValueError
        Where squares of the features overflow.
    """
    mean, scale = _moments(X, preparation, weights, order)
    return _rotate(X, preparation, weights / weights.mean(), order, mean, scale)


def _prepared(X: NDArray[Any], preparation: Preparation, order: Ints) -> Iterator[tuple[slice, Matrix]]:
    """Yield blocks of prepared rows in float64, and where they stand in an order."""
    step = max(1, _NUMBERS // X.shape[1])
    for start in range(0, len(order), step):
        block = slice(start, start + step)
        yield block, preparation.rows(X[order[block]]).astype(np.float64)


def _moments(X: NDArray[Any], preparation: Preparation, weights: Matrix, order: Ints) -> tuple[Matrix, Matrix]:
    """Return what is subtracted from the features (d,), and what they are divided by (d,)."""
    total, d = weights.sum(), X.shape[1]
    mean = sum((weights[block] @ rows for block, rows in _prepared(X, preparation, order)), np.zeros(d)) / total
    if preparation.scaling not in ("standard", "global"):
        return mean, np.ones(d)
    squares = np.zeros(d)
    for block, rows in _prepared(X, preparation, order):
        rows -= mean
        squares += weights[block] @ np.square(rows, out=rows)
    if preparation.scaling == "global":
        return mean, np.full(d, np.sqrt(squares.sum() / total) or 1.0)
    scale = np.sqrt(squares / total)
    constant = scale <= _ROUNDING * np.finfo(X.dtype).eps * np.abs(mean)
    return mean, np.where(constant, np.inf, scale)  # a constant feature becomes zeros


def _rotate(
    X: NDArray[Any], preparation: Preparation, weights: Matrix, order: Ints, mean: Matrix, scale: Matrix
) -> PrincipalAxes:
    """Return centred and scaled rows in their principal axes; they are rotated where they stand."""
    n, d = len(order), X.shape[1]
    Z, gram, root = np.empty((n, d), np.float32), np.zeros((d, d), np.float32), np.sqrt(weights)[:, None]
    for block, rows in _prepared(X, preparation, order):
        rows -= mean
        rows /= scale
        Z[block] = rows
        R = (rows * root[block]).astype(np.float32)
        gram += R.T @ R
    eigenvalues, rotation = decompose(gram)
    step = max(1, _NUMBERS // d)
    for start in range(0, n, step):
        Z[start : start + step] = Z[start : start + step] @ rotation
    return PrincipalAxes(Z, np.maximum(eigenvalues, 0), rotation, mean, np.where(np.isinf(scale), 1.0, scale))
