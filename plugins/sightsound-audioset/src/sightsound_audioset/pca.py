"""VGGish's published last step: PCA, whitening, clipping, 8 bits (vggish_postprocess.py of the model garden)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightsound.plugin import Floats, SightsoundError

LOW, HIGH, LEVELS = -2.0, 2.0, 255
"""QUANTIZE_MIN_VAL and QUANTIZE_MAX_VAL of vggish_params.py, and the steps between them."""

DIM = 128


@dataclass(frozen=True)
class Projection:
    """The projection to whitened principal components.

    Attributes
    ----------
    matrix : ndarray
        float64 (128, 128); its rows are scaled such that the components have variance 1.
    means : ndarray
        float64 (128,), subtracted first.
    """

    matrix: NDArray[np.float64]
    means: NDArray[np.float64]

    def raw(self, embeddings: Floats) -> NDArray[np.float64]:
        """Return embeddings (n, 128), projected and whitened, float64 (n, 128)."""
        centred = embeddings.astype(np.float64) - self.means
        # each row by itself, so that it is rounded alike in every batch
        return np.stack([self.matrix @ row for row in centred]) if len(centred) else centred

    def clipped(self, embeddings: Floats) -> Floats:
        """Return the projection clipped to [-2, 2], float32 (n, 128)."""
        return np.clip(self.raw(embeddings), LOW, HIGH).astype(np.float32)

    def eight_bit(self, embeddings: Floats) -> Floats:
        """Return the projection as whole numbers 0 to 255 (rounded down, as published), float32 (n, 128)."""
        clipped = np.clip(self.raw(embeddings), LOW, HIGH)
        return np.floor((clipped - LOW) * (LEVELS / (HIGH - LOW))).astype(np.float32)


def read(path: Path) -> Projection:
    """Read `vggish_pca_params.npz`. Raises `SightsoundError` for another file; nothing is unpickled."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            matrix = np.asarray(arrays["pca_eigen_vectors"], np.float64)
            means = np.asarray(arrays["pca_means"], np.float64).reshape(-1)
    except Exception as error:  # np.load and zipfile raise nearly anything for a broken file
        raise _wrong_file(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if matrix.shape != (DIM, DIM) or means.shape != (DIM,):
        raise _wrong_file(path, f"{matrix.shape} and {means.shape}")
    return Projection(matrix, means)


def _wrong_file(path: Path, got: str) -> SightsoundError:
    return SightsoundError(
        f"{path}: expected pca_eigen_vectors ({DIM}, {DIM}) and pca_means ({DIM},), got: {got}; "
        "take vggish_pca_params.npz of the VGGish release"
    )
