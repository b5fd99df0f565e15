"""Linear classifiers for a whole path of strengths at once: a truncated Newton method, in NumPy.

What is minimised is scikit-learn's and liblinear's objective, ½ |coef|² + C Σ weight · loss, the intercept free, on
features that were centred and scaled. Three things make it fast. The features are turned into their principal axes,
where the Hessian is nearly diagonal, so that a few conjugate gradients are a Newton step; and there are never more axes
than rows. Each strength starts from where the two before it point to, since solutions hardly bend along the logarithm
of C. And the inner products are float32, which a Newton step does not notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[Any]
"""Real numbers; float64 unless it says otherwise."""

_NEWTON = 60  # steps for one strength; three are usual
_CONJUGATE = 400  # inner iterations for one step; ten are usual
_SMALL = 1e-2  # the squared norm of the residual, of the first, at which they end
_RANK = 1e-12  # axes with less than this part of the largest variance carry nothing but rounding


class Loss(Protocol):
    """A convex loss of decisions F (n, k) against targets Y (n, k) in {0, 1}, and its first two derivatives in F.

    `at` gives the loss of each row (n,) and what the others need of F.
    """

    def at(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]: ...
    def slope(self, state: Matrix, Y: Matrix) -> Matrix: ...
    def bend(self, state: Matrix) -> Matrix: ...
    def times(self, state: Matrix, D: Matrix) -> Matrix: ...


class Softmax:
    """Multinomial logistic regression: cross-entropy over the columns."""

    def at(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        highest = F.max(axis=1, keepdims=True)
        P = np.exp(F - highest)
        total = P.sum(axis=1, keepdims=True)
        P /= total
        return (np.log(total) + highest)[:, 0] - np.einsum("ij,ij->i", F, Y), P

    def slope(self, state: Matrix, Y: Matrix) -> Matrix:
        return state - Y

    def bend(self, state: Matrix) -> Matrix:
        found: Matrix = state * (1 - state)
        return found

    def times(self, state: Matrix, D: Matrix) -> Matrix:
        PD = state * D
        PD -= state * PD.sum(axis=1, keepdims=True)
        return PD


class _Columns:
    """Losses in which every column is a problem of its own."""

    def bend(self, state: Matrix) -> Matrix:
        raise NotImplementedError

    def times(self, state: Matrix, D: Matrix) -> Matrix:
        return self.bend(state) * D


class Sigmoid(_Columns):
    """Logistic regression of each column: two classes, or labels of which a row may have several."""

    def at(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        return (np.logaddexp(0, F) - Y * F).sum(axis=1), 0.5 * (1 + np.tanh(F / 2))

    def slope(self, state: Matrix, Y: Matrix) -> Matrix:
        return state - Y

    def bend(self, state: Matrix) -> Matrix:
        found: Matrix = state * (1 - state)
        return found


class SquaredHinge(_Columns):
    """The linear support vector machine of each column against the rest, loss max(0, 1 - ±F)²; the state is how far
    F falls short of its margin, with the sign of the target."""

    def at(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        signs = 2 * Y - 1
        short = signs * np.maximum(0, 1 - signs * F)
        return (short**2).sum(axis=1), short

    def slope(self, state: Matrix, Y: Matrix) -> Matrix:
        return -2 * state

    def bend(self, state: Matrix) -> Matrix:
        found: Matrix = 2 * (state != 0).astype(state.dtype)
        return found


class SquaredError(_Columns):
    """Ridge on targets of ±1: alpha of scikit-learn's RidgeClassifier is 1 / (2 C)."""

    def at(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        off = F - (2 * Y - 1)
        return (off**2).sum(axis=1), off

    def slope(self, state: Matrix, Y: Matrix) -> Matrix:
        return 2 * state

    def bend(self, state: Matrix) -> Matrix:
        return np.full_like(state, 2)


@dataclass(frozen=True)
class Axes:
    """Rows of features in the principal axes of the (weighted) rows: `Z` (n, r), the squared lengths `spread` (r,) of
    the weighted columns, and how to come back: `turn` (d, r), `mean` and `scale` (d,)."""

    Z: NDArray[Any]
    spread: Matrix
    turn: Matrix
    mean: Matrix
    scale: Matrix

    @classmethod
    def of(cls, X: NDArray[Any], weights: Matrix, *, standardize: bool = True, exact: bool = False) -> Axes:
        """X (n, d), weights (n,) positive; Z is float64 if `exact`, else float32. A constant feature is left as it is,
        and gets no coefficient."""
        n, d = X.shape
        dtype = np.float64 if exact else np.float32
        mean = np.average(X, axis=0, weights=weights).astype(np.float64)
        A: Matrix = (X - mean).astype(np.float64 if n <= d else dtype, copy=False)
        scale = np.ones(d)
        if standardize:
            scale = np.sqrt(np.average(np.square(A), axis=0, weights=weights).astype(np.float64))
            rounding = 8 * np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps
            scale[scale <= rounding * np.abs(mean)] = 1.0  # a constant, or what rounding has left of one
            A /= scale.astype(A.dtype)
        root = np.sqrt(weights)[:, None]
        if n > d:
            R = A * root.astype(dtype)
            spread, turn = np.linalg.eigh((R.T @ R).astype(np.float64))
            return cls(A @ turn.astype(dtype), np.maximum(spread, 0), turn, mean, scale)
        R = A * root
        spread, rows = np.linalg.eigh(R @ R.T)
        kept = spread > max(spread[-1], 0) * _RANK
        spread, rows = spread[kept], rows[:, kept]
        length = np.sqrt(spread)
        return cls((rows * length / root).astype(dtype), spread, R.T @ (rows / length), mean, scale)

    def back(self, W: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
        """Weights (r, k) and intercept (k,) on the axes -> coefficients (d, k) and intercept (k,) on the features as
        they came."""
        coef = self.turn @ W / self.scale[:, None]
        return coef, b - self.mean @ coef


@dataclass(frozen=True)
class Solution:
    """A linear classifier for the strength `C`: decisions are X @ coef (d, k) + intercept (k,). `objective` is the
    value of what was minimised."""

    C: float
    coef: Matrix
    intercept: Matrix
    objective: float


def joined(parts: Sequence[Solution]) -> Solution:
    """Solutions of several columns, for one strength, side by side."""
    coef, intercept = np.hstack([part.coef for part in parts]), np.hstack([part.intercept for part in parts])
    return Solution(parts[0].C, coef, intercept, sum(part.objective for part in parts))


def path(
    X: NDArray[Any],
    Y: Matrix,
    loss: Loss,
    strengths: Sequence[float],
    *,
    weights: Matrix | None = None,
    standardize: bool = True,
    tol: float = 1e-4,
    exact: bool = False,
) -> list[Solution]:
    """Solutions for rising `strengths` on features X (n, d) and targets Y (n, k) in {0, 1}.

    `weights` (n,) are those of rows, none negative; rows of weight 0 do not count. `tol` is the part of the objective
    that a further Newton step may promise at most; below 1e-6 it needs the `exact` way, with a gradient in float64.
    """
    weights = np.ones(len(X)) if weights is None else np.asarray(weights, np.float64)
    there = weights > 0
    if not there.all():
        X, Y, weights = X[there], Y[there], weights[there]
    axes = Axes.of(X, weights, standardize=standardize, exact=exact)
    fit = _Fit(axes, Y, weights, loss)
    found = []
    for C in strengths:
        objective = fit.go(float(C), tol)
        coef, intercept = axes.back(fit.here.W, fit.here.b)
        if isinstance(loss, Softmax):  # which says nothing of what all classes have in common
            coef, intercept = coef - coef.mean(axis=1, keepdims=True), intercept - intercept.mean()
        found.append(Solution(float(C), coef, intercept, objective))
    return found


@dataclass(frozen=True)
class _Point:
    """Weights (r, k), intercept (k,), and the decisions (n, k) that they give."""

    W: Matrix
    b: Matrix
    F: Matrix

    def ahead(self, step: _Point, t: Any) -> _Point:
        return _Point(self.W + t * step.W, self.b + t * step.b, self.F + t * step.F)

    def since(self, other: _Point) -> _Point:
        return _Point(self.W - other.W, self.b - other.b, self.F - other.F)


class _Fit:
    """One problem on its axes; `here` is the solution of the last strength."""

    def __init__(self, axes: Axes, Y: Matrix, weights: Matrix, loss: Loss) -> None:
        (n, r), k = axes.Z.shape, Y.shape[1]
        self.Z, self.Z32, self.spread = axes.Z, axes.Z.astype(np.float32, copy=False), axes.spread
        self.Zt32 = np.ascontiguousarray(self.Z32.T)
        self.Y, self.weights, self.loss = Y, weights, loss
        self.here = _Point(np.zeros((r, k)), np.zeros(k), np.zeros((n, k)))
        self._before: _Point | None = None

    def go(self, C: float, tol: float) -> float:
        """Moves `here` to the solution for C; the objective there."""
        point = self._start(C)
        value, state = self._value(point, C)
        for _ in range(_NEWTON):
            step, promised = self._step(point, state, C)
            point, value, state, t = self._search(point, step, C, value, promised)
            if self.Z.dtype == np.float64:  # what the float32 steps left behind
                point = _Point(point.W, point.b, self.Z @ point.W + point.b)
                value, state = self._value(point, C)
            if promised <= tol * value or t == 0:
                break
        self._before, self.here = self.here, point
        return value

    def _start(self, C: float) -> _Point:
        """Where the last two solutions point to, if it is better there than at the last."""
        if self._before is None:
            return self.here
        further = self.here.ahead(self.here.since(self._before), 1.0)
        return min(self.here, further, key=lambda point: self._value(point, C)[0])

    def _value(self, point: _Point, C: float) -> tuple[float, Matrix]:
        losses, state = self.loss.at(point.F, self.Y)
        return float(C * (self.weights @ losses) + 0.5 * np.vdot(point.W, point.W)), state

    def _search(
        self, point: _Point, step: _Point, C: float, value: float, promised: float
    ) -> tuple[_Point, float, Matrix, float]:
        """The point along a step that is enough lower (Armijo), halving; the same point, t = 0, where none is."""
        t = 1.0
        sure = promised <= 1e-9 * value  # so near that float64 could not show it
        while t > 1e-6:
            there = point.ahead(step, t)
            lower, state = self._value(there, C)
            if sure or lower <= value - 1e-4 * t * promised:
                return there, lower, state, t
            t /= 2
        return point, value, self.loss.at(point.F, self.Y)[1], 0.0

    def _step(self, point: _Point, state: Matrix, C: float) -> tuple[_Point, float]:
        """The Newton step, and how much lower it promises to lead."""
        weighted = C * self.weights[:, None]
        slope = weighted * self.loss.slope(state, self.Y)
        gW = self.Z.T @ slope.astype(self.Z.dtype) + point.W
        gb = slope.sum(axis=0)
        bend = C * (self.weights @ self.loss.bend(state))
        total = self.weights.sum()
        M = 1 / (1 + np.outer(self.spread, bend / total))
        Mb = 1 / np.maximum(bend, 1e-6 * C * total)
        state32, weighted32 = state.astype(np.float32), weighted.astype(np.float32)
        newton = _Newton(self, state32, weighted32, M.astype(np.float32), Mb.astype(np.float32))
        step = newton.solve(gW, gb)
        return step, -float(np.vdot(gW, step.W) + gb @ step.b) / 2


@dataclass(frozen=True)
class _Newton:
    """The Newton equations at one point, in float32: the state of the loss there, C times weight of each row (n, 1),
    and the inverse of the Hessian's diagonal on the axes, for weights (r, k) and intercept (k,)."""

    fit: _Fit
    state: NDArray[np.float32]
    weighted: NDArray[np.float32]
    M: NDArray[np.float32]
    Mb: NDArray[np.float32]

    def solve(self, gW: Matrix, gb: Matrix) -> _Point:
        """Preconditioned conjugate gradients, until the residual is a tenth of the first."""
        rW, rb = (-gW).astype(np.float32), (-gb).astype(np.float32)
        x = _Point(np.zeros_like(rW), np.zeros_like(rb), np.zeros(self.state.shape, np.float32))
        zW, zb = self.M * rW, self.Mb * rb
        pW, pb = zW, zb
        size = first = float(np.vdot(rW, zW) + rb @ zb)
        for _ in range(_CONJUGATE):
            HW, Hb, pF = self._times(pW, pb)
            curvature = float(np.vdot(pW, HW) + pb @ Hb)
            if not curvature > 0:
                break
            a = np.float32(size / curvature)
            x = x.ahead(_Point(pW, pb, pF), a)
            rW, rb = rW - a * HW, rb - a * Hb
            zW, zb = self.M * rW, self.Mb * rb
            last, size = size, float(np.vdot(rW, zW) + rb @ zb)
            if size <= _SMALL * first:
                break
            pW, pb = zW + np.float32(size / last) * pW, zb + np.float32(size / last) * pb
        return x

    def _times(self, pW: Any, pb: Any) -> tuple[Any, Any, Any]:
        """The Hessian times a direction, and what the direction does to the decisions (n, k)."""
        pF = self.fit.Z32 @ pW
        pF += pb
        H = self.fit.loss.times(self.state, pF)
        H *= self.weighted
        HW = self.fit.Zt32 @ H
        HW += pW
        return HW, H.sum(axis=0), pF
