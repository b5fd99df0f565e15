"""Turn class targets into indicators."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.validation import BadInput, check_indicators


def encode_targets(y: Any, rows: int) -> tuple[NDArray[Any], Matrix]:
    """Return the classes in order, and which rows have which.

    Parameters
    ----------
    y : array-like (n,) or (n, k)
        Array-like (n,) of classes, or (n, k) in {0, 1} for several labels a row.
    rows : int
        Expected n.

    Returns
    -------
    classes
        (k,), sorted; numbers from 0 for several labels.
    Y
        float64 (n, k) in {0, 1}.

    Raises
    ------
    BadInput
        For another length, targets that are no classes, and fewer than two classes.
    """
    if y is None:
        raise BadInput("requires y to be passed, but the target y is None")
    y = _as_array(y)
    if len(y) != rows:
        raise BadInput(f"y: expected one target for each of {rows} rows, got {len(y)}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise BadInput("y: expected classes, got NaN or infinity; leave these rows out")
    _check_classes(y)
    if y.ndim == 2:
        return _encode_labels(y)
    classes, position = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise BadInput(f"y: expected two classes or more, got 1 class ({classes[0]}); label items of another")
    return classes, np.eye(len(classes))[position]


def is_single(y: Any) -> bool:
    """Return whether targets give one class a row, rather than several labels."""
    shape = np.asarray(y).shape
    return len(shape) < 2 or shape[1] == 1


def _as_array(y: Any) -> NDArray[Any]:
    """Return targets as an array; a single column becomes (n,) with scikit-learn's warning."""
    array: NDArray[Any] = np.asarray(y)
    if array.ndim == 2 and array.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        warnings.warn("A column-vector y was passed when a 1d array was expected.", DataConversionWarning, stacklevel=4)
        array = array[:, 0]
    return array


def _check_classes(y: NDArray[Any]) -> None:
    from sklearn.utils.multiclass import check_classification_targets

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it warns of many classes with few rows, which are common here
        try:
            check_classification_targets(y)
        except TypeError as error:
            raise BadInput(f"y: expected classes of one type, got several ({error})") from error


def _encode_labels(y: NDArray[Any]) -> tuple[NDArray[Any], Matrix]:
    Y = check_indicators(y)
    for label in np.flatnonzero((Y.sum(axis=0) == 0) | (Y.sum(axis=0) == len(Y))):
        raise BadInput(f"label {label}: expected rows with it and rows without, got only one kind; leave it out")
    return np.arange(Y.shape[1]), Y
