"""Choose C by cross-validation, and keep what the held-out rows show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear import metrics
from sightsound.linear.axes import PrincipalAxes
from sightsound.linear.calibration import fit_temperature, log_loss
from sightsound.linear.decisions import probabilities
from sightsound.linear.folds import Ints, count_split_groups
from sightsound.linear.scaling import Scaling
from sightsound.linear.training import Trainer

Scoring = Literal["accuracy", "f1_macro"]

DEFAULT_CS = tuple(float(C) for C in np.logspace(-6, 5, 45))
"""Values of C in the linear evaluation of DINOv2 (Oquab et al. 2023): 45 from 1e-6 to 1e5."""
COARSE_CS = tuple(float(C) for C in np.logspace(-6, 4, 11))
"""Values of C in a stack, one a decade. The top makes up for a C that is not quite the best."""
CLEARLY = 2.0
"""Standard errors by which another preparation, or other features, must be better than the usual ones."""
DRAWS = 4
"""Random samples of each size and fold in a learning curve, fewer where these have many rows."""
_MOST_DRAWN = 20_000  # training rows in all samples of one size of a learning curve, beyond one sample for each fold
_MOST_FITTED = 200_000  # training rows in all folds of one size, beyond a single fold


@dataclass(frozen=True)
class CrossValidation:
    """The held-out predictions of a classifier for each C, and the choice of C.

    It has the n rows that were held out, which can be fewer than the classifier was fitted to.

    Attributes
    ----------
    rows : int array (n,)
        Position (n,) of each row among those that the classifier was fitted to.
    truth : array (n, k)
        Targets (n, k) in {0, 1}.
    groups, folds : int arrays (n,)
        Group and fold (n,) of each row.
    weights : array (n,)
        Weights (n,) of rows.
    Cs : tuple of float
        Rising values of C.
    scores : array (Cs,)
        Score (Cs,) of the held-out predictions for each C.
    position : int
        Position of the chosen C in `Cs`.
    decisions : array (n, k)
        Decision values (n, k) for the chosen C, of each row while its fold was held out.
    correct : bool array (n, Cs)
        (n, Cs): whether each held-out row was correct for each C.
    single : bool
        Whether each row has one class.
    compared : bool array (n, m), optional
        (n, m): whether each held-out row was correct for each of m other scalings and values of C that were compared.
    """

    rows: Ints
    truth: Matrix
    groups: Ints
    folds: Ints
    weights: Matrix
    Cs: tuple[float, ...]
    scores: Matrix
    position: int
    decisions: Matrix
    correct: NDArray[np.bool_]
    single: bool
    compared: NDArray[np.bool_] | None = None

    @property
    def count(self) -> int:
        """Number of folds."""
        return int(self.folds.max()) + 1

    @property
    def C(self) -> float:
        """The chosen C."""
        return self.Cs[self.position]

    @cached_property
    def temperature(self) -> float:
        """The temperature that calibrates the held-out decision values, 1 where it does not help other folds."""
        if not self._temperature_helps:
            return 1.0
        return fit_temperature(self.decisions, self.truth, self.single, self.weights)

    @cached_property
    def _temperature_helps(self) -> bool:
        """Whether the temperature of the other folds lowers the loss of a fold, as a mean over folds."""
        raw, calibrated = (
            log_loss(P, self.truth, self.single, self.weights)
            for P in (probabilities(self.decisions, 1.0, self.single), self._calibrated_by_others)
        )
        return calibrated < raw

    @cached_property
    def _calibrated_by_others(self) -> Matrix:
        """The probabilities (n, k) of each fold with the temperature of the others."""
        P = np.empty(self.truth.shape)
        for fold in range(self.count):
            out, rest = self.folds == fold, self.folds != fold
            weights = self.weights[rest] if self.weights[rest].any() else None
            t = fit_temperature(self.decisions[rest], self.truth[rest], self.single, weights)
            P[out] = probabilities(self.decisions[out], t, self.single)
        return P

    @cached_property
    def corrected(self) -> float:
        """Accuracy without the optimism of choosing the scaling and C on the same rows; see `metrics.corrected`.

        That is of the best ones. The usual ones can be chosen with a lower accuracy, which is no optimism.
        """
        settings = self.correct if self.compared is None else np.hstack([self.correct, self.compared])
        return min(metrics.corrected(settings, self.groups), float(self.correct[:, self.position].mean()))

    def comparing(self, correct: NDArray[np.bool_] | None) -> CrossValidation:
        """Return the same with (n, m) more in `compared`: rows that are correct with settings that were not chosen."""
        if correct is None:
            return self
        return replace(self, compared=correct if self.compared is None else np.hstack([self.compared, correct]))

    def notes(self) -> tuple[str, ...]:
        """Return remarks on the folds."""
        leaking = count_split_groups(self.folds, self.groups)
        if not leaking:
            return ()
        return (f"{leaking} groups have rows in several of the given folds, so the accuracy is too optimistic",)

    def probabilities(self, *, calibrate: bool = True) -> Matrix:
        """Return the probabilities (n, k) of held-out rows, each fold with the temperature of the others.

        The temperature is 1 where it does not help, and without `calibrate`.
        """
        if calibrate and self._temperature_helps:
            return self._calibrated_by_others
        return probabilities(self.decisions, 1.0, self.single)

    def learning_curve(
        self, predict: Callable[[Ints, Ints], Matrix], seed: int = 0
    ) -> tuple[tuple[int, float, float, float], ...]:
        """Return the accuracy by the number of training groups; for rows with one class.

        Where a size has many rows there are fewer samples of it, and then fewer folds, so that no size needs more than
        about 200,000 training rows, or a single fit.

        Parameters
        ----------
        predict : callable
            Function of row numbers (m,) to fit on and row numbers (l,) to predict. It returns classes (l, k) in {0, 1}.
        seed : int
            Seed of the samples.

        Returns
        -------
        tuple
            (groups a class, mean, lowest and highest accuracy over folds and draws) for 1, 2, 4, ... groups of each
            class, and for as many as the smallest class has outside of every fold.
        """
        random = np.random.default_rng(seed)
        kinds = self._held_out_classes()
        most = min(self._groups_outside(fold, kind).size for fold in range(self.count) for kind in kinds)
        rows_a_group = len(self.groups) / len(np.unique(self.groups))
        curve = []
        for size in [*(2**i for i in range(32) if 2**i < most), most]:
            rows = size * len(kinds) * rows_a_group
            draws = max(1, min(DRAWS, int(_MOST_DRAWN / (rows * self.count))))
            folds = range(max(1, min(self.count, int(_MOST_FITTED / rows))))
            accuracies = [self._sampled_accuracy(predict, fold, size, random) for fold in folds for _ in range(draws)]
            curve.append((size, float(np.mean(accuracies)), min(accuracies), max(accuracies)))
        return tuple(curve)

    def _held_out_classes(self) -> list[int]:
        """Return the classes with rows that were held out."""
        return [int(kind) for kind in np.flatnonzero(self.truth.sum(axis=0) > 0)]

    def _groups_outside(self, fold: int, kind: int) -> Ints:
        """Return the groups with rows of a class outside of a fold."""
        return np.unique(self.groups[(self.folds != fold) & (self.truth[:, kind] > 0)])

    def _sampled_accuracy(
        self, predict: Callable[[Ints, Ints], Matrix], fold: int, size: int, random: np.random.Generator
    ) -> float:
        """Return the accuracy in a fold after fitting on a sample of groups outside of it."""
        rows: list[int] = []
        for kind in self._held_out_classes():
            drawn = random.choice(self._groups_outside(fold, kind), size, replace=False)
            sampled = np.isin(self.groups, drawn) & (self.folds != fold) & (self.truth[:, kind] > 0)
            rows += np.flatnonzero(sampled).tolist()
        out = np.flatnonzero(self.folds == fold)
        predicted = predict(np.array(rows), out)
        return float((predicted == self.truth[out]).all(axis=1).mean())


def cross_validate(
    trainer: Trainer,
    X: NDArray[Any],
    Y: Matrix,
    weights: Matrix,
    Cs: Sequence[float],
    *,
    folds: Ints,
    groups: Ints,
    scoring: Scoring = "accuracy",
    rotation: Matrix | None = None,
    usual_C: float | None = None,
) -> CrossValidation:
    """Return the held-out predictions for each C.

    Parameters
    ----------
    trainer : Trainer
        What fits the classifiers.
    X : array-like (n, d)
        Rows (n, d).
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    weights : array (n,)
        Weights (n,) of rows.
    Cs : sequence of float
        Values of C.
    folds, groups : int arrays (n,)
        Fold and group (n,) of each row. Rows of the fold -1 are never held out.
    scoring : str
        How a C is scored. Several labels are always scored by macro F1.
    rotation : array (d, d), optional
        Principal axes of all rows, from `shared_rotation`.
    usual_C : float, optional
        The C to prefer among those that are not clearly worse than the best. None prefers the smallest of the best.

    Returns
    -------
    CrossValidation
        The predictions, scores and the best C.
    """
    Cs = sorted(Cs)
    parts = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(folds.max() + 1)]
    paths = [trainer.path(X[rest], Y[rest], weights[rest], Cs, rotation=rotation) for rest, _ in parts]

    held = np.flatnonzero(folds >= 0)

    def held_out(i: int) -> Matrix:
        D = np.zeros(Y.shape)
        for (_, out), solutions in zip(parts, paths):
            D[out] = trainer.decisions(X[out], solutions[i])
        return D[held]

    by_f1 = scoring == "f1_macro" or not trainer.single
    truth, counts = Y[held], weights[held] if weights[held].any() else np.ones(len(held))
    correct, scores = np.empty((len(held), len(Cs)), bool), np.empty(len(Cs))
    for i in range(len(Cs)):
        predicted = trainer.predict(held_out(i))
        correct[:, i] = (predicted == truth).all(axis=1)
        scores[i] = metrics.macro_f1(truth, predicted, counts) if by_f1 else np.average(correct[:, i], weights=counts)
    position = choose(scores, None if by_f1 else correct, groups[held], counts, np.array(Cs), usual_C)
    kept = (groups[held], folds[held], counts, tuple(Cs), scores, position)
    return CrossValidation(held, truth, *kept, held_out(position), correct, trainer.single)


def choose(
    scores: Matrix, correct: NDArray[np.bool_] | None, groups: Ints, weights: Matrix, Cs: Matrix, usual: float | None
) -> int:
    """Return the position of the best C, or of the usual one if the best is not clearly better.

    Of those whose score is within one standard error of the best, or equals it where the score is no accuracy, the C
    nearest to the usual one wins. With few rows the differences are mostly noise.

    Parameters
    ----------
    scores : array (Cs,)
        Score (Cs,) of each C.
    correct : bool array (n, Cs), optional
        Whether each row is correct for each C. None where the score is no accuracy.
    groups, weights : arrays (n,)
        Group and weight (n,) of each row.
    Cs : array (Cs,)
        Values of C.
    usual : float, optional
        The usual C. None takes the best.

    Returns
    -------
    int
        The position.
    """
    best = int(scores.argmax())
    if usual is None:
        return best
    near = scores >= scores[best]
    if correct is not None:
        losses = [difference(correct[:, best], correct[:, i], groups, weights) for i in range(len(Cs))]
        near = np.array([gain <= error for gain, error in losses])
    distance = np.where(near, np.abs(np.log(Cs / usual)), np.inf)
    return int(distance.argmin())


def difference(
    first: NDArray[np.bool_], second: NDArray[np.bool_], groups: Ints, weights: Matrix
) -> tuple[float, float]:
    """Return how much more often the first predictions are correct than the second, and its standard error.

    Parameters
    ----------
    first, second : bool arrays (n,)
        Which rows (n,) are correct.
    groups : int array (n,)
        Groups (n,), which count as independent.
    weights : array (n,)
        Weights (n,) of rows.

    Returns
    -------
    tuple of float
        The difference of the accuracies, and the standard error of paired groups.
    """
    number = np.unique(groups, return_inverse=True)[1]
    gains = np.bincount(number, weights * (first.astype(float) - second))
    largest = np.ones(len(gains))
    np.maximum.at(largest, number, weights)
    total = weights.sum()
    return float(gains.sum() / total), float(np.sqrt((np.square(gains) / largest).sum()) / total)


def shared_rotation(X: NDArray[Any], weights: Matrix, folds: Ints, *, scaling: Scaling) -> Matrix | None:
    """Return the principal axes of all rows, which serve every fold.

    Parameters
    ----------
    X : array-like (n, d)
        Rows (n, d).
    weights : array (n,)
        Weights (n,) of rows.
    folds : int array (n,)
        Fold (n,) of each row.
    scaling : {"none", "global", "unit", "centred", "standard"}
        As of `PrincipalAxes.of`.

    Returns
    -------
    ndarray or None
        (d, d). None where folds have fewer rows than features or their own centres, or rows have the weight 0: then
        each fold has its own.
    """
    count = folds.max() + 1
    if len(X) - (folds >= 0).sum() / count <= X.shape[1] or scaling == "centred" or not weights.all():
        return None
    return PrincipalAxes.of(X, weights, scaling=scaling).rotation
