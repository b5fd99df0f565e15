"""Classifiers for the folds of a large set: fitted to the same rotated rows, scored on those that are held out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear import metrics
from sightsound.linear.axes import PrincipalAxes
from sightsound.linear.cross_validation import choose, difference
from sightsound.linear.large_set import LargeSet
from sightsound.linear.newton import Solution, Solver
from sightsound.linear.rotated import rotated
from sightsound.linear.scaling import Preparation
from sightsound.linear.training import CV_TOL, LARGE_TOL

_ROUGH = (1e-3, 1e-2, 1e-1)  # times the first C of a fold: rough solutions on the way from zeros
_ROUGH_TOL = 1e-2  # of the objective


class LargeFits:
    """The classifiers of a large set for one preparation, by fold and C.

    A fold never starts at the solution of another, which has seen the rows that it holds out.

    Parameters
    ----------
    given : LargeSet
        The set.
    preparation : Preparation
        How its rows are prepared.
    """

    def __init__(self, given: LargeSet, preparation: Preparation) -> None:
        self.given, self.preparation = given, preparation
        self._loaded: PrincipalAxes | None = None
        self._solving: tuple[int, Solver, float] | None = None
        self._fits: dict[tuple[int, float], tuple[Matrix, Matrix]] = {}
        self._correct: dict[tuple[int, float], NDArray[np.bool_]] = {}
        self._predicted: dict[tuple[int, float], NDArray[np.bool_]] = {}  # for macro F1 alone

    # -- the rows ------------------------------------------------------------------------------------------------

    @property
    def _axes(self) -> PrincipalAxes:
        if self._loaded is None:
            given = self.given
            self._loaded = rotated(given.X, self.preparation, given.row_weights, given.at.order)
        return self._loaded

    def unload(self) -> None:
        """Free the rotated rows, which come again where they are needed."""
        self._loaded = self._solving = None

    @cached_property
    def usual_C(self) -> float:
        """The C to prefer among those that are not clearly worse than the best."""
        n, d = self._axes.Z.shape
        variance = float(self._axes.eigenvalues.sum()) / n if self.preparation.scaling == "none" else 1.0
        return self.preparation.usual_C_of(d, variance)

    # -- fits ----------------------------------------------------------------------------------------------------

    def fit(self, folds: Sequence[int], Cs: Sequence[float]) -> None:
        """Keep the classifiers of folds for values of C, and whether they are right about rows that are held out."""
        for fold in folds:
            for C in Cs:
                if (fold, C) not in self._fits:
                    self._fit(fold, C)

    def _fit(self, fold: int, C: float) -> None:
        if self._solving is None or self._solving[0] != fold:
            self._solving = None  # free it before another is made
            self._solving = (fold, *self.given.solver(self._axes, fold))
        _, solver, factor = self._solving
        fitted = [each for at, each in self._fits if at == fold]
        if fitted:
            solver.start(*self._fits[fold, min(fitted, key=lambda each: abs(np.log(each / C)))])
        else:
            for part in _ROUGH:
                solver.minimise(C * part * factor, _ROUGH_TOL)
        solver.minimise(C * factor, CV_TOL)
        W, b = solver.centred(solver.current.W, solver.current.b)
        self._fits[fold, C] = W.astype(np.float32), b
        predicted = self.given.trainer.predict(self._decisions(fold, C)) > 0
        self._correct[fold, C] = (predicted == self.given.Y[self.given.at.inside(fold)]).all(axis=1)
        if self.given.by_f1:
            self._predicted[fold, C] = predicted

    def keep(self, Cs: Collection[float]) -> None:
        """Free the classifiers for all other values of C. What they were right about is kept."""
        self._fits = {key: fit for key, fit in self._fits.items() if key[1] in Cs}

    def _decisions(self, fold: int, C: float) -> Matrix:
        """Return the decision values (m, k) of the rows of a fold."""
        W, b = self._fits[fold, C]
        D: Matrix = self._axes.Z[self.given.at.inside(fold)] @ W + b
        return np.hstack([np.zeros_like(D), D]) if self.given.trainer.two_classes else D

    def decisions(self, C: float) -> Matrix:
        """Return the decision values (m, k) of held-out rows for C, by the order of folds."""
        self._solving = None
        given = self.given
        decisions = np.empty((given.at.ends[-1], given.Y.shape[1]))
        for fold in given.folds:
            decisions[given.at.inside(fold)] = self._decisions(fold, C)
        return decisions

    def solution(self, C: float) -> Solution:
        """Return the classifier of all rows for C."""
        self._solving = None
        axes = self._axes
        solver, factor = self.given.solver(axes, None)
        start = self._fits.get((self.given.first[0], C))
        if start is not None:
            solver.start(*start)
        else:
            solver.warm_up(C)
        objective, converged = solver.minimise(C * factor, self.given.trainer.tol or LARGE_TOL)
        coef, intercept = axes.to_features(*solver.centred(solver.current.W, solver.current.b))
        return Solution(C, coef, intercept, objective, converged)

    # -- scores --------------------------------------------------------------------------------------------------

    def inside(self, folds: Sequence[int]) -> Any:
        """Return where the rows of some folds stand."""
        ends = self.given.at.ends
        if len(folds) == len(self.given.folds):
            return slice(0, int(ends[-1]))
        return np.concatenate([np.arange(ends[each], ends[each + 1]) for each in folds])

    def counts(self, folds: Sequence[int]) -> Matrix:
        """Return the weights (m,) of the rows of some folds, 1 where all are 0."""
        weights = self.given.weights[self.inside(folds)]
        return weights if weights.any() else np.ones(len(weights))

    def correct(self, C: float, folds: Sequence[int]) -> NDArray[np.bool_]:
        """Return whether each row (m,) of some folds was correct for C while its fold was held out."""
        found: NDArray[np.bool_] = _joined(self._correct, C, folds)
        return found

    def score(self, C: float, folds: Sequence[int]) -> float:
        """Return the score of C on the rows of some folds."""
        if self.given.by_f1:
            truth = self.given.Y[self.inside(folds)] * 1.0
            return metrics.macro_f1(truth, _joined(self._predicted, C, folds) * 1.0, self.counts(folds))
        return float(np.average(self.correct(C, folds), weights=self.counts(folds)))

    def gain(self, correct: NDArray[np.bool_], C: float, folds: Sequence[int]) -> tuple[float, float]:
        """Return how much more often C is correct than predictions `correct` (m,), and its standard error."""
        groups = self.given.groups[self.inside(folds)]
        return difference(self.correct(C, folds), correct, groups, self.counts(folds))

    def best(self, Cs: Sequence[float], folds: Sequence[int]) -> float:
        """Return the C with the highest score on the rows of some folds."""
        return max(Cs, key=lambda C: self.score(C, folds))

    def chosen(self, Cs: Sequence[float], folds: Sequence[int]) -> float:
        """Return the C that `cross_validation.choose` takes on the rows of some folds."""
        scores = np.array([self.score(C, folds) for C in Cs])
        correct = None if self.given.by_f1 else np.stack([self.correct(C, folds) for C in Cs], axis=1)
        groups = self.given.groups[self.inside(folds)]
        return Cs[choose(scores, correct, groups, self.counts(folds), np.array(Cs), self.usual_C)]


def _joined(values: Mapping[tuple[int, float], NDArray[np.bool_]], C: float, folds: Sequence[int]) -> Any:
    """Return what is kept for C, for the rows of some folds."""
    return np.concatenate([values[each, C] for each in folds])
