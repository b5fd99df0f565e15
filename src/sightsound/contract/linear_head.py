"""A linear classifier of rows as the head of a network: what is written when a network is exported with a probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.space import Space

ROUNDING = 1e-6
"""Distance from the centre below which a float32 row of length 1 has no direction."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearHead:
    """Scores of rows (n, d): the rows are prepared, multiplied by weights, and become probabilities.

    All is computed in float64.

    Parameters
    ----------
    weight : float64 array (classes, copies * d)
        Its weights.
    bias : float64 array (classes,)
        What is added to the products.
    kind : {"softmax", "sigmoid"}
        What makes probabilities of them.
    labels : tuple of str
        The names of the classes.
    copies : int
        How often a row stands side by side first: twice for a probe of the mean and the maximum of windows.
    sqrt : bool
        Whether each number of a row is replaced by its square root then, with its sign.
    unit : bool
        Whether each row is scaled to length 1 then.
    centre : float64 array (d,) or None
        What is subtracted from it then, before it is scaled to length 1 again.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    kind: Literal["softmax", "sigmoid"]
    labels: tuple[str, ...]
    copies: int = 1
    sqrt: bool = False
    unit: bool = False
    centre: NDArray[np.float64] | None = None

    def __call__(self, rows: Floats) -> Floats:
        """Return probabilities float32 (n, classes) of rows (n, d)."""
        x = np.tile(rows.astype(np.float64), self.copies)
        if self.sqrt:
            x = np.copysign(np.sqrt(np.abs(x)), x)
        if self.unit:
            lengths = np.linalg.norm(x, axis=1, keepdims=True)
            x = x / np.where(lengths > 0, lengths, 1)
        if self.centre is not None:
            x = x - self.centre
            x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), ROUNDING)
        return probabilities(x @ self.weight.T + self.bias, self.kind)


class HasHead(Protocol):
    """What can be the head of a network: a probe."""

    def head_for(self, space: Space) -> LinearHead:
        """Return the head for the rows of a space.

        Raises `SightsoundError` if it is for other rows.
        """


def probabilities(logits: NDArray[Any], kind: Literal["softmax", "sigmoid"]) -> Floats:
    """Return the softmax or the sigmoid function of logits (n, classes), float32, computed without overflow."""
    found: NDArray[Any]
    if kind == "softmax":
        found = np.exp(logits - logits.max(axis=1, keepdims=True))
        found /= found.sum(axis=1, keepdims=True)
    else:
        found = 0.5 * (1 + np.tanh(0.5 * logits))
    return found.astype(np.float32)
