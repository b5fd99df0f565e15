"""How the features of rows are scaled before a linear classifier sees them, with NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix, is_sparse, row_lengths
from sightsound.contract.linear_head import ROUNDING

Scaling = Literal["none", "global", "unit", "centred", "standard"]
SCALINGS: tuple[str, ...] = get_args(Scaling)

_SPARSE = 0.75  # proportion of zeros from which square roots of non-negative features are usual
_MANY = 32  # features from which the length of a row tells little about its class
_FEW = 100  # rows below which they are centred; the gain is gone from about 32 (tests/benchmarks/few_examples.py)
_USUAL_C = (
    100.0  # of rows of length 1; between 10 and 1e4 few examples hardly notice (tests/benchmarks/few_examples.py)
)


@dataclass(frozen=True)
class Preparation:
    """How rows are prepared for a linear classifier.

    Attributes
    ----------
    scaling : {'none', 'global', 'unit', 'centred', 'standard'}
        `none` leaves the features as they are. `global` divides all by one number, so that rows have the mean squared
        distance 1 from their mean. `unit` scales each row to length 1. `centred` does so too, then subtracts the mean
        of the training rows and scales to length 1 again. `standard` divides each feature by its standard deviation.
    sqrt : bool
        Whether each feature is replaced by its square root before. Negative features keep their sign.
    """

    scaling: Scaling = "standard"
    sqrt: bool = False

    def rows(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return rows (n, d) after what depends on the row alone: the square root and the first scaling to length 1."""
        if self.sqrt:
            X = np.copysign(np.sqrt(np.abs(X)), X)
        if self.scaling in ("unit", "centred"):
            lengths = row_lengths(X)[:, None]
            X = (X / np.where(lengths > 0, lengths, 1)).astype(X.dtype, copy=False)
        return X

    def usual_C(self, X: NDArray[Any]) -> float:
        """Return the C to take where examples are too few to choose one, for prepared rows X (n, d)."""
        variance = 1.0
        if self.scaling == "none":
            with np.errstate(over="ignore"):
                variance = float(X.var(axis=0, dtype=np.float64).sum())
        return self.usual_C_of(X.shape[1], variance)

    def usual_C_of(self, features: int, variance: float) -> float:
        """Return the usual C for prepared rows with a number of features, and the sum of their variances."""
        if self.scaling == "standard":
            return float(_USUAL_C / features)
        if self.scaling == "none":
            return float(_USUAL_C / variance) if 0 < variance < 1e100 else _USUAL_C
        return _USUAL_C


def around(X: NDArray[Any], centre: Matrix | None) -> NDArray[Any]:
    """Return rows (n, d) of length 1 minus a centre (d,), scaled to length 1 again. Without a centre they are kept."""
    if centre is None:
        return X
    X = X - centre.astype(X.dtype)
    return (X / np.maximum(row_lengths(X), ROUNDING)[:, None]).astype(X.dtype, copy=False)


def usual_preparation(X: NDArray[Any]) -> Preparation:
    """Return the preparation that suits rows (n, d) by their number and looks alone, whatever their classes.

    The standard deviations of features that are nearly always zero rest on a few rows, and dividing by them blows up
    noise. So rows of many features are scaled as a whole, to length 1. Non-negative features that are mostly zero are
    dominated by their few largest values, which the square root tames. With fewer zeros it gains nothing. A few
    features are rather measurements on different scales, and are standardised.

    Few rows are centred too (CL2N of Wang et al. 2019, SimpleShot, arXiv 1911.04623). With a few examples of two
    similar classes, the values of all rows are small, and rows that are far from both get values by chance. The further
    a row is from the mean of the examples, the more the second scaling makes its value smaller.
    """
    if X.shape[1] < _MANY:
        return Preparation("standard", False)
    return Preparation("centred" if len(X) < _FEW else "unit", is_sparse(X, _SPARSE))


def candidate_preparations(X: NDArray[Any]) -> tuple[Preparation, ...]:
    """Return preparations for cross-validation to choose among, the usual one of rows (n, d) first."""
    usual = usual_preparation(X)
    if usual.scaling != "unit":
        return (usual,)
    others = (Preparation("unit", not usual.sqrt), Preparation("global", usual.sqrt), Preparation("standard", False))
    return (usual, *others)


def column_scales(S: Matrix, weights: Matrix, scaling: Scaling) -> Matrix:
    """Return the divisors (d,) of centred features S (n, d) that do not depend on the single feature."""
    if scaling != "global":
        return np.ones(S.shape[1])
    largest = float(np.abs(S).max()) or 1.0
    total = weights @ np.square(S / largest).sum(axis=1) / weights.sum()
    return np.full(S.shape[1], largest * np.sqrt(total) if total > 0 else 1.0)
