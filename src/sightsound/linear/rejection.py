"""The threshold of the highest probability under which an item gets no class, with NumPy alone.

That is Chow's reject option (On optimum recognition error and reject tradeoff, IEEE Transactions on Information Theory
1970). The highest probability is a common baseline for items of none of the classes (Hendrycks and Gimpel, A baseline
for detecting misclassified and out-of-distribution examples in neural networks, ICLR 2017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.contract.errors import SightsoundError

if TYPE_CHECKING:
    from sightsound.linear.model import LinearModel
    from sightsound.linear.stack_model import StackModel

NoneBelow = float | Literal["auto"]
"""A threshold from 0 to 1, or `auto` for that of the probe."""

ERROR_RATE = 0.05
"""Proportion of background items that get a class, or of correct held-out items that get none."""


def threshold_of_background(scores: Matrix) -> float:
    """Return the lowest threshold that at most 5 % of the background reach.

    Parameters
    ----------
    scores : array (n,)
        The highest probability (n,) of each background item.

    Returns
    -------
    float
        The threshold. With 19 items or more a new background item reaches it with a probability of 5 % at most
        (split conformal prediction; Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005). With
        fewer, it is above all of them.
    """
    allowed = max(0, int(ERROR_RATE * (len(scores) + 1)) - 1)
    return float(np.nextafter(np.sort(scores)[::-1][allowed], np.inf))


def threshold_of_held_out(scores: Matrix, correct: NDArray[np.bool_]) -> float | None:
    """Return the threshold that 95 % of the correct items reach.

    Parameters
    ----------
    scores : array (n,)
        The highest probability (n,) of each held-out item.
    correct : bool array (n,)
        Whether its class is correct (n,).

    Returns
    -------
    float or None
        The threshold. None where no item is correct.
    """
    return float(np.quantile(scores[correct], ERROR_RATE, method="lower")) if correct.any() else None


def threshold(probe: LinearModel | StackModel, none_below: NoneBelow | None) -> float | None:
    """Return the threshold that is meant by a number, or by `auto` that of the probe.

    Raises `SightsoundError` for another value, and for `auto` where the probe has none.
    """
    if none_below is None:
        return None
    if none_below == "auto":
        found: float | None = getattr(probe, "none_below_", None)
        if found is None:
            raise SightsoundError("none below auto: expected a probe with a threshold, got none; give a number")
        return found
    if isinstance(none_below, bool | str) or not 0 <= none_below <= 1:
        raise SightsoundError(f"none below: expected auto or a number from 0 to 1, got {none_below!r}")
    return float(none_below)
