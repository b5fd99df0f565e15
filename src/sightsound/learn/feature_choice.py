"""Choose whether a probe uses vectors, scores or both, by held-out items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound.learn.dataset import Dataset
from sightsound.linear.features import USES, Use
from sightsound.linear.report import FeatureScore

if TYPE_CHECKING:
    from sightsound.linear.cross_validation import CrossValidation
    from sightsound.linear.probe import LinearProbe


@dataclass(frozen=True)
class FeatureComparison:
    """The held-out predictions with each kind of features.

    Parameters
    ----------
    found : dict of CrossValidation
        By kind, all in the same folds.
    best : {"embedding", "scores", "both"}
        The embedding, or another kind where it is clearly better and there are examples enough to tell.
    """

    found: dict[Use, CrossValidation]
    best: Use

    @property
    def scores(self) -> tuple[FeatureScore, ...]:
        """The accuracy with each kind."""
        each = ((use, cross.correct[:, 0], cross.weights) for use, cross in self.found.items())
        return tuple(FeatureScore(use, float(np.average(correct, weights=weights))) for use, correct, weights in each)

    def others(self, chosen: CrossValidation, use: Use) -> NDArray[np.bool_] | None:
        """Return which rows of a cross-validation are correct with the other kinds; None where the folds differ."""
        if any(not np.array_equal(each.rows, chosen.rows) for each in self.found.values()):
            return None
        return np.hstack([each.correct for kind, each in self.found.items() if kind != use])


def compare_features(probe: LinearProbe, dataset: Dataset) -> FeatureComparison | None:
    """Compare the kinds of features of a data set, with one fit for each kind and fold.

    None where the data set has no scores, `probe.C` is given, or nothing can be held out.
    """
    from sightsound.linear.choice import clearly_best
    from sightsound.linear.probe import LinearProbe, held_out_by_features

    if dataset.parts is None or probe.C is not None:
        return None
    features = [(LinearProbe(**settings_for(probe, use)), dataset.using(use).X) for use in USES]
    found, enough = held_out_by_features(features, dataset.y, groups=dataset.groups, folds=dataset.folds)
    if not found:
        return None
    return FeatureComparison(dict(zip(USES, found)), USES[clearly_best(found)] if enough else "embedding")


def settings_for(probe: LinearProbe, use: Use) -> dict[str, Any]:
    """Return the settings of a probe for a kind of features.

    Rows of scores are square roots already, so no further ones are taken unless the probe says so.
    """
    settings: dict[str, Any] = probe.get_params(deep=False)
    return settings | ({"sqrt": False} if use != "embedding" and probe.sqrt is None else {})
