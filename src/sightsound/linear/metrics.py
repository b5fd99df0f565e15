"""Measure classifiers: accuracy with its interval, scores of classes, and baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix, unit_rows
from sightsound.linear.calibration import calibration_error, reliability
from sightsound.linear.decisions import indicators
from sightsound.linear.folds import Ints
from sightsound.linear.report import ClassScore, Estimate, ProbeReport

DRAWS = 1000
"""Bootstrap samples of an interval."""
NEIGHBOURS = 5
"""The k of the nearest-neighbour baseline."""
_MANY = 4096  # rows from which neighbours are searched without a copy for each fold


def report(
    how: str,
    labels: Sequence[str],
    Y: Matrix,
    probabilities: Matrix,
    *,
    single: bool = True,
    raw: Matrix | None = None,
    groups: Ints | None = None,
    **more: Any,
) -> ProbeReport:
    """Return the report on rows that a classifier was not fitted on.

    Parameters
    ----------
    how : str
        Which rows these are.
    labels : sequence of str
        Names (k,) of the classes.
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    probabilities : array (n, k)
        Probabilities (n, k).
    single : bool
        Whether each row has one class.
    raw : array (n, k), optional
        Probabilities (n, k) without the temperature. None takes `probabilities`.
    groups : array-like (n,), optional
        Groups (n,) that the bootstrap draws as a whole. None makes each row a group.
    **more : Any
        Further fields of `ProbeReport`.

    Returns
    -------
    ProbeReport
        The report.
    """
    predicted = indicators(probabilities, single)
    groups = np.arange(len(Y)) if groups is None else groups
    bins = reliability(probabilities, Y, single)
    return ProbeReport(
        how=how,
        rows=len(Y),
        groups=len(np.unique(groups)),
        accuracy=estimate((predicted == Y).all(axis=1), groups),
        macro_f1=macro_f1(Y, predicted),
        classes=class_scores(labels, Y, predicted),
        confusion=_confusion(Y, predicted) if single else (),
        error=calibration_error(bins),
        raw_error=calibration_error(reliability(probabilities if raw is None else raw, Y, single)),
        reliability=bins,
        majority=majority(Y),
        **more,
    )


def class_scores(labels: Sequence[str], Y: Matrix, predicted: Matrix) -> tuple[ClassScore, ...]:
    """Return precision, recall and F1 of each class.

    Parameters
    ----------
    labels : sequence of str
        Names (k,) of the classes.
    Y, predicted : arrays (n, k)
        True and predicted classes (n, k) in {0, 1}.

    Returns
    -------
    tuple of ClassScore
        (k,), in the order of `labels`.
    """
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(Y > 0, predicted > 0, average=None, zero_division=0)
    precision, recall, f1, count = (column.tolist() for column in scores)
    return tuple(map(ClassScore, labels, count, precision, recall, f1))


def _confusion(Y: Matrix, predicted: Matrix) -> tuple[tuple[int, ...], ...]:
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(Y.argmax(axis=1), predicted.argmax(axis=1), labels=range(Y.shape[1]))
    return tuple(map(tuple, counts.tolist()))


def macro_f1(Y: Matrix, predicted: Matrix, weights: Matrix | None = None) -> float:
    """Return the mean F1 over the classes that occur in the truth or the predictions.

    Cross-validation calls it for each C. It takes a tenth of the time of `sklearn.metrics.f1_score`, or less.

    Parameters
    ----------
    Y, predicted : arrays (n, k)
        True and predicted classes (n, k) in {0, 1}.
    weights : array (n,), optional
        Weights (n,) of rows. None gives each the weight 1.

    Returns
    -------
    float
        From 0 to 1. 1 where no class occurs.
    """
    weights = np.ones(len(Y)) if weights is None else weights
    both, total = weights @ (Y * predicted), weights @ (Y + predicted)
    return float(np.mean(2 * both[total > 0] / total[total > 0])) if total.any() else 1.0


def majority(Y: Matrix) -> float:
    """Return the accuracy of predicting the most frequent row of targets (n, k) for every row."""
    return float(np.unique(Y, axis=0, return_counts=True)[1].max() / len(Y))


def estimate(correct: NDArray[Any], groups: Ints) -> Estimate:
    """Return a mean with its 95 % bootstrap interval over groups.

    Parameters
    ----------
    correct : array (n,)
        Values (n,): booleans for a proportion, numbers for a difference.
    groups : array (n,)
        Groups (n,). Each bootstrap sample draws whole groups.

    Returns
    -------
    Estimate
        The mean and the percentile interval of 1,000 samples. A proportion of 0 or 1 gets the bound of Clopper and
        Pearson (The use of confidence or fiducial limits, Biometrika 1934) over groups, since all samples are equal.
    """
    sums, counts = _by_group(correct[:, None], groups)
    means = np.concatenate([drawn @ sums[:, 0] / (drawn @ counts) for drawn in _draws(len(counts))])
    low, high = np.quantile(means, [0.025, 0.975])
    if correct.dtype == bool and low == high and low in (0, 1):
        bound = 0.025 ** (1 / len(counts))
        low, high = (bound, 1.0) if low == 1 else (0.0, 1 - bound)
    return Estimate(float(correct.mean()), float(low), float(high))


def corrected(correct: NDArray[np.bool_], groups: Ints) -> float:
    """Return the accuracy without the optimism of choosing the best of several settings on the same rows.

    This is the bootstrap bias corrected cross-validation of Tsamardinos, Greasidou and Borboudakis (Bootstrapping the
    out-of-sample predictions for efficient and accurate cross-validation, Machine Learning 2018): each bootstrap
    sample chooses a setting, and the rows outside of the sample measure it.

    Parameters
    ----------
    correct : bool array (n, settings)
        (n, settings): whether each held-out row is correct, in order of preference among equals.
    groups : array (n,)
        Groups (n,). Each bootstrap sample draws whole groups.

    Returns
    -------
    float
        The corrected accuracy.
    """
    sums, counts = _by_group(correct, groups)
    accuracies: list[float] = []
    for drawn in _draws(len(counts)):
        best = (drawn @ sums / (drawn @ counts)[:, None]).argmax(axis=1)
        outside = (drawn == 0).astype(np.float64)
        rows = outside @ counts
        means = (outside @ sums)[np.arange(len(best)), best] / np.maximum(rows, 1)
        accuracies += means[rows > 0].tolist()
    return float(np.mean(accuracies)) if accuracies else float(correct.mean())


def _by_group(correct: NDArray[Any], groups: Ints) -> tuple[Matrix, Matrix]:
    """Return the sums (groups, settings) and the numbers of rows (groups,)."""
    number = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((number.max() + 1, correct.shape[1]))
    np.add.at(sums, number, correct)
    return sums, np.bincount(number).astype(float)


def _draws(count: int) -> Iterator[Matrix]:
    """Yield bootstrap samples of groups as counts (100, count)."""
    random = np.random.default_rng(0)
    for _ in range(DRAWS // 100):
        yield random.multinomial(count, np.full(count, 1 / count), 100).astype(np.float64)


def neighbours(X: NDArray[Any], Y: Matrix, folds: Ints) -> Matrix:
    """Return what the five nearest neighbours outside of each row's fold predict.

    Parameters
    ----------
    X : array-like (n, d)
        Rows (n, d), compared by cosine similarity.
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    folds : array (n,)
        Folds (n,) in which rows are held out.

    Returns
    -------
    ndarray
        float64 (n, k): mean targets of the neighbours, weighted by similarity.
    """
    import faiss

    rows = unit_rows(X)
    predicted = np.zeros(Y.shape)
    if len(rows) >= _MANY:
        return _neighbours_of_many(rows, Y, folds)
    for fold in np.unique(folds):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(rows[inside])
        similarity, nearest = index.search(rows[outside], min(NEIGHBOURS, len(inside)))
        weights = np.maximum(similarity, 0) + 1e-6
        predicted[outside] = np.einsum("nk,nkc->nc", weights, Y[inside][nearest]) / weights.sum(axis=1, keepdims=True)
    return predicted


def _neighbours_of_many(rows: NDArray[Any], Y: Matrix, folds: Ints) -> Matrix:
    """Return the same as `neighbours` without a copy of the rows for each fold, of rows (n, d) of length 1."""
    import faiss

    order = np.argsort(folds, kind="stable")
    rows, ordered = rows[order], folds[order]
    predicted = np.zeros(Y.shape)
    for fold in np.unique(folds):
        start, stop = np.searchsorted(ordered, (fold, fold + 1))
        found = []
        for part, first in ((rows[:start], 0), (rows[stop:], stop)):
            if len(part):
                count = min(NEIGHBOURS, len(part))
                similarity, nearest = faiss.knn(rows[start:stop], part, count, metric=faiss.METRIC_INNER_PRODUCT)
                found.append((similarity, nearest + first))
        similarity, nearest = (np.hstack(each) for each in zip(*found))
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
        weights = np.maximum(np.take_along_axis(similarity, best, axis=1), 0) + 1e-6
        near = order[np.take_along_axis(nearest, best, axis=1)]
        means = np.zeros((stop - start, Y.shape[1]))
        for i in range(near.shape[1]):
            means += weights[:, i : i + 1] * Y[near[:, i]]
        predicted[order[start:stop]] = means / weights.sum(axis=1, keepdims=True)
    return predicted
