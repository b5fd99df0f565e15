"""Which sets of rows are large, and the rows, targets and folds of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.axes import PrincipalAxes
from sightsound.linear.cross_validation import Scoring
from sightsound.linear.folds import Ints
from sightsound.linear.newton import Solver
from sightsound.linear.pieces import Pieces
from sightsound.linear.rotated import FoldOrder
from sightsound.linear.sampling import sample_groups
from sightsound.linear.training import Trainer

LARGE = 10**8
"""Rows times features times classes from which a set is large. The 45 usual strengths take about 10 s there."""

ENOUGH = 4000
"""Held-out rows that tell which strengths can win: the first folds have as many."""

TRAINED, TESTED = 4000, 8000
"""Rows in a sample that classifiers are fitted to, and held-out rows that show how good these are."""

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
    Y : bool array (m, k)
        Targets (m, k), in the order of `at`, which may have some of the rows alone.
    weights : array (m,)
        Weights (m,) of rows, in this order.
    at : FoldOrder
        The order.
    groups : int array (m,)
        Group (m,) of each row, in this order.
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
        return self._largest(ENOUGH)

    def _largest(self, rows: int) -> tuple[int, ...]:
        """Return the largest folds, as many as have a number of rows."""
        sizes = np.diff(self.at.ends)
        largest = np.argsort(-sizes, kind="stable")
        count = 1 + int(np.searchsorted(np.cumsum(sizes[largest]), rows))
        return tuple(sorted(largest[:count].tolist()))

    @property
    def row_weights(self) -> Matrix:
        """The weights (m,) of rows times those of their classes."""
        return self.trainer.weighted(self.Y, self.weights) if self.trainer.single else self.weights

    def sample(self) -> LargeSet:
        """Return a sample with a single fold, or this set where it has few rows more than a sample.

        The fold has rows of the largest folds, and what is fitted are rows of the others.
        """
        if len(self.Y) <= 2 * TESTED:
            return self
        held = np.concatenate([np.arange(*self.at.ends[fold : fold + 2]) for fold in self._largest(TESTED)])
        rest = np.setdiff1d(np.arange(len(self.Y)), held)
        classes = self.Y.argmax(axis=1)
        held, rest = (
            rows[sample_groups(classes[rows], self.groups[rows], count)]
            for rows, count in ((held, TESTED), (rest, TRAINED))
        )
        rows = np.concatenate([held, rest])
        at = FoldOrder(self.at.order[rows], np.array([0, len(held)]))
        return replace(self, Y=self.Y[rows], weights=self.weights[rows], at=at, groups=self.groups[rows])

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
    """Return whether a set is large, and of the kind that `LargeSearch` is for.

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
