"""Scale features, and rotate them to the principal axes of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear.scaling import Scaling, column_scales

_BLOCK = 256  # features that are scaled at once
_RANK = 1e-12  # axes with less than this proportion of the largest eigenvalue hold rounding errors alone


@dataclass(frozen=True)
class PrincipalAxes:
    """Scaled rows in their principal axes.

    With S (n, d) the centred and scaled features and D the diagonal matrix of the row weights, S^T D S = V diag(e) V^T.

    Attributes
    ----------
    Z : array (n, r)
        Rotated rows S V (n, r), with r <= min(n, d).
    eigenvalues : array (r,)
        e (r,).
    rotation : array (d, r)
        V (d, r).
    mean, scale : arrays (d,)
        Weighted mean (d,) of the features, and what they were divided by.
    """

    Z: NDArray[Any]
    eigenvalues: Matrix
    rotation: Matrix
    mean: Matrix
    scale: Matrix

    @classmethod
    def of(
        cls,
        X: NDArray[Any],
        weights: Matrix,
        *,
        scaling: Scaling = "standard",
        exact: bool = False,
        rotation: Matrix | None = None,
    ) -> PrincipalAxes:
        """Return rows in their principal axes.

        Parameters
        ----------
        X : array-like (n, d)
            Features (n, d).
        weights : array (n,)
            Positive weights (n,).
        scaling : {"none", "global", "unit", "centred", "standard"}
            What divides the features, see `Preparation`. With "standard" a constant feature becomes zeros. "unit" and
            "centred" are the same as "none" here, since rows are scaled before.
        exact : bool
            Whether Z is float64; float32 otherwise.
        rotation : array (d, d), optional
            V (d, d) of a larger sample of such rows, which is nearly theirs. It saves the eigenvalue decomposition.

        Returns
        -------
        PrincipalAxes
            The rows.

        Raises
        ------
        ValueError
            Where squares of the features overflow.
        """
        dtype = np.float64 if exact else np.float32
        tall = X.shape[0] > X.shape[1]
        S, mean, scale = _scaled(X, weights, scaling, dtype if tall else np.float64)
        if rotation is not None:
            Z = S @ rotation.astype(S.dtype)
            eigenvalues = np.einsum("n,nr,nr->r", weights, Z, Z, dtype=np.float64)
            return cls(Z.astype(dtype, copy=False), eigenvalues, rotation, mean, scale)
        root = np.sqrt(weights)[:, None]
        if tall:
            R = S * root.astype(dtype)
            eigenvalues, rotation = _eigh(R.T, R, dtype)
            return cls(S @ rotation.astype(dtype), np.maximum(eigenvalues, 0), rotation, mean, scale)
        R = S * root
        eigenvalues, rows = _eigh(R, R.T, np.float64)
        kept = eigenvalues > max(eigenvalues[-1], 0) * _RANK
        eigenvalues, rows = eigenvalues[kept], rows[:, kept]
        length = np.sqrt(eigenvalues)
        return cls((rows * length / root).astype(dtype), eigenvalues, R.T @ (rows / length), mean, scale)

    def to_features(self, W: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
        """Return the coefficients on the features of a classifier on the axes.

        Parameters
        ----------
        W, b : arrays
            Coefficients (r, k) and intercept (k,) on the axes.

        Returns
        -------
        coef, intercept
            (d, k) and (k,) on the features before scaling.
        """
        coef = self.rotation @ W / self.scale[:, None]
        return coef, b - self.mean @ coef

    def from_features(self, coef: Matrix, intercept: Matrix) -> tuple[Matrix, Matrix]:
        """Return the coefficients on the axes of a classifier on the features; the inverse of `to_features`.

        Parameters
        ----------
        coef, intercept : arrays
            (d, k) and (k,) on the features before scaling.

        Returns
        -------
        W, b
            Coefficients (r, k) and intercept (k,) on the axes. What lies outside of the axes is lost.
        """
        return self.rotation.T @ (coef * self.scale[:, None]), intercept + self.mean @ coef


def _scaled(X: NDArray[Any], weights: Matrix, scaling: Scaling, dtype: Any) -> tuple[Matrix, Matrix, Matrix]:
    """Return centred and scaled features, their means and scales, by blocks of features to save memory."""
    d = X.shape[1]
    S: Matrix = np.empty(X.shape, dtype)
    mean, scale = np.zeros(d), np.ones(d)
    for start in range(0, d, _BLOCK):
        block = slice(start, start + _BLOCK)
        S[:, block], mean[block], scale[block] = _scaled_block(X[:, block], weights, scaling == "standard")
    if scaling == "global":
        scale = column_scales(S, weights, scaling)
        S /= scale.astype(dtype)
    return S, mean, scale


def _scaled_block(X: NDArray[Any], weights: Matrix, standardize: bool) -> tuple[Matrix, Matrix, Matrix]:
    """Return features in float64, scaled by their largest value first so that no square overflows."""
    mean = np.average(X.astype(np.float64), axis=0, weights=weights)
    S = X - mean
    if not standardize:
        return S, mean, np.ones(len(mean))
    largest = np.abs(S).max(axis=0)
    divisor = np.where(largest > 0, largest, 1.0)
    scale = divisor * np.sqrt(np.average(np.square(S / divisor), axis=0, weights=weights))
    rounding = 8 * np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps
    constant = (largest == 0) | (scale <= rounding * np.abs(mean))  # constant but for rounding
    return np.where(constant, 0.0, S / np.where(constant, 1.0, scale)), mean, np.where(constant, 1.0, scale)


def _eigh(left: Matrix, right: Matrix, dtype: Any) -> tuple[Matrix, Matrix]:
    """Return rising eigenvalues and eigenvectors of a matrix times its transpose, computed in a precision."""
    with np.errstate(over="ignore", invalid="ignore"):
        gram = (left @ right).astype(dtype)
    eigenvalues, vectors = decompose(gram)
    return eigenvalues.astype(np.float64), vectors.astype(np.float64)


def decompose(gram: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rising eigenvalues (d,) and the eigenvectors (d, d) of a symmetric matrix (d, d) of its precision.

    Raises
    ------
    ValueError
        Where numbers of the matrix have overflowed.
    """
    try:
        if np.isfinite(gram).all():
            eigenvalues, vectors = np.linalg.eigh(gram)
            return eigenvalues, vectors
    except np.linalg.LinAlgError:
        pass
    raise ValueError("X: expected numbers whose squares can be added up, got larger ones; use scaling='standard'")
