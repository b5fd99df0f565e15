"""Check rows and targets, so that every refusal names what was expected and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.contract.errors import SightsoundError


class BadInput(SightsoundError, ValueError):
    """Rows, targets or parameters that an estimator cannot work with."""


def check_rows(X: Any, *, features: int | None = None, owner: str = "") -> NDArray[Any]:
    """Return rows as a float32 or float64 array.

    Parameters
    ----------
    X : array-like (n, d)
        Array-like (n, d) of finite numbers.
    features : int, optional
        Expected d. None accepts any.
    owner : str
        Name of the estimator, for the message about another d.

    Returns
    -------
    ndarray
        (n, d), float32 or float64 as given, float64 for other types.

    Raises
    ------
    BadInput
        For anything else.
    """
    if hasattr(X, "toarray"):
        raise BadInput("X: sparse input is not supported; expected rows of numbers, call .toarray() first")
    rows = np.asarray(X)
    if rows.dtype.kind == "c":
        raise BadInput(f"Complex data not supported: X is {rows.dtype}; expected real numbers")
    if rows.ndim != 2:
        text = "Reshape your data: one row for each item, X.reshape(1, -1) for a single one"
        raise BadInput(f"X: expected 2D array (rows, features), got {rows.ndim}D array of shape {rows.shape}; {text}")
    if rows.dtype not in (np.float32, np.float64):
        try:
            rows = rows.astype(np.float64)
        except ValueError as error:
            raise BadInput(f"X: expected numbers, got {rows.dtype} ({error})") from error
    for size, name in zip(rows.shape, ("sample", "feature")):
        if size == 0:
            raise BadInput(f"X: 0 {name}(s) (shape={rows.shape}) while a minimum of 1 is required.")
    if features is not None and rows.shape[1] != features:
        raise BadInput(f"X has {rows.shape[1]} features, but {owner} is expecting {features} features as input")
    _check_finite(rows)
    return rows


def _check_finite(X: NDArray[Any]) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(X.sum()):
            return
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(bad):
        kind = "NaN" if np.isnan(X[bad[0]]).any() else "infinity"
        raise BadInput(
            f"X: expected finite numbers, got {kind} in {len(bad)} of {len(X)} rows (the first is row {bad[0]}); "
            f"leave these rows out"
        )


def check_indicators(y: Any, labels: int | None = None) -> Matrix:
    """Return multi-label targets as float64.

    Parameters
    ----------
    y : array-like (n, k)
        Array-like (n, k) in {0, 1}: which rows have which labels.
    labels : int, optional
        Expected k. None accepts any.

    Returns
    -------
    ndarray
        float64 (n, k).

    Raises
    ------
    BadInput
        For other numbers, or another k.
    """
    Y = np.asarray(y, np.float64)
    if Y.ndim != 2 or not np.isin(Y, (0, 1)).all() or labels not in (None, Y.shape[1]):
        columns = "a column for each label" if labels is None else f"{labels} columns"
        raise BadInput(f"y: expected 0 and 1 in {columns}, got {Y.dtype} {Y.shape} with other numbers or columns")
    return Y


def check_column(values: Any, rows: int) -> NDArray[Any]:
    """Return groups or folds as an array (n,).

    Parameters
    ----------
    values : array-like (n,)
        Array-like (n,).
    rows : int
        Expected n.

    Returns
    -------
    ndarray
        (n,).

    Raises
    ------
    BadInput
        For another length.
    """
    column = np.asarray(values)
    if column.shape != (rows,):
        raise BadInput(f"groups and folds: expected one for each of {rows} rows, got shape {column.shape}")
    return column
