"""The convex problems that the parameters of a `LinearProbe` stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.decisions import decision_values, indicators
from sightsound.linear.losses import Loss, Sigmoid, Softmax, SquaredError, SquaredHinge
from sightsound.linear.newton import Solution, join, path
from sightsound.linear.scaling import Scaling, around

Kind = Literal["logistic", "svm", "ridge"]
ClassWeight = Mapping[Any, float] | Literal["balanced"] | None

LOSSES: dict[str, Callable[[], Loss]] = {"logistic": Sigmoid, "svm": SquaredHinge, "ridge": SquaredError}

CV_TOL = 1e-3  # of the objective; a smaller one changes the predictions of undecided rows alone
LARGE_TOL = 1e-5  # of the objective of a classifier that is kept, where the problem is not small
_SMALL = 10**7  # rows times features times classes up to which tight tolerances take no noticeable time
_TINY = 10**4  # the same up to which solutions in cross-validation are exact too


@dataclass(frozen=True)
class Trainer:
    """Fits linear classifiers with fixed parameters; see `LinearProbe` for their meaning.

    Attributes
    ----------
    kind, class_weight, tol : optional
        As of `LinearProbe`.
    scaling : {"none", "global", "unit", "centred", "standard"}
        As of `Preparation`. Rows are prepared already by `Preparation.rows`.
    classes : array (k,)
        Classes (k,).
    single : bool
        Whether each row has one class.
    """

    kind: Kind
    classes: NDArray[Any]
    single: bool
    class_weight: ClassWeight = None
    scaling: Scaling = "standard"
    tol: float | None = None

    @property
    def two_classes(self) -> bool:
        """Whether one column decides between two classes."""
        return self.single and len(self.classes) == 2

    def path(
        self,
        X: NDArray[Any],
        Y: Matrix,
        weights: Matrix,
        Cs: Sequence[float],
        *,
        exact: bool = False,
        start: tuple[Matrix, Matrix] | None = None,
        rotation: Matrix | None = None,
    ) -> list[Solution]:
        """Return the solutions for a path of C.

        Parameters
        ----------
        X : array-like (n, d)
            Rows (n, d).
        Y : array (n, k)
            Targets (n, k) in {0, 1}.
        weights : array (n,)
            Weights (n,) of rows, without those of classes.
        Cs : sequence of float
            Rising values of C.
        exact : bool
            Minimise to `tol`, rather than to the tolerance of cross-validation.
        start, rotation : optional
            As of `newton.path`.

        Returns
        -------
        list of Solution
            One for each of `Cs`. Two classes share one column.
        """
        centre = None
        if self.scaling == "centred":
            centre = np.average(X.astype(np.float64), axis=0, weights=weights)
        settings: dict[str, Any] = {"exact": exact, "start": start, "rotation": rotation}
        found = self._path(around(X, centre), Y, weights, Cs, **settings)
        return [replace(solution, centre=centre) for solution in found]

    def _path(
        self,
        X: NDArray[Any],
        Y: Matrix,
        weights: Matrix,
        Cs: Sequence[float],
        *,
        exact: bool,
        start: tuple[Matrix, Matrix] | None,
        rotation: Matrix | None,
    ) -> list[Solution]:
        """Return the solutions for centred rows."""
        size = X.shape[0] * X.shape[1] * Y.shape[1]
        exact = exact or size <= _TINY
        tol = self.tol if self.tol is not None else 1e-12 if size <= _SMALL else LARGE_TOL
        settings: dict[str, Any] = {
            "scaling": self.scaling,
            "tol": tol if exact else CV_TOL,
            "exact": exact,
            "rotation": rotation,
        }
        loss = LOSSES[self.kind]
        if not self.single and self.class_weight is not None:  # each label has its own row weights
            columns = np.split(Y, Y.shape[1], axis=1)
            parts = [path(X, y, loss(), Cs, weights=self.weighted(y, weights), **settings) for y in columns]
            return [join(same_C) for same_C in zip(*parts)]
        if self.single:
            weights = self.weighted(Y, weights)
        targets, made = self.problem(Y)
        return path(X, targets, made, Cs, weights=weights, start=start, **settings)

    def problem(self, Y: Matrix) -> tuple[Matrix, Loss]:
        """Return the columns of targets Y (n, k) that are fitted together, and their loss."""
        if self.two_classes:
            return Y[:, 1:], LOSSES[self.kind]()
        return Y, Softmax() if self.kind == "logistic" and self.single else LOSSES[self.kind]()

    def decisions(self, X: NDArray[Any], solution: Solution) -> Matrix:
        """Return the decision values (n, k) of rows X (n, d)."""
        X = around(X, solution.centre)
        return decision_values(X, solution.coef, solution.intercept, two_classes=self.two_classes)

    def predict(self, decisions: Matrix) -> Matrix:
        """Return the classes (n, k) in {0, 1} that decision values (n, k) predict."""
        return indicators(decisions, self.single, threshold=0.0)

    def weighted(self, Y: Matrix, weights: Matrix) -> Matrix:
        """Return row weights times class weights (n,) for targets Y (n, k).

        Y (n, 1) is one label: its absence and presence are classes.
        """
        if self.class_weight is None:
            return weights
        members = np.hstack([1 - Y, Y]) if Y.shape[1] == 1 else Y
        if self.class_weight == "balanced":
            sums = members.T @ weights
            factors = sums.sum() / (len(sums) * np.maximum(sums, 1e-300))
        else:
            assert isinstance(self.class_weight, Mapping)
            names = [0, 1] if Y.shape[1] == 1 else self.classes.tolist()
            factors = np.array([float(self.class_weight.get(name, 1.0)) for name in names])
        weighted: Matrix = weights * (members @ factors)
        return weighted
