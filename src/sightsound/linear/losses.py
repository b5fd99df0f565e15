"""What linear classifiers are fitted to: convex losses of decisions, and their derivatives."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix


class Loss(Protocol):
    """A convex loss of decisions F (n, k) against targets Y (n, k) in {0, 1}, and its first two derivatives in F.

    `at` gives the loss of each row (n,) and what the others need of F. `curvature` makes of that what `times` needs to
    multiply a direction D (n, k) by the second derivatives, in the precision of D. `small` is the part of the first
    squared residual at which conjugate gradients end: where the second derivative jumps, half a step leads astray.
    """

    small: float

    def at(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]: ...
    def slope(self, state: Matrix, Y: Matrix) -> Matrix: ...
    def bend(self, state: Matrix) -> Matrix: ...
    def curvature(self, state: Matrix) -> tuple[NDArray[Any], ...]: ...
    def times(self, curvature: tuple[NDArray[Any], ...], D: Matrix) -> Matrix: ...


class Softmax:
    """Multinomial logistic regression: cross-entropy over the columns."""

    small = 1e-1

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

    def curvature(self, state: Matrix) -> tuple[NDArray[Any], ...]:
        return state, state.argmax(axis=1)[:, None]

    def times(self, curvature: tuple[NDArray[Any], ...], D: Matrix) -> Matrix:
        P, likeliest = curvature
        D = D - np.take_along_axis(D, likeliest, axis=1)  # or a P near 1 would take float32's digits away
        D -= (P * D).sum(axis=1, keepdims=True)
        D *= P
        return D


class _Columns:
    """Losses in which every column is a problem of its own."""

    small = 1e-1

    def bend(self, state: Matrix) -> Matrix:
        raise NotImplementedError

    def curvature(self, state: Matrix) -> tuple[NDArray[Any], ...]:
        return (self.bend(state),)

    def times(self, curvature: tuple[NDArray[Any], ...], D: Matrix) -> Matrix:
        return curvature[0] * D


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

    small = 1e-3

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
