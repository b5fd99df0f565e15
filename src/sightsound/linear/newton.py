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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.losses import Loss, Softmax

_NEWTON = 100  # steps for one strength; three are usual
_LEADS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)  # strengths on the way from zeros to a great one
_SEARCH = 40  # points along a step
_CONJUGATE = 100  # inner iterations for one step; ten are usual
_BLOCK = 256  # features that are scaled at once
_RANK = 1e-12  # axes with less than this part of the largest variance carry nothing but rounding


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
    def of(
        cls,
        X: NDArray[Any],
        weights: Matrix,
        *,
        standardize: bool = True,
        exact: bool = False,
        turn: Matrix | None = None,
    ) -> Axes:
        """X (n, d), weights (n,) positive; Z is float64 if `exact`, else float32. A constant feature is left as it is,
        and gets no coefficient. `turn` (d, d) are the axes of more rows of the same kind, which are nearly these."""
        n, d = X.shape
        dtype = np.float64 if exact else np.float32
        A: Matrix = np.empty((n, d), np.float64 if n <= d else dtype)
        mean, scale = np.zeros(d), np.ones(d)
        for at in range(0, d, _BLOCK):
            part = slice(at, at + _BLOCK)
            A[:, part], mean[part], scale[part] = _standard(X[:, part], weights, standardize)
        root = np.sqrt(weights)[:, None]
        if turn is not None:
            Z = A @ turn.astype(A.dtype)
            spread = np.einsum("n,nr,nr->r", weights, Z, Z, dtype=np.float64)
            return cls(Z.astype(dtype, copy=False), spread, turn, mean, scale)
        if n > d:
            R = A * root.astype(dtype)
            spread, turn = _turned(R.T, R, dtype)
            return cls(A @ turn.astype(dtype), np.maximum(spread, 0), turn, mean, scale)
        R = A * root
        spread, rows = _turned(R, R.T, np.float64)
        kept = spread > max(spread[-1], 0) * _RANK
        spread, rows = spread[kept], rows[:, kept]
        length = np.sqrt(spread)
        return cls((rows * length / root).astype(dtype), spread, R.T @ (rows / length), mean, scale)

    def back(self, W: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
        """Weights (r, k) and intercept (k,) on the axes -> coefficients (d, k) and intercept (k,) on the features as
        they came."""
        coef = self.turn @ W / self.scale[:, None]
        return coef, b - self.mean @ coef

    def there(self, coef: Matrix, intercept: Matrix) -> tuple[Matrix, Matrix]:
        """The other way round, as far as the axes reach."""
        return self.turn.T @ (coef * self.scale[:, None]), intercept + self.mean @ coef


def _standard(X: NDArray[Any], weights: Matrix, standardize: bool) -> tuple[Matrix, Matrix, Matrix]:
    """Some features centred and scaled, their means and scales; in float64, and whatever their size."""
    mean = np.average(X.astype(np.float64), axis=0, weights=weights)
    A = X - mean
    if not standardize:
        return A, mean, np.ones(len(mean))
    most = np.abs(A).max(axis=0)
    safe = np.where(most > 0, most, 1.0)
    scale = safe * np.sqrt(np.average(np.square(A / safe), axis=0, weights=weights))
    rounding = 8 * np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps
    still = (most == 0) | (scale <= rounding * np.abs(mean))  # constant, or what rounding has left of one
    return np.where(still, 0.0, A / np.where(still, 1.0, scale)), mean, np.where(still, 1.0, scale)


def _turned(left: Matrix, right: Matrix, dtype: Any) -> tuple[Matrix, Matrix]:
    """Eigenvalues, rising, and eigenvectors of a product of a matrix with its transpose, in some precision."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            gram = (left @ right).astype(dtype)
        if np.isfinite(gram).all():
            spread, turn = np.linalg.eigh(gram)
            return spread.astype(np.float64), turn.astype(np.float64)
    except np.linalg.LinAlgError:
        pass
    raise ValueError("X: expected numbers whose squares can be added up, got larger ones; use standardize=True")


@dataclass(frozen=True)
class Solution:
    """A linear classifier for the strength `C`: decisions are X @ coef (d, k) + intercept (k,). `objective` is the
    value of what was minimised, and `converged` whether no further step would lower it by as much as was asked for."""

    C: float
    coef: Matrix
    intercept: Matrix
    objective: float
    converged: bool = True


def joined(parts: Sequence[Solution]) -> Solution:
    """Solutions of several columns, for one strength, side by side."""
    coef, intercept = np.hstack([part.coef for part in parts]), np.hstack([part.intercept for part in parts])
    converged = all(part.converged for part in parts)
    return Solution(parts[0].C, coef, intercept, sum(part.objective for part in parts), converged)


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
    start: tuple[Matrix, Matrix] | None = None,
    turn: Matrix | None = None,
) -> list[Solution]:
    """Solutions for rising `strengths` on features X (n, d) and targets Y (n, k) in {0, 1}.

    `weights` (n,) are those of rows, none negative; rows of weight 0 do not count. `tol` is the part of the objective
    that a further Newton step may promise at most; below 1e-6 it needs the `exact` way, with a gradient in float64.
    `start` are coefficients (d, k) and intercept (k,) to begin with, zeros otherwise; `turn` (d, d) the axes of more
    rows of the same kind (`Axes.turn`), which saves finding those of these.
    """
    weights = np.ones(len(X)) if weights is None else np.asarray(weights, np.float64)
    there = weights > 0
    if not there.all():
        X, Y, weights = X[there], Y[there], weights[there]
    usual = weights.mean()  # weights near 1 keep float32 within its range
    weights = weights / usual
    axes = Axes.of(X, weights, standardize=standardize, exact=exact, turn=turn)
    fit = _Fit(axes, Y, weights, loss)
    if start is not None:
        W, b = axes.there(*start)
        fit.here = _Point(W, b, axes.Z @ W + b)
    else:
        for lead in _LEADS[: int(np.searchsorted(_LEADS, strengths[0] / 3))]:
            fit.go(lead, 1e-2)
    found = []
    for C in strengths:
        objective, converged = fit.go(float(C) * usual, tol)
        found.append(Solution(float(C), *axes.back(fit.here.W, fit.here.b), objective, converged))
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
        self.Y, self.weights, self.loss = Y, weights, loss
        self.here = _Point(np.zeros((r, k)), np.zeros(k), np.zeros((n, k)))
        self._before: _Point | None = None

    def go(self, C: float, tol: float) -> tuple[float, bool]:
        """Moves `here` to the solution for C; the objective there, and whether it converged."""
        point, promised = self._start(C), np.inf
        value, state = self._value(point, C)
        for _ in range(_NEWTON):
            step, promised = self._step(point, state, C)
            point, t = self._search(point, step, C, promised)
            if self.Z.dtype == np.float64:  # what the float32 steps left behind
                point = self._exact(point)
            value, state = self._value(point, C)
            if promised <= tol * value or t == 0:
                break
        self._before, self.here = self.here, point
        return value, bool(abs(promised) <= max(tol, 1e-7) * value)

    def _exact(self, point: _Point) -> _Point:
        """The same point with decisions anew. A softmax says nothing of what all classes have in common: that goes."""
        W, b = point.W, point.b
        if isinstance(self.loss, Softmax):
            W, b = W - W.mean(axis=1, keepdims=True), b - b.mean()
        return _Point(W, b, self.Z @ W + b)

    def _start(self, C: float) -> _Point:
        """Where the last two solutions point to, if it is better there than at the last."""
        if self._before is None:
            return self.here
        further = self.here.ahead(self.here.since(self._before), 1.0)
        return min(self.here, further, key=lambda point: self._value(point, C)[0])

    def _value(self, point: _Point, C: float) -> tuple[float, Matrix]:
        losses, state = self.loss.at(point.F, self.Y)
        return float(C * (self.weights @ losses) + 0.5 * np.vdot(point.W, point.W)), state

    def _search(self, point: _Point, step: _Point, C: float, promised: float) -> tuple[_Point, float]:
        """The point along a step where the slope is at most half of the first, by the secant, or all the way where it
        still goes down there; and how far that is, 0 where it does not go down at all. Decisions cost nothing."""
        low, high, t, first = 0.0, 0.0, 1.0, -2 * promised
        at_low, at_high = first, 0.0
        for _ in range(_SEARCH if promised > 0 else 0):
            there = point.ahead(step, t)
            along = self._along(there, step, C)
            if abs(along) <= 0.5 * abs(first) or (along < 0 and not high):
                return there, t
            if along > 0:
                high, at_high = t, along
            else:
                low, at_low = t, along
            secant, wide = low + (high - low) * at_low / (at_low - at_high), high - low
            t = min(max(secant, low + 0.1 * wide), high - 0.1 * wide)
        return point, 0.0

    def _along(self, there: _Point, step: _Point, C: float) -> float:
        """The derivative of the objective along a step."""
        state = self.loss.at(there.F, self.Y)[1]
        losses = np.einsum("i,ik,ik->", self.weights, self.loss.slope(state, self.Y), step.F)
        return float(C * losses + np.vdot(there.W, step.W))

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
        curvature, step, promised = self.loss.curvature(state), point, 0.0
        for dtype, Z in ((np.float32, self.Z32), (np.float64, self.Z)):
            parts = tuple(part.astype(dtype) if part.dtype.kind == "f" else part for part in curvature)
            newton = _Newton(self.loss, Z, parts, weighted.astype(dtype), M.astype(dtype), Mb.astype(dtype))
            step = newton.solve(gW, gb)
            promised = -float(np.vdot(gW, step.W) + gb @ step.b) / 2
            if promised > 0:  # else its rounding was larger than what is left to gain
                break
        return step, promised


@dataclass(frozen=True)
class _Newton:
    """The Newton equations at one point, in one precision: rows on the axes (n, r), what the loss needs there, C times
    weight of each row (n, 1), and the inverse of the Hessian's diagonal, for weights (r, k) and intercept (k,)."""

    loss: Loss
    Z: NDArray[Any]
    curvature: tuple[NDArray[Any], ...]
    weighted: NDArray[Any]
    M: NDArray[Any]
    Mb: NDArray[Any]

    def solve(self, gW: Matrix, gb: Matrix) -> _Point:
        """Preconditioned conjugate gradients, until the squared residual is small."""
        real = self.M.dtype.type
        rW, rb = (-gW).astype(real), (-gb).astype(real)
        x = _Point(np.zeros_like(rW), np.zeros_like(rb), np.zeros((len(self.Z), len(rb)), real))
        zW, zb = self.M * rW, self.Mb * rb
        pW, pb = zW, zb
        size = first = float(np.vdot(rW, zW) + rb @ zb)
        for _ in range(_CONJUGATE):
            HW, Hb, pF = self._times(pW, pb)
            curvature = float(np.vdot(pW, HW) + pb @ Hb)
            if not curvature > 0:
                break
            a = real(size / curvature)
            x = x.ahead(_Point(pW, pb, pF), a)
            rW, rb = rW - a * HW, rb - a * Hb
            zW, zb = self.M * rW, self.Mb * rb
            last, size = size, float(np.vdot(rW, zW) + rb @ zb)
            if size <= self.loss.small * first:
                break
            turn = real(size / last)
            pW, pb = zW + turn * pW, zb + turn * pb
        return x

    def _times(self, pW: Any, pb: Any) -> tuple[Any, Any, Any]:
        """The Hessian times a direction, and what the direction does to the decisions (n, k)."""
        pF = self.Z @ pW
        pF += pb
        H = self.loss.times(self.curvature, pF)
        H *= self.weighted
        HW = self.Z.T @ H
        HW += pW
        return HW, H.sum(axis=0), pF
