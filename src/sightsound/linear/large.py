"""Choose C on a large set: few strengths, most of them on one fold, and the same rotated rows for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear import metrics
from sightsound.linear.axes import PrincipalAxes
from sightsound.linear.cross_validation import CrossValidation, Scoring, choose, difference
from sightsound.linear.folds import Ints
from sightsound.linear.newton import Solution, Solver
from sightsound.linear.pieces import Pieces
from sightsound.linear.rotated import FoldOrder, rotated
from sightsound.linear.scaling import Preparation
from sightsound.linear.training import CV_TOL, LARGE_TOL, Trainer

LARGE = 10**8
"""Rows times features times classes from which a set is large. The 45 usual strengths take about 10 s there."""

_COARSE = 11  # decades of the usual strengths; about one strength of each is tried on the first folds
_ENOUGH = 4000  # held-out rows that tell which strengths can win: the first folds have as many
_WORSE = 3.0  # standard errors by which a strength must be worse than the best to show that larger ones cannot win
_CLOSE = 2.0  # standard errors within which a strength on the first folds may be as good as the best on all
_WORSE_F1 = 0.02  # the same for macro F1, whose error is not known
_EARLY = 1e-2  # times the usual C, below which no strength shows that
_LATE = 1e2  # times the usual C, above which a strength must gain to go on
_ROUGH = (1e-3, 1e-2, 1e-1)  # times the first C of a fold: rough solutions on the way from zeros
_ROUGH_TOL = 1e-2  # of the objective
_LEAST_TOL = 1e-6  # of the objective; less needs float64
_MAGNITUDE = 1e15  # of features; the sums of larger squares are beyond float32


@dataclass(frozen=True)
class LargeSet:
    """The rows, targets and folds of a large set.

    Attributes
    ----------
    trainer : Trainer
        What fits the classifiers.
    X : array (n, d)
        Rows (n, d), not prepared.
    Y : bool array (n, k)
        Targets (n, k), in the order of `at`.
    weights : array (n,)
        Weights (n,) of rows, in this order.
    at : FoldOrder
        The order.
    groups : int array (n,)
        Group (n,) of each row, in this order.
    by_f1 : bool
        Whether macro F1 is the score.
    """

    trainer: Trainer
    X: NDArray[Any]
    Y: NDArray[np.bool_]
    weights: Matrix
    at: FoldOrder
    groups: Ints
    by_f1: bool

    @classmethod
    def of(
        cls,
        trainer: Trainer,
        X: NDArray[Any],
        Y: Matrix,
        weights: Matrix,
        *,
        folds: Ints,
        groups: Ints,
        scoring: Scoring = "accuracy",
    ) -> LargeSet:
        """Return the set of rows (n, d) with targets (n, k), weights, folds and groups (n,) as given."""
        at = FoldOrder.of(folds)
        parts = (Y[at.order] > 0, weights[at.order], at, groups[at.order])
        return cls(trainer, X, *parts, scoring == "f1_macro" or not trainer.single)

    @property
    def folds(self) -> tuple[int, ...]:
        """All folds."""
        return tuple(range(len(self.at.ends) - 1))

    @property
    def first(self) -> tuple[int, ...]:
        """The largest folds, as many as have rows enough to tell which strengths can win."""
        sizes = np.diff(self.at.ends)
        largest = np.argsort(-sizes, kind="stable")
        count = 1 + int(np.searchsorted(np.cumsum(sizes[largest]), _ENOUGH))
        return tuple(sorted(largest[:count].tolist()))

    def solver(self, axes: PrincipalAxes, fold: int | None) -> tuple[Solver, float]:
        """Return the solver for the rows outside of a fold, or all rows, and by what C is multiplied there."""
        Z: Any = Pieces(axes.Z)
        Y, weights, share = self.Y, self.weights, 1.0
        if fold is not None:
            Z = Pieces(*self.at.outside(axes.Z, fold))
            Y, weights = (np.concatenate(self.at.outside(each, fold)) for each in (Y, weights))
            share = len(Y) / len(self.Y)
        weights = self.trainer.weighted(Y, weights) if self.trainer.single else weights
        targets, loss = self.trainer.problem(Y)
        mean = float(weights.mean())
        axes = replace(axes, Z=Z, eigenvalues=axes.eigenvalues * share)
        return Solver(axes, targets, weights / mean, loss, np.float32), mean


def is_large(trainer: Trainer, X: NDArray[Any], Y: Matrix, weights: Matrix, folds: Ints | None, scaling: str) -> bool:
    """Return whether a set is large, and of the kind that this module is for.

    Parameters
    ----------
    trainer : Trainer
        What fits the classifiers.
    X, Y, weights : arrays
        Rows (n, d), targets (n, k) and weights (n,).
    folds : int array (n,), optional
        Fold (n,) of each row.
    scaling : str
        As of `Preparation`.

    Returns
    -------
    bool
        False for fewer than `LARGE` numbers, folds that leave no more rows than features, weights of 0, labels with
        weights of their own, rows that are centred, a tolerance or numbers that need float64.
    """
    (n, d), k = X.shape, Y.shape[1]
    rest = n if folds is None else n - np.bincount(folds[folds >= 0]).max()
    if n * d * k < LARGE or rest <= d or scaling == "centred":
        return False
    if (trainer.class_weight is not None and not trainer.single) or (trainer.tol or 1) < _LEAST_TOL:
        return False
    used = trainer.weighted(Y, weights) if trainer.single else weights
    return bool(used.all()) and max(float(X.max()), -float(X.min())) < _MAGNITUDE


class LargeSearch:
    """The choice of C for one preparation of a large set.

    The first folds tell which strengths, about a decade apart, can win, and which between these is the best. That one
    and its neighbours, and others where they are nearer to the usual C, are tried on all folds. A fold never starts at
    the solution of another, which has seen the rows that it holds out.

    Parameters
    ----------
    given : LargeSet
        The set.
    preparation : Preparation
        How its rows are prepared.
    """

    def __init__(self, given: LargeSet, preparation: Preparation) -> None:
        self.preparation, self._given = preparation, given
        self._loaded: PrincipalAxes | None = None
        self._solving: tuple[int, Solver, float] | None = None
        self._fits: dict[tuple[int, float], tuple[Matrix, Matrix]] = {}
        self._correct: dict[tuple[int, float], NDArray[np.bool_]] = {}
        self._predicted: dict[tuple[int, float], NDArray[np.bool_]] = {}  # for macro F1 alone
        self._tried: list[float] = []
        self._done: list[float] = []

    # -- the rows ------------------------------------------------------------------------------------------------

    @property
    def _axes(self) -> PrincipalAxes:
        if self._loaded is None:
            given = self._given
            weights = given.trainer.weighted(given.Y, given.weights) if given.trainer.single else given.weights
            self._loaded = rotated(given.X, self.preparation, weights, given.at.order)
        return self._loaded

    def unload(self, C: float) -> None:
        """Free the rotated rows, which come again where they are needed, and the classifiers for all but one C."""
        self._loaded = self._solving = None
        self._fits = {key: fit for key, fit in self._fits.items() if key[1] == C}

    @property
    def usual_C(self) -> float:
        """The C to prefer among those that are not clearly worse than the best."""
        n, d = self._given.X.shape
        variance = float(self._axes.eigenvalues.sum()) / n if self.preparation.scaling == "none" else 1.0
        return self.preparation.usual_C_of(d, variance)

    # -- fits ----------------------------------------------------------------------------------------------------

    def _fit(self, fold: int, C: float) -> None:
        """Keep the classifier of a fold for C, and what it predicts of the rows that are held out."""
        if (fold, C) in self._fits:
            return
        if self._solving is None or self._solving[0] != fold:
            self._solving = None  # free it before another is made
            self._solving = (fold, *self._given.solver(self._axes, fold))
        _, solver, factor = self._solving
        near = min(
            (each for at, each in self._fits if at == fold), key=lambda each: abs(np.log(each / C)), default=None
        )
        if near is not None:
            solver.start(*self._fits[fold, near])
        else:
            for part in _ROUGH:
                solver.minimise(C * part * factor, _ROUGH_TOL)
        solver.minimise(C * factor, CV_TOL)
        W, b = solver.centred(solver.current.W, solver.current.b)
        self._fits[fold, C] = W.astype(np.float32), b
        predicted = self._given.trainer.predict(self._decisions(fold, C)) > 0
        self._correct[fold, C] = (predicted == self._given.Y[self._given.at.inside(fold)]).all(axis=1)
        if self._given.by_f1:
            self._predicted[fold, C] = predicted

    def _decisions(self, fold: int, C: float) -> Matrix:
        """Return the decision values (m, k) of the rows of a fold."""
        W, b = self._fits[fold, C]
        D: Matrix = self._axes.Z[self._given.at.inside(fold)] @ W + b
        return np.hstack([np.zeros_like(D), D]) if self._given.trainer.two_classes else D

    def _fit_on(self, folds: Sequence[int], Cs: Sequence[float]) -> None:
        for fold in folds:
            for C in Cs:
                self._fit(fold, C)

    # -- scores --------------------------------------------------------------------------------------------------

    def _inside(self, folds: Sequence[int]) -> Any:
        """Return where the rows of some folds stand."""
        if len(folds) == len(self._given.folds):
            return slice(0, int(self._given.at.ends[-1]))
        return np.concatenate([np.arange(self._given.at.ends[each], self._given.at.ends[each + 1]) for each in folds])

    def _counts(self, inside: Any) -> Matrix:
        """Return the weights (m,) of held-out rows, 1 where all are 0."""
        weights = self._given.weights[inside]
        return weights if weights.any() else np.ones(len(weights))

    def _joined(self, values: Mapping[tuple[int, float], NDArray[np.bool_]], C: float, folds: Sequence[int]) -> Any:
        """Return what was kept for C, for the rows of some folds."""
        return np.concatenate([values[each, C] for each in folds])

    def correct(self, C: float, folds: Sequence[int]) -> NDArray[np.bool_]:
        """Return whether each held-out row (m,) of some folds is correct for C."""
        found: NDArray[np.bool_] = self._joined(self._correct, C, folds)
        return found

    def _score(self, C: float, folds: Sequence[int]) -> float:
        inside = self._inside(folds)
        counts = self._counts(inside)
        if self._given.by_f1:
            return metrics.macro_f1(self._given.Y[inside] * 1.0, self._joined(self._predicted, C, folds) * 1.0, counts)
        return float(np.average(self.correct(C, folds), weights=counts))

    def gain(self, correct: NDArray[np.bool_], C: float, folds: Sequence[int]) -> tuple[float, float]:
        """Return how much more often C is correct than predictions `correct` (m,), and its standard error."""
        inside = self._inside(folds)
        return difference(self.correct(C, folds), correct, self._given.groups[inside], self._counts(inside))

    def _is_worse(self, C: float, best: float, errors: float) -> bool:
        """Return whether C is worse than the best on the first folds, by a number of standard errors."""
        folds = self._given.first
        if self._given.by_f1:
            return self._score(C, folds) < self._score(best, folds) - _WORSE_F1
        loss, error = self.gain(self.correct(C, folds), best, folds)
        return loss > errors * error

    # -- the search ----------------------------------------------------------------------------------------------

    def screen(self, Cs: Sequence[float]) -> float:
        """Try rising values of C on the first folds until larger ones cannot win. Return the chosen one there."""
        folds = self._given.first
        for C in Cs[:: _stride(Cs)] if not self._tried else ():
            self._fit_on(folds, [C])
            self._tried.append(C)
            if self._larger_cannot_win():
                break
        return self._chosen(self._tried, folds)

    def _larger_cannot_win(self) -> bool:
        """Return whether the last strengths on the first folds show that still larger ones cannot be chosen."""
        last, folds = self._tried[-1], self._given.first
        best = max(self._tried, key=lambda C: self._score(C, folds))
        if best == last or last < self.usual_C * _EARLY:
            return False
        return last > self.usual_C * _LATE or self._is_worse(last, best, _WORSE)

    def _chosen(self, Cs: Sequence[float], folds: Sequence[int]) -> float:
        """Return the C that `choose` takes on some folds."""
        scores = np.array([self._score(C, folds) for C in Cs])
        correct = None if self._given.by_f1 else np.stack([self.correct(C, folds) for C in Cs], axis=1)
        inside = self._inside(folds)
        groups, counts = self._given.groups[inside], self._counts(inside)
        return Cs[choose(scores, correct, groups, counts, np.array(Cs), self.usual_C)]

    def choose(self, Cs: Sequence[float]) -> float:
        """Return the chosen C, after trying those that can win on all folds."""
        self.screen(Cs)
        best = self._refined(Cs)
        # the others, which are many, are fitted again where they are needed
        self._fits = {key: fit for key, fit in self._fits.items() if key[1] in _around(Cs, best, 1)}
        done = _around(Cs, best, 1)
        self._fit_on(self._given.folds, done)
        while (best := max(done, key=lambda C: self._score(C, self._given.folds))) in (done[0], done[-1]):
            new = [C for C in _around(Cs, best, 1) if C not in done]
            if not new:
                break
            self._fit_on(self._given.folds, new)
            done = sorted([*done, *new])
        usual = np.log(self.usual_C)
        far = abs(np.log(best) - usual)
        others = [
            C
            for C in self._tried
            if C not in done and abs(np.log(C) - usual) < far and not self._is_worse(C, best, _CLOSE)
        ]
        for C in sorted(others, key=lambda C: abs(np.log(C) - usual)):
            self._fit_on(self._given.folds, [C])
            done.append(C)
            done.sort()
            if self._chosen(done, self._given.folds) == C:
                break
        self._done = done
        return self._chosen(done, self._given.folds)

    def _refined(self, Cs: Sequence[float]) -> float:
        """Return the best C on the first folds, between the strengths that were tried there."""
        folds, step = self._given.first, _stride(Cs)
        best = max(self._tried, key=lambda C: self._score(C, folds))
        while step := step // 2:
            near = _around(Cs, best, step)
            self._fit_on(folds, near)
            best = max(near, key=lambda C: self._score(C, folds))
        return best

    def all_folds(self, C: float) -> NDArray[np.bool_]:
        """Return whether each held-out row (m,) is correct for one C, by the order of folds."""
        self._fit_on(self._given.folds, [C])
        return self.correct(C, self._given.folds)

    def cross_validation(self) -> CrossValidation:
        """Return the held-out predictions for the values of C that `choose` has tried on all folds."""
        given, held, Cs = self._given, self._inside(self._given.folds), self._done
        C = self._chosen(Cs, given.folds)
        self._solving = None
        back = np.argsort(given.at.order[held], kind="stable")
        folds = np.repeat(given.folds, np.diff(given.at.ends))
        decisions = np.empty((held.stop, given.Y.shape[1]))
        for fold in given.folds:
            decisions[given.at.inside(fold)] = self._decisions(fold, C)
        return CrossValidation(
            rows=given.at.order[held][back],
            truth=given.Y[held][back].astype(np.float64),
            groups=given.groups[held][back],
            folds=folds[back],
            weights=self._counts(held)[back],
            Cs=tuple(Cs),
            scores=np.array([self._score(each, given.folds) for each in Cs]),
            position=Cs.index(C),
            decisions=decisions[back],
            correct=np.stack([self.correct(each, given.folds) for each in Cs], axis=1)[back],
            single=given.trainer.single,
        )

    def by_row(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values (m,) of held-out rows by the order of folds, in the order in which rows were given."""
        return values[np.argsort(self._given.at.order[self._inside(self._given.folds)], kind="stable")]

    def solution(self, C: float) -> Solution:
        """Return the classifier of all rows for C."""
        self._solving = None
        axes = self._axes
        solver, factor = self._given.solver(axes, None)
        start = self._fits.get((self._given.first[0], C))
        if start is not None:
            solver.start(*start)
        else:
            solver.warm_up(C)
        objective, converged = solver.minimise(C * factor, self._given.trainer.tol or LARGE_TOL)
        coef, intercept = axes.to_features(*solver.centred(solver.current.W, solver.current.b))
        return Solution(C, coef, intercept, objective, converged)


def _around(Cs: Sequence[float], C: float, step: int) -> list[float]:
    """Return a C and those a step below and above it, as far as there are any."""
    at = Cs.index(C)
    return [Cs[i] for i in (at - step, at, at + step) if 0 <= i < len(Cs)]


def _stride(Cs: Sequence[float]) -> int:
    return max(1, len(Cs) // _COARSE)
