"""Choose how rows are prepared, and C, by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.cross_validation import (
    CLEARLY,
    CrossValidation,
    Scoring,
    cross_validate,
    difference,
    shared_rotation,
)
from sightsound.linear.folds import Ints
from sightsound.linear.large_comparison import compare
from sightsound.linear.large_search import LargeSearch
from sightsound.linear.large_set import LargeSet, is_large
from sightsound.linear.newton import Solution
from sightsound.linear.scaling import Preparation
from sightsound.linear.training import Trainer

_Prepared = tuple[Trainer, NDArray[Any], Matrix | None]  # a trainer, prepared rows and their axes

_ENOUGH = 100  # held-out groups from which preparations are compared
_ENOUGH_A_CLASS = 10  # of each class
_COARSE = 7  # about as many values of C are tried to compare preparations


@dataclass(frozen=True)
class Choice:
    """The chosen preparation, and the cross-validation that chose C.

    Attributes
    ----------
    preparation : Preparation
        How rows are prepared.
    cross_validation : CrossValidation
        The held-out predictions for each C.
    start : pair of arrays, optional
        Approximate coefficients (d, k) and intercept (k,) of all rows for the chosen C.
    solution : Solution, optional
        The classifier of all rows, instead of `start`. Large sets have it.
    """

    preparation: Preparation
    cross_validation: CrossValidation
    start: tuple[Matrix, Matrix] | None = None
    solution: Solution | None = None


@dataclass(frozen=True)
class Chooser:
    """What cross-validation needs besides the preparation.

    Attributes
    ----------
    trainer : Trainer
        What fits the classifiers.
    X : array (n, d)
        Rows (n, d), not prepared.
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    weights : array (n,)
        Weights (n,) of rows.
    folds, groups : int arrays (n,)
        Fold and group (n,) of each row. Rows of the fold -1 are never held out.
    scoring : str
        As of `LinearProbe`.
    """

    trainer: Trainer
    X: NDArray[Any]
    Y: Matrix
    weights: Matrix
    folds: Ints
    groups: Ints
    scoring: Scoring = "accuracy"

    def choose(self, preparations: Sequence[Preparation], Cs: Sequence[float]) -> Choice:
        """Return the choice among preparations, the usual one first, and values of C.

        Another preparation than the first must be clearly better than it. None is where examples are few.
        """
        if all(self._is_large(each) for each in preparations):
            return self._choose_large(preparations, Cs)
        preparation, compared = preparations[0], None
        if len(preparations) > 1 and self.has_enough():
            preparation, compared = self._compare(preparations, Cs[:: max(2, len(Cs) // _COARSE)])
        (trainer, X, rotation), found = self.cross_validate(preparation, Cs)
        found = replace(found, compared=compared)
        path = trainer.path(X, self.Y, self.weights, Cs[: found.position + 1], rotation=rotation)
        return Choice(preparation, found, (path[-1].coef, path[-1].intercept))

    def _is_large(self, preparation: Preparation) -> bool:
        return is_large(self.trainer, self.X, self.Y, self.weights, self.folds, preparation.scaling)

    def _large_set(self) -> LargeSet:
        how: dict[str, Any] = {"folds": self.folds, "groups": self.groups, "scoring": self.scoring}
        return LargeSet.of(self.trainer, self.X, self.Y, self.weights, **how)

    def _choose_large(self, preparations: Sequence[Preparation], Cs: Sequence[float]) -> Choice:
        """Return the choice for a large set."""
        given, compared = self._large_set(), None
        if len(preparations) > 1 and self.has_enough():
            search, compared = compare(given, preparations, Cs)
        else:
            search = LargeSearch(given, preparations[0], Cs)
        solution = search.solution(search.choose())  # before the held-out predictions take memory
        found = search.cross_validation()
        if compared is not None:
            found = replace(found, compared=search.by_row(compared)[:, None])
        return Choice(search.preparation, found, solution=solution)

    def held_out(self, preparation: Preparation) -> CrossValidation:
        """Return the held-out predictions for the usual C."""
        if self._is_large(preparation):
            search = LargeSearch(self._large_set(), preparation)
            search.choose()
            return search.cross_validation()
        C = preparation.usual_C(preparation.rows(self.X))
        return self.cross_validate(preparation, [C])[1]

    def has_enough(self) -> bool:
        """Return whether there are examples enough to compare preparations, or features."""
        held = self.folds >= 0
        sizes = [len(np.unique(self.groups[held & (column > 0)])) for column in self.Y.T]
        return len(np.unique(self.groups[held])) >= _ENOUGH and min(sizes) >= _ENOUGH_A_CLASS

    def _compare(
        self, preparations: Sequence[Preparation], Cs: Sequence[float]
    ) -> tuple[Preparation, NDArray[np.bool_]]:
        """Return the preparation with the most correct rows, and whether rows are correct for each C of the others.

        The C of each preparation is chosen among a few.
        """
        found = [self.cross_validate(each, Cs)[1] for each in preparations]
        best = clearly_best(found)
        return preparations[best], np.hstack([each.correct for i, each in enumerate(found) if i != best])

    def cross_validate(self, preparation: Preparation, Cs: Sequence[float]) -> tuple[_Prepared, CrossValidation]:
        """Return what fits prepared rows, and their held-out predictions for each C."""
        X, scaling = preparation.rows(self.X), preparation.scaling
        rotation = shared_rotation(X, self.weights, self.folds, scaling=scaling)
        trainer = replace(self.trainer, scaling=scaling)
        how: dict[str, Any] = {"folds": self.folds, "groups": self.groups, "scoring": self.scoring}
        how |= {"rotation": rotation, "usual_C": preparation.usual_C(X)}
        return (trainer, X, rotation), cross_validate(trainer, X, self.Y, self.weights, Cs, **how)


def clearly_best(found: Sequence[CrossValidation]) -> int:
    """Return the position of the one with the most correct rows, or 0 where none is clearly better than the first."""
    first = found[0]
    correct = [each.correct[:, each.position] for each in found]
    gains = [difference(each, correct[0], first.groups, first.weights) for each in correct]
    better = [i for i, (gain, error) in enumerate(gains) if gain > CLEARLY * error]
    return max(better, key=lambda i: gains[i][0], default=0)
