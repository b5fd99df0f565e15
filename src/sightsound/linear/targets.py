"""What is to be learnt: classes and labels as numbers, checked."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.estimator import BadInput


def targets(y: Any, rows: int) -> tuple[NDArray[Any], Matrix]:
    """Classes in order and membership (n, k) in {0, 1}, of y (n,) classes or (n, labels) in {0, 1}.

    Raises `BadInput` for a wrong length, for what is no class, and for fewer than two classes.
    """
    if y is None:
        raise BadInput("requires y to be passed, but the target y is None")
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        warnings.warn("A column-vector y was passed when a 1d array was expected.", DataConversionWarning, stacklevel=3)
        y = y[:, 0]
    if len(y) != rows:
        raise BadInput(f"y: expected one target for each of {rows} rows, got {len(y)}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise BadInput("y: expected classes, got NaN or infinity; leave these rows out")
    _classes(y)
    if y.ndim == 2:
        return _labels(y)
    classes, found = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise BadInput(f"y: expected two classes or more, got 1 class ({classes[0]}); label items of another")
    return classes, np.eye(len(classes))[found]


def _classes(y: NDArray[Any]) -> None:
    from sklearn.utils.multiclass import check_classification_targets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # many classes of few rows each are nothing unusual here
        try:
            check_classification_targets(y)
        except TypeError as error:
            raise BadInput(f"y: expected classes of one type, got several ({error})") from error


def _labels(y: NDArray[Any]) -> tuple[NDArray[Any], Matrix]:
    Y = membership(y)
    for label in np.flatnonzero((Y.sum(axis=0) == 0) | (Y.sum(axis=0) == len(Y))):
        raise BadInput(f"label {label}: expected rows with it and rows without, got only one kind; leave it out")
    return np.arange(Y.shape[1]), Y


def membership(y: Any, labels: int | None = None) -> Matrix:
    """Labels (n, k) in {0, 1} as numbers. Raises `BadInput` for others, or another k than `labels`."""
    Y = np.asarray(y, np.float64)
    if Y.ndim != 2 or not np.isin(Y, (0, 1)).all() or labels not in (None, Y.shape[1]):
        columns = "a column for each label" if labels is None else f"{labels} columns"
        raise BadInput(f"y: expected 0 and 1 in {columns}, got {Y.dtype} {Y.shape} with other numbers or columns")
    return Y


def column(values: Any, rows: int) -> NDArray[Any]:
    """Groups or folds (n,). Raises `BadInput` for another length."""
    found = np.asarray(values)
    if found.shape != (rows,):
        raise BadInput(f"groups and folds: expected one for each of {rows} rows, got shape {found.shape}")
    return found
