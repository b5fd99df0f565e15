"""Two coordinates for each vector, by principal component analysis in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sightsound.contract.arrays import Floats, Matrix


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map to two coordinates.

    Parameters
    ----------
    mean : ndarray of float64 (dim,)
        The mean of the vectors.
    axes : ndarray of float64 (dim, 2)
        The two directions of the largest variance. In each, the number with the largest absolute value is positive, so
        that the same vectors have the same coordinates.
    """

    mean: Matrix
    axes: Matrix

    def __call__(self, rows: Floats) -> Floats:
        """Return the coordinates of vectors (n, dim), float32 (n, 2)."""
        found: Floats = ((rows - self.mean) @ self.axes).astype(np.float32)
        return found


def principal_axes(blocks: Iterator[Floats], dim: int) -> Projection:
    """Return the projection of vectors that come in blocks (n, dim) on their two principal axes.

    Memory holds a matrix (dim, dim), and a block.
    """
    count, total, products = 0, np.zeros(dim), np.zeros((dim, dim))
    for block in blocks:
        rows = block.astype(np.float64)
        count += len(rows)
        total += rows.sum(axis=0)
        products += rows.T @ rows
    mean = total / max(1, count)
    _, vectors = np.linalg.eigh(products / max(1, count) - np.outer(mean, mean))
    axes = vectors[:, ::-1][:, :2]
    if dim == 1:
        axes = np.concatenate([axes, np.zeros((1, 1))], axis=1)
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    return Projection(mean, axes * np.where(signs == 0, 1, signs))
