"""Turn decision values into predictions and probabilities, with NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.contract.results import Prediction


def decision_values(X: NDArray[Any], coef: Matrix, intercept: Matrix, *, two_classes: bool = False) -> Matrix:
    """Return decision values with a column for each class.

    Parameters
    ----------
    X : array-like (n, d)
        Rows (n, d).
    coef : array (d, k)
        Coefficients (d, k), or (d, 1) for two classes.
    intercept : array (k,)
        Intercept (k,) or (1,).
    two_classes : bool
        Whether the single column decides between two classes. The first class then gets zeros.

    Returns
    -------
    ndarray
        (n, k).
    """
    D = np.asarray(X @ coef + intercept)
    return np.hstack([np.zeros_like(D), D]) if two_classes else D


def indicators(scores: Matrix, single: bool, threshold: float = 0.5) -> Matrix:
    """Return the predicted classes of each row.

    Parameters
    ----------
    scores : array (n, k)
        Probabilities or decision values (n, k).
    single : bool
        True: the class with the largest score. False: every label whose score is at least `threshold`.
    threshold : float
        0.5 for probabilities, 0 for decision values.

    Returns
    -------
    ndarray
        float64 (n, k) in {0, 1}.
    """
    if not single:
        return (scores >= threshold).astype(float)
    predicted = np.zeros_like(scores)
    predicted[np.arange(len(predicted)), scores.argmax(axis=1)] = 1
    return predicted


def probabilities(decisions: Matrix, temperature: float, single: bool) -> Matrix:
    """Return probabilities, the softmax or the sigmoid of decision values over a temperature.

    Parameters
    ----------
    decisions : array (n, k)
        Decision values (n, k).
    temperature : float
        Positive divisor (Guo et al., On Calibration of Modern Neural Networks, ICML 2017).
    single : bool
        True: softmax over the columns. False: a sigmoid for each label.

    Returns
    -------
    ndarray
        float64 (n, k).
    """
    scaled = np.asarray(decisions, np.float64) / temperature
    if not single:
        return 0.5 * (1 + np.tanh(scaled / 2))
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    normalised: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return normalised


def rank(classes: NDArray[Any], probabilities: Matrix) -> tuple[Prediction, ...]:
    """Return classes (k,) with their probabilities (k,), the most probable first."""
    order = np.argsort(-probabilities, kind="stable")
    return tuple(Prediction(str(classes[i]), float(probabilities[i])) for i in order)
