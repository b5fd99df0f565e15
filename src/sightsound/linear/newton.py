"""Fit linear classifiers for a path of C by a truncated Newton method, in NumPy.

For n rows with weights w_i, decision values F = Z W + 1 b^T of features Z (n, r), coefficients W (r, k) and intercept
b (k,), the objective is that of scikit-learn and LIBLINEAR:

    f(W, b) = 1/2 |W|² + C sum_i w_i l_i(F_i)

with gradient (G and H_i: gradient and Hessian of the losses in F, see `losses`)

    df/dW = W + C Z^T diag(w) G          (r, k)
    df/db = C sum_i w_i G_i              (k,)

and the product of its Hessian with a direction P (r, k), p (k,), where the rows of D = Z P + 1 p^T are D_i

    P + C Z^T diag(w) [H_i D_i]          (r, k)
    C sum_i w_i H_i D_i                  (k,)

The method is truncated Newton-CG (Nocedal and Wright, Numerical Optimization, 2006, chapter 7; for logistic regression:
Lin, Weng and Keerthi, Trust region Newton method for logistic regression, JMLR 2008). Each step solves the Newton
equations approximately by conjugate gradients, and a line search follows. What differs from these sources:

* Preconditioner: Z are the features in their principal axes (`axes`), where Z^T diag(w) Z = diag(e). With the mean
  curvature h_j of column j in place of that of each row, the Hessian has the diagonal 1 + e h_j^T, by which the
  conjugate gradients are preconditioned. Rows fewer than features also shrink the problem to r <= n.
* Warm start: C rises, and each solution starts at the better of the last one and its linear extrapolation in log C.
* Precision: the products of the conjugate gradients are float32, since the truncated step is inexact anyway.
  Objective and line search are float64.

L-BFGS on the same axes takes 1 to 5 times as long (`tests/benchmarks/probe_speed.py`): 1 to 3.5 times for three values
of C on 50,000 rows, 3 to 5 times for the 45 values of `LinearProbe` on 3,000 rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.axes import PrincipalAxes
from sightsound.linear.losses import Loss, Softmax
from sightsound.linear.pieces import Pieces, blocks
from sightsound.linear.scaling import Scaling

_MAX_NEWTON = 100  # steps for one C; three are usual
_MAX_SEARCH = 40  # points of a line search
_MAX_CG = 100  # conjugate gradients for one step; ten are usual
_WARM_UP = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)  # values of C on the way from zeros to a large first C


@dataclass(frozen=True)
class Solution:
    """A linear classifier that minimises the objective for one C.

    Attributes
    ----------
    C : float
        Inverse regularisation strength.
    coef, intercept : arrays
        (d, k) and (k,): decision values are X @ coef + intercept.
    objective : float
        Value of the objective.
    converged : bool
        Whether a further Newton step promises less than the tolerance.
    centre : array (d,), optional
        What X was centred on, see `scaling.around`.
    """

    C: float
    coef: Matrix
    intercept: Matrix
    objective: float
    converged: bool = True
    centre: Matrix | None = None


def join(parts: Sequence[Solution]) -> Solution:
    """Return solutions of single columns, for one C, as one of all columns."""
    coef, intercept = np.hstack([part.coef for part in parts]), np.hstack([part.intercept for part in parts])
    converged = all(part.converged for part in parts)
    return Solution(parts[0].C, coef, intercept, sum(part.objective for part in parts), converged)


def path(
    X: NDArray[Any],
    Y: Matrix,
    loss: Loss,
    Cs: Sequence[float],
    *,
    weights: Matrix | None = None,
    scaling: Scaling = "standard",
    tol: float = 1e-4,
    exact: bool = False,
    start: tuple[Matrix, Matrix] | None = None,
    rotation: Matrix | None = None,
) -> list[Solution]:
    """Return the solutions for a path of C.

    Parameters
    ----------
    X : array-like (n, d)
        Features (n, d).
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    loss : Loss
        The loss to minimise.
    Cs : sequence of float
        Rising values of C.
    weights : array (n,), optional
        Weights (n,) of rows, none negative. Rows of weight 0 do not count. None gives each the weight 1.
    scaling : {"none", "global", "unit", "centred", "standard"}
        Penalise the coefficients of features that are scaled so, see `PrincipalAxes.of`. Those returned are always on
        X.
    tol : float
        A solution is found where a further Newton step promises at most this proportion of the objective. Below 1e-6
        it needs `exact`.
    exact : bool
        Whether the gradient is float64; float32 otherwise.
    start : pair of arrays, optional
        Coefficients (d, k) and intercept (k,) to start from. None starts from zeros.
    rotation : array (d, d), optional
        Principal axes (d, d) of a larger sample of such rows. None computes those of X.

    Returns
    -------
    list of Solution
        One for each of `Cs`.

    Raises
    ------
    ValueError
        Where squares of the features overflow, which never happens with the scaling "standard".
    """
    weights = np.ones(len(X)) if weights is None else np.asarray(weights, np.float64)
    positive = weights > 0
    if not positive.all():
        X, Y, weights = X[positive], Y[positive], weights[positive]
    mean_weight = weights.mean()  # weights near 1 keep float32 within its range
    weights = weights / mean_weight
    axes = PrincipalAxes.of(X, weights, scaling=scaling, exact=exact, rotation=rotation)
    solver = Solver(axes, Y, weights, loss)
    if start is not None:
        solver.start(*axes.from_features(*start))
    else:
        solver.warm_up(Cs[0])
    solutions = []
    for C in Cs:
        objective, converged = solver.minimise(float(C) * mean_weight, tol)
        coef, intercept = axes.to_features(solver.current.W, solver.current.b)
        solutions.append(Solution(float(C), coef, intercept, objective, converged))
    return solutions


@dataclass(frozen=True)
class _Point:
    """Coefficients W (r, k), intercept b (k,), and the decision values F (n, k) that follow from them."""

    W: Matrix
    b: Matrix
    F: Matrix

    def plus(self, step: _Point, t: Any) -> _Point:
        return _Point(self.W + t * step.W, self.b + t * step.b, self.F + t * step.F)

    def minus(self, other: _Point) -> _Point:
        return _Point(self.W - other.W, self.b - other.b, self.F - other.F)


class Solver:
    """The objective on some rows, and its minimum for one C after the other; `current` is the last solution.

    Parameters
    ----------
    axes : PrincipalAxes
        The rows (n, r). They may be `Pieces`.
    Y : array (n, k)
        Targets (n, k) in {0, 1}.
    weights : array (n,)
        Positive weights (n,) of rows, of a mean near 1.
    loss : Loss
        The loss to minimise.
    dtype : type
        Precision of decision values and gradients. With float32, for rows in float32, memory is saved: half of
        these, and the solution before the last. The tolerance of `minimise` is then at least 1e-6.
    """

    def __init__(self, axes: PrincipalAxes, Y: Matrix, weights: Matrix, loss: Loss, dtype: Any = np.float64) -> None:
        (n, r), k = axes.Z.shape, Y.shape[1]
        self.Z, self.Z32, self.eigenvalues = axes.Z, axes.Z.astype(np.float32, copy=False), axes.eigenvalues
        self._saving = dtype == np.float32
        self.Y = Y.astype(np.int8 if self._saving else dtype, copy=False)
        self.weights, self.loss = weights, loss
        self._row_weights = weights.astype(dtype, copy=False)[:, None]
        self._precisions = [(np.float32, self.Z32)] if self._saving else [(np.float32, self.Z32), (dtype, self.Z)]
        self.current = _Point(np.zeros((r, k)), np.zeros(k), np.zeros((n, k), dtype))
        self._previous: _Point | None = None

    def start(self, W: Matrix, b: Matrix) -> None:
        """Move `current` to coefficients W (r, k) and intercept b (k,) on the axes."""
        dtype = self.current.F.dtype
        if dtype == np.float32:
            F = self.Z @ W.astype(dtype)
            F += b.astype(dtype)
        else:
            F = self.Z @ W + b
        self.current, self._previous = _Point(W, b, F), None

    def warm_up(self, C: float) -> None:
        """Move `current` from zeros to rough solutions on the way to C."""
        for rough in _WARM_UP[: int(np.searchsorted(_WARM_UP, C / 3))]:
            self.minimise(rough, 1e-2)

    def minimise(self, C: float, tol: float) -> tuple[float, bool]:
        """Move `current` to the solution for C. Return the objective there, and whether it converged."""
        point, decrease = self._warm_start(C), np.inf
        value, state = self._objective(point, C)
        for _ in range(_MAX_NEWTON):
            step, decrease = self._newton_step(point, state, C)
            state = np.empty(0)  # frees the state before the line search
            point, t = self._line_search(point, step, C, decrease)
            if self.Z.dtype == np.float64:  # remove the rounding errors of float32 steps
                point = self._recomputed(point)
            del step
            if self._saving:
                self.current = point  # frees the last point
            value, state = self._objective(point, C)
            if decrease <= tol * value or t == 0:
                break
        self._previous, self.current = None if self._saving else self.current, point
        return value, bool(abs(decrease) <= max(tol, 1e-7) * value)

    def _recomputed(self, point: _Point) -> _Point:
        """Return a point with its decision values computed again, without what a softmax does not depend on."""
        W, b = self.centred(point.W, point.b)
        return _Point(W, b, self.Z @ W + b)

    def centred(self, W: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
        """Return coefficients (r, k) and intercept (k,) without what a softmax does not depend on."""
        if isinstance(self.loss, Softmax):
            return W - W.mean(axis=1, keepdims=True), b - b.mean()
        return W, b

    def _warm_start(self, C: float) -> _Point:
        """Return the last solution, or the extrapolation of the last two if the objective is lower there."""
        if self._previous is None:
            return self.current
        extrapolated = self.current.plus(self.current.minus(self._previous), 1.0)
        return min(self.current, extrapolated, key=lambda point: self._objective(point, C)[0])

    def _objective(self, point: _Point, C: float) -> tuple[float, Matrix]:
        losses, state = self.loss.loss_state(point.F, self.Y)
        return float(C * (self.weights @ losses) + 0.5 * np.vdot(point.W, point.W)), state

    def _line_search(self, point: _Point, step: _Point, C: float, decrease: float) -> tuple[_Point, float]:
        """Return the point along a step where the directional derivative has halved, and the step length.

        It is found by the secant method within a bracket. The whole step is taken where the objective still decreases
        at its end, and none, of length 0, where it does not decrease at all. Each point costs no product with Z.
        """
        low, high, t, first = 0.0, 0.0, 1.0, -2 * decrease
        slope_low, slope_high = first, 0.0
        for _ in range(_MAX_SEARCH if decrease > 0 else 0):
            slope = self._directional_derivative(point, step, t, C)
            if abs(slope) <= 0.5 * abs(first) or (slope < 0 and not high):
                return point.plus(step, t), t
            if slope > 0:
                high, slope_high = t, slope
            else:
                low, slope_low = t, slope
            secant, width = low + (high - low) * slope_low / (slope_low - slope_high), high - low
            t = min(max(secant, low + 0.1 * width), high - 0.1 * width)
        return point, 0.0

    def _directional_derivative(self, point: _Point, step: _Point, t: float, C: float) -> float:
        """Return the derivative along a step at a part t of it, by blocks of rows where there are `Pieces`."""
        losses: Any = 0.0
        for rows, _ in blocks(self.Z):
            Y, step_F = self.Y[rows], step.F[rows]
            state = self.loss.loss_state(point.F[rows] + t * step_F, Y)[1]
            losses = losses + np.einsum("i,ik,ik->", self.weights[rows], self.loss.gradient(state, Y), step_F)
        return float(C * losses + np.vdot(point.W + t * step.W, step.W))

    def _newton_step(self, point: _Point, state: Matrix, C: float) -> tuple[_Point, float]:
        """Return the truncated Newton step, and the decrease of the objective that it promises."""
        Cw = C * self._row_weights
        G = Cw * self.loss.gradient(state, self.Y)
        grad_W = self.Z.T @ G.astype(self.Z.dtype, copy=False) + point.W
        grad_b = G.sum(axis=0, dtype=np.float64)
        del G
        M_W, M_b = self._preconditioner(state, C)
        hessian, step, decrease = self.loss.hessian(state), point, 0.0
        for dtype, Z in self._precisions:
            rounded = tuple(part.astype(dtype, copy=False) if part.dtype.kind == "f" else part for part in hessian)
            system = _NewtonSystem(
                self.loss, Z, rounded, Cw.astype(dtype, copy=False), M_W.astype(dtype), M_b.astype(dtype)
            )
            step = system.solve(grad_W, grad_b)
            decrease = -float(np.vdot(grad_W, step.W) + grad_b @ step.b) / 2
            if decrease > 0:  # otherwise the rounding errors exceed the decrease that is left
                break
        return step, decrease

    def _preconditioner(self, state: Matrix, C: float) -> tuple[Matrix, Matrix]:
        """Return the inverse of the Hessian's approximate diagonal, for W (r, k) and b (k,)."""
        curvature = C * (self._row_weights[:, 0] @ self.loss.hessian_diagonal(state))
        total = self.weights.sum()
        M_W = 1 / (1 + np.outer(self.eigenvalues, curvature / total))
        return M_W, 1 / np.maximum(curvature, 1e-6 * C * total)


@dataclass(frozen=True)
class _NewtonSystem:
    """The Newton equations at one point, in one precision.

    `hessian` are the arrays of the loss, `Cw` (n, 1) is C times the row weights, and `M_W` (r, k) and `M_b` (k,) are
    the preconditioner.
    """

    loss: Loss
    Z: NDArray[Any] | Pieces
    hessian: tuple[NDArray[Any], ...]
    Cw: NDArray[Any]
    M_W: NDArray[Any]
    M_b: NDArray[Any]

    def solve(self, grad_W: Matrix, grad_b: Matrix) -> _Point:
        """Return the step that preconditioned conjugate gradients find."""
        dtype = self.M_W.dtype.type
        r_W, r_b = (-grad_W).astype(dtype), (-grad_b).astype(dtype)
        x_W, x_b, x_F = np.zeros_like(r_W), np.zeros_like(r_b), np.zeros((len(self.Z), len(r_b)), dtype)
        z_W, z_b = self.M_W * r_W, self.M_b * r_b
        p_W, p_b = z_W, z_b
        squared = first = float(np.vdot(r_W, z_W) + r_b @ z_b)
        for _ in range(_MAX_CG):
            H_W, H_b, p_F = self._hessian_times(p_W, p_b)
            curvature = float(np.vdot(p_W, H_W) + p_b @ H_b)
            if not curvature > 0:
                break
            alpha = dtype(squared / curvature)
            x_W, x_b = x_W + alpha * p_W, x_b + alpha * p_b
            p_F *= alpha
            x_F += p_F
            del p_F
            r_W, r_b = r_W - alpha * H_W, r_b - alpha * H_b
            z_W, z_b = self.M_W * r_W, self.M_b * r_b
            last, squared = squared, float(np.vdot(r_W, z_W) + r_b @ z_b)
            if squared <= self.loss.cg_tol * first:
                break
            beta = dtype(squared / last)
            p_W, p_b = z_W + beta * p_W, z_b + beta * p_b
        return _Point(x_W, x_b, x_F)

    def _hessian_times(self, p_W: Any, p_b: Any) -> tuple[Any, Any, Any]:
        """Return the Hessian times a direction, and the decision values (n, k) of the direction."""
        p_F: Any = np.empty((len(self.Z), len(p_b)), p_W.dtype)
        H_W, H_b = p_W, np.zeros_like(p_b)
        for rows, Z in blocks(self.Z):
            np.matmul(Z, p_W, out=p_F[rows])
            p_F[rows] += p_b
            H_F = self.loss.hessian_product(tuple(part[rows] for part in self.hessian), p_F[rows])
            H_F *= self.Cw[rows]
            H_W = Z.T @ H_F + H_W
            H_b = H_b + H_F.sum(axis=0)
        return H_W, H_b, p_F
