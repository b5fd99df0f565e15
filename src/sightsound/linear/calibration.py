"""Calibrate probabilities by a temperature, and measure how well they are calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightsound.contract.arrays import Matrix
from sightsound.linear.decisions import probabilities
from sightsound.linear.report import Bin

BINS = 15
"""Bins of the reliability table (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)."""


def fit_temperature(decisions: Matrix, Y: Matrix, single: bool, weights: Matrix | None = None) -> float:
    """Return the temperature that maximises the likelihood of held-out rows.

    The targets are smoothed by one row in n + 2 (Platt, Probabilistic outputs for support vector machines, 1999), so
    that rows which are all correct do not lead to a temperature of 0. The temperature lies between 1/100 and 100 times
    the mean absolute decision value.

    Parameters
    ----------
    decisions : array (n, k)
        Decision values (n, k) of rows that the classifier was not fitted on.
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    single : bool
        Whether each row has one class.
    weights : array (n,), optional
        Weights (n,) of rows. None gives each the weight 1.

    Returns
    -------
    float
        The temperature.
    """
    from scipy.optimize import minimize_scalar

    weights = np.ones(len(Y)) if weights is None else weights
    smooth = 1 / (weights.sum() + 2)
    Y = (1 - smooth) * Y + smooth / (Y.shape[1] if single else 2)
    scale = max(float(weights @ np.abs(decisions).mean(axis=1) / weights.sum()), 1e-12)

    def negative_log_likelihood(log_t: float) -> float:
        P = np.clip(probabilities(decisions, float(np.exp(log_t)), single), 1e-12, 1)
        logs = Y * np.log(P) if single else Y * np.log(P) + (1 - Y) * np.log(np.clip(1 - P, 1e-12, 1))
        return -float(weights @ logs.sum(axis=1))

    bounds = (np.log(scale / 100), np.log(scale * 100))
    found = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return float(np.exp(found.x))


def log_loss(probabilities: Matrix, Y: Matrix, single: bool, weights: Matrix) -> float:
    """Return the mean negative log-likelihood of targets.

    Parameters
    ----------
    probabilities : array (n, k)
        Probabilities (n, k).
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    single : bool
        Whether each row has one class. Otherwise the losses of the labels of a row are added.
    weights : array (n,)
        Weights (n,) of rows.

    Returns
    -------
    float
        The loss in nats.
    """
    logs = Y * np.log(np.clip(probabilities, 1e-12, 1))
    if not single:
        logs = logs + (1 - Y) * np.log(np.clip(1 - probabilities, 1e-12, 1))
    return -float(weights @ logs.sum(axis=1) / weights.sum())


def reliability(probabilities: Matrix, Y: Matrix, single: bool) -> tuple[Bin, ...]:
    """Return the bins of the reliability table that hold rows, by rising confidence.

    Parameters
    ----------
    probabilities : array (n, k)
        Probabilities (n, k).
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    single : bool
        Whether each row has one class. Otherwise each label counts as a row, by the probability of its prediction.

    Returns
    -------
    tuple of Bin
        At most `BINS`, of equal width.
    """
    if not single:
        confidence = np.maximum(probabilities, 1 - probabilities).ravel()
        correct = ((probabilities >= 0.5) == (Y > 0)).ravel()
    else:
        confidence, best = probabilities.max(axis=1), probabilities.argmax(axis=1)
        correct = Y[np.arange(len(Y)), best] > 0
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    inside = [(number == i) for i in range(BINS) if (number == i).any()]
    return tuple(Bin(int(b.sum()), float(confidence[b].mean()), float(correct[b].mean())) for b in inside)


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: the mean over rows of |confidence - accuracy| in their bin."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / total
