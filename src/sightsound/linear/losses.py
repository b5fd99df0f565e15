"""Convex losses of linear classifiers, with their first and second derivatives.

For n rows and k columns the decision values are F (n, k) and the targets Y (n, k) in {0, 1}. A loss gives for row i

    l_i(F_i)                                        the loss, from `loss_state`
    g_i = dl_i / dF_i             (k,)              the gradient, from `gradient`
    H_i = d²l_i / dF_i²           (k, k)            the Hessian, of which `hessian_diagonal` returns the diagonal and
                                                    `hessian_product` the products H_i d_i with a direction D (n, k)
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix


class Loss(Protocol):
    """A convex loss of decision values F (n, k) against targets Y (n, k) in {0, 1}.

    Attributes
    ----------
    cg_tol : float
        Conjugate gradients end where the squared residual is below this proportion of the first. Smaller for losses
        whose second derivative jumps, where an inexact step leads astray.
    """

    cg_tol: float

    def loss_state(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        """Return the losses (n,), and a state (n, k) from which the derivatives follow."""

    def gradient(self, state: Matrix, Y: Matrix) -> Matrix:
        """Return the gradients (n, k) in F."""

    def hessian_diagonal(self, state: Matrix) -> Matrix:
        """Return the diagonals (n, k) of the Hessians in F."""

    def hessian(self, state: Matrix) -> tuple[NDArray[Any], ...]:
        """Return the arrays by which `hessian_product` multiplies."""

    def hessian_product(self, hessian: tuple[NDArray[Any], ...], D: Matrix) -> Matrix:
        """Return the products (n, k) of the Hessians with a direction D (n, k), in the precision of D."""


class Softmax:
    """The cross-entropy of multinomial logistic regression; the state is the probabilities P (n, k)."""

    cg_tol = 1e-1

    def loss_state(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        """Return the losses (n,) and the probabilities (n, k)."""
        largest = F.max(axis=1, keepdims=True)
        P = F - largest
        np.exp(P, out=P)
        total = P.sum(axis=1, keepdims=True)
        P /= total
        return (np.log(total) + largest)[:, 0] - np.einsum("ij,ij->i", F, Y), P

    def gradient(self, state: Matrix, Y: Matrix) -> Matrix:
        """Return P - Y."""
        return state - Y

    def hessian_diagonal(self, state: Matrix) -> Matrix:
        """Return P (1 - P)."""
        diagonal: Matrix = state * (1 - state)
        return diagonal

    def hessian(self, state: Matrix) -> tuple[NDArray[Any], ...]:
        """Return the probabilities, and the most probable class of each row (n, 1)."""
        return state, state.argmax(axis=1)[:, None]

    def hessian_product(self, hessian: tuple[NDArray[Any], ...], D: Matrix) -> Matrix:
        """Return P * (D - sum_j P_j D_j)."""
        P, best = hessian
        D = D - np.take_along_axis(D, best, axis=1)  # avoids cancellation in float32 where one P is near 1
        D -= (P * D).sum(axis=1, keepdims=True)
        D *= P
        return D


class _Separable:
    """A loss that is a sum over columns, so that the Hessians are diagonal."""

    cg_tol = 1e-1

    def hessian_diagonal(self, state: Matrix) -> Matrix:
        raise NotImplementedError

    def hessian(self, state: Matrix) -> tuple[NDArray[Any], ...]:
        """Return the diagonals (n, k)."""
        return (self.hessian_diagonal(state),)

    def hessian_product(self, hessian: tuple[NDArray[Any], ...], D: Matrix) -> Matrix:
        """Return the diagonals times D."""
        return hessian[0] * D


class Sigmoid(_Separable):
    """The binary cross-entropy of each column: two classes, or several labels; the state is the probabilities."""

    def loss_state(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        """Return the losses (n,) and the probabilities (n, k)."""
        return (np.logaddexp(0, F) - Y * F).sum(axis=1), 0.5 * (1 + np.tanh(F / 2))

    def gradient(self, state: Matrix, Y: Matrix) -> Matrix:
        """Return P - Y."""
        return state - Y

    def hessian_diagonal(self, state: Matrix) -> Matrix:
        """Return P (1 - P)."""
        diagonal: Matrix = state * (1 - state)
        return diagonal


class SquaredHinge(_Separable):
    """The loss max(0, 1 - s F)² of a linear support vector machine, with s = ±1, each column against the rest.

    The state is s max(0, 1 - s F).
    """

    cg_tol = 1e-3

    def loss_state(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        """Return the losses (n,) and the signed distances to the margin (n, k)."""
        signs = 2 * Y - 1
        margin = signs * np.maximum(0, 1 - signs * F)
        return (margin**2).sum(axis=1), margin

    def gradient(self, state: Matrix, Y: Matrix) -> Matrix:
        """Return -2 s max(0, 1 - s F)."""
        return -2 * state

    def hessian_diagonal(self, state: Matrix) -> Matrix:
        """Return 2 within the margin, 0 beyond."""
        diagonal: Matrix = 2 * (state != 0).astype(state.dtype)
        return diagonal


class SquaredError(_Separable):
    """The squared error (F - s)² with s = ±1; alpha of scikit-learn's RidgeClassifier is 1 / (2 C).

    The state is F - s.
    """

    def loss_state(self, F: Matrix, Y: Matrix) -> tuple[Matrix, Matrix]:
        """Return the losses (n,) and the residuals (n, k)."""
        residual = F - (2 * Y - 1)
        return (residual**2).sum(axis=1), residual

    def gradient(self, state: Matrix, Y: Matrix) -> Matrix:
        """Return 2 (F - s)."""
        return 2 * state

    def hessian_diagonal(self, state: Matrix) -> Matrix:
        """Return 2."""
        return np.full_like(state, 2)
