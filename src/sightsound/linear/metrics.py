"""How good a classifier is: accuracy with its interval, per class, calibration, and what to compare it with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix, unit_rows

Ints = NDArray[np.intp]

BINS = 15
"""Bins of the reliability table (Guo et al., On Calibration of Modern Neural Networks, ICML 2017)."""
DRAWS = 1000
"""Bootstrap samples behind an interval."""
NEIGHBOURS = 5
"""The k of the nearest-neighbour baseline."""


@dataclass(frozen=True)
class Estimate:
    """A part of rows, or a difference of such parts, with the bounds that hold 95 % of its bootstrap samples."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True)
class ClassScore:
    """One class: how many rows have it, and what part of those called so are (precision), of those that are so are
    called so (recall), and the harmonic mean of the two."""

    label: str
    count: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Bin:
    """Rows whose probability of the predicted class lies in one bin: how many, their mean probability, and how many
    of them were right, as a part."""

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ProbeReport:
    """What is known of a classifier on rows that it was not fitted on.

    `how` says which rows, `groups` how many items, or groups of the user's, these are of; `accuracy` is the part of
    rows that were right (several labels: all of a row's), in `corrected` less what choosing the strength on the same
    rows gains (Tsamardinos et al., Machine Learning 2018), where one was chosen. `confusion` (k, k) counts rows by
    truth and prediction, empty for several labels. `error` and `raw_error` are the expected calibration errors with and
    without the temperature. `majority` and `neighbours` are the accuracies of always saying the commonest class and of
    the five nearest neighbours by cosine. `curve` are (groups a class, mean accuracy, least, greatest over draws), and
    `notes` say what was left out.
    """

    how: str
    rows: int
    groups: int
    accuracy: Estimate
    macro_f1: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    error: float
    raw_error: float
    reliability: tuple[Bin, ...]
    majority: float
    neighbours: Estimate | None = None
    corrected: float | None = None
    curve: tuple[tuple[int, float, float, float], ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return found

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> ProbeReport:
        """What `to_json` gave. Raises `TypeError`, `ValueError` or `KeyError` for anything else."""
        maybe = {key: told[key] for key in ("neighbours", "corrected")}
        return cls(
            how=str(told["how"]),
            rows=int(told["rows"]),
            groups=int(told["groups"]),
            accuracy=_estimate(told["accuracy"]),
            macro_f1=float(told["macro_f1"]),
            classes=tuple(
                ClassScore(str(row["label"]), int(row["count"]), *(float(row[key]) for key in _SCORES))
                for row in told["classes"]
            ),
            confusion=tuple(tuple(map(int, row)) for row in told["confusion"]),
            error=float(told["error"]),
            raw_error=float(told["raw_error"]),
            reliability=tuple(
                Bin(int(row["count"]), float(row["confidence"]), float(row["accuracy"])) for row in told["reliability"]
            ),
            majority=float(told["majority"]),
            neighbours=None if maybe["neighbours"] is None else _estimate(maybe["neighbours"]),
            corrected=None if maybe["corrected"] is None else float(maybe["corrected"]),
            curve=tuple((int(a), float(b), float(c), float(d)) for a, b, c, d in told["curve"]),
            notes=tuple(map(str, told["notes"])),
        )


_SCORES = ("precision", "recall", "f1")


def _estimate(told: Mapping[str, Any]) -> Estimate:
    return Estimate(**{key: float(value) for key, value in told.items()})


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
    """The report on truth Y (n, k) in {0, 1} and probabilities (n, k); `raw` are those without the temperature,
    `groups` (n,) what is drawn together for the interval, `single` whether a row has one class. `more` are further
    fields of `ProbeReport`."""
    said = decide(probabilities, single)
    right = (said == Y).all(axis=1)
    groups = np.arange(len(Y)) if groups is None else groups
    bins = reliability(probabilities, Y, single)
    scores = tuple(_class(label, Y[:, i] > 0, said[:, i] > 0) for i, label in enumerate(labels))
    return ProbeReport(
        how=how,
        rows=len(Y),
        groups=len(np.unique(groups)),
        accuracy=estimate(right, groups),
        macro_f1=macro_f1(Y, said),
        classes=scores,
        confusion=tuple(map(tuple, (Y.T @ said).astype(int).tolist())) if single else (),
        error=calibration_error(bins),
        raw_error=calibration_error(reliability(probabilities if raw is None else raw, Y, single)),
        reliability=bins,
        majority=majority(Y),
        **more,
    )


def decide(probabilities: Matrix, single: bool) -> Matrix:
    """Probabilities (n, k) -> what is said, (n, k) in {0, 1}: the likeliest class, or all of a half and more."""
    if not single:
        return (probabilities >= 0.5).astype(float)
    said = np.zeros_like(probabilities)
    said[np.arange(len(said)), probabilities.argmax(axis=1)] = 1
    return said


def _class(label: str, true: NDArray[np.bool_], said: NDArray[np.bool_]) -> ClassScore:
    both, one, other = int((true & said).sum()), int(said.sum()), int(true.sum())
    part = [both / max(1, one), both / max(1, other), 2 * both / max(1, one + other)]
    return ClassScore(label, other, *part)


def macro_f1(Y: Matrix, said: Matrix, weights: Matrix | None = None) -> float:
    """The mean, over classes that are there or are said to be, of the harmonic mean of precision and recall; `weights`
    (n,) are those of rows."""
    weights = np.ones(len(Y)) if weights is None else weights
    both, either = weights @ (Y * said), weights @ (Y + said)
    return float(np.mean(2 * both[either > 0] / either[either > 0])) if either.any() else 1.0


def majority(Y: Matrix) -> float:
    """The accuracy of saying for every row what most rows have."""
    return float(np.unique(Y, axis=0, return_counts=True)[1].max() / len(Y))


def estimate(right: NDArray[Any], groups: Ints) -> Estimate:
    """The mean of `right` (n,) and its 95 % interval when whole groups are drawn anew. Where all rows are right, or
    none, every draw is alike: the bound is then that of Clopper and Pearson (1934) on groups, if `right` is bool."""
    sums, counts = _by_group(right[:, None], groups)
    means = np.concatenate([drawn @ sums[:, 0] / (drawn @ counts) for drawn in _draws(len(counts))])
    low, high = np.quantile(means, [0.025, 0.975])
    if right.dtype == bool and low == high and low in (0, 1):
        sure = 0.025 ** (1 / len(counts))
        low, high = (sure, 1.0) if low == 1 else (0.0, 1 - sure)
    return Estimate(float(right.mean()), float(low), float(high))


def corrected(right: NDArray[np.bool_], groups: Ints) -> float:
    """The accuracy that remains when the best of several settings is chosen on other rows than it is judged by:
    `right` (n, settings), the settings in order of preference; the bootstrap of Tsamardinos et al. (2018)."""
    sums, counts = _by_group(right, groups)
    found: list[float] = []
    for drawn in _draws(len(counts)):
        best = (drawn @ sums / (drawn @ counts)[:, None]).argmax(axis=1)
        left = (drawn == 0).astype(np.float64)
        rows = left @ counts
        means = (left @ sums)[np.arange(len(best)), best] / np.maximum(rows, 1)
        found += means[rows > 0].tolist()
    return float(np.mean(found)) if found else float(right.mean())


def _by_group(right: NDArray[Any], groups: Ints) -> tuple[Matrix, Matrix]:
    """How many rows of each group are right, (groups, settings), and how many there are, (groups,)."""
    number = np.unique(groups, return_inverse=True)[1]
    sums = np.zeros((number.max() + 1, right.shape[1]))
    np.add.at(sums, number, right)
    return sums, np.bincount(number).astype(float)


def _draws(count: int) -> Iterator[Matrix]:
    """Bootstrap samples of so many groups: how often each is drawn, 100 samples at a time."""
    random = np.random.default_rng(0)
    for _ in range(DRAWS // 100):
        yield random.multinomial(count, np.full(count, 1 / count), 100).astype(np.float64)


def reliability(probabilities: Matrix, Y: Matrix, single: bool) -> tuple[Bin, ...]:
    """The bins that hold rows, from unsure to sure. With several labels every one counts as a row, by the
    probability of what is said of it."""
    if not single:
        sure = np.maximum(probabilities, 1 - probabilities).ravel()
        right = ((probabilities >= 0.5) == (Y > 0)).ravel()
    else:
        sure, best = probabilities.max(axis=1), probabilities.argmax(axis=1)
        right = Y[np.arange(len(Y)), best] > 0
    number = np.minimum((sure * BINS).astype(int), BINS - 1)
    inside = [(number == i) for i in range(BINS) if (number == i).any()]
    return tuple(Bin(int(b.sum()), float(sure[b].mean()), float(right[b].mean())) for b in inside)


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error: how far confidence and accuracy are apart, on average over rows."""
    total = sum(found.count for found in bins)
    return sum(found.count * abs(found.confidence - found.accuracy) for found in bins) / total


def probabilities(decisions: Matrix, temperature: float, single: bool) -> Matrix:
    """Decisions (n, k) -> probabilities (n, k): softmax of decisions over temperature, or each for itself."""
    scaled = np.asarray(decisions, np.float64) / temperature
    if not single:
        return 0.5 * (1 + np.tanh(scaled / 2))
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return found


def temperature(decisions: Matrix, Y: Matrix, single: bool, weights: Matrix | None = None) -> float:
    """The temperature under which held-out rows are likeliest: decisions (n, k), truth (n, k), weights (n,).

    Truth is smoothed by one row in n + 2 (Platt, Probabilistic Outputs for Support Vector Machines, 1999), so that rows
    which are all right do not make for certainty. Between 1/100 and 100 times the decisions' own size, by golden
    section: the likelihood has one maximum.
    """
    weights = np.ones(len(Y)) if weights is None else weights
    smooth = 1 / (weights.sum() + 2)
    Y = (1 - smooth) * Y + smooth / (Y.shape[1] if single else 2)
    size = max(float(weights @ np.abs(decisions).mean(axis=1) / weights.sum()), 1e-12)
    low, high, ratio = np.log(size / 100), np.log(size * 100), (np.sqrt(5) - 1) / 2

    def unlikely(log_t: float) -> float:
        P = np.clip(probabilities(decisions, float(np.exp(log_t)), single), 1e-12, 1)
        logs = Y * np.log(P) if single else Y * np.log(P) + (1 - Y) * np.log(np.clip(1 - P, 1e-12, 1))
        return -float(weights @ logs.sum(axis=1))

    for _ in range(40):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, b) if unlikely(a) <= unlikely(b) else (a, high)
    return float(np.exp((low + high) / 2))


def neighbours(X: NDArray[Any], Y: Matrix, folds: Ints) -> Matrix:
    """What the five nearest neighbours by cosine outside of a row's fold say: (n, k), each neighbour counted by its
    likeness."""
    rows = unit_rows(X)
    said = np.zeros(Y.shape)
    for fold in np.unique(folds):
        there, out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        for part in np.array_split(out, -(-len(out) // 1024)):
            likeness = rows[part] @ rows[there].T
            k = min(NEIGHBOURS, len(there))
            near = np.argpartition(-likeness, k - 1, axis=1)[:, :k]
            weight = np.maximum(np.take_along_axis(likeness, near, axis=1), 0) + 1e-6
            said[part] = np.einsum("nk,nkc->nc", weight, Y[there][near]) / weight.sum(axis=1, keepdims=True)
    return said
