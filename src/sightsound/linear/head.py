"""A probe as the head of a network that is exported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sightsound.contract.errors import SightsoundError
from sightsound.contract.linear_head import LinearHead
from sightsound.contract.space import Space


class GivesHead:
    """The part of a `LinearModel` that gives it as the head of a network."""

    def head_for(self, space: Space) -> LinearHead:
        """Return it as the head of a network, which gives its probabilities for each window or image.

        Parameters
        ----------
        space : Space
            The space of the rows of the network.

        Raises
        ------
        SpaceMismatch
            If it is another one than that of the rows it was fitted to.
        SightsoundError
            If it takes more than the row of a window.

        Returns
        -------
        LinearHead
        """
        model: Any = self
        spec = model.require_feature_spec()
        spec.space.require(space, "probe", anew="or fit the probe anew")
        if spec.uses_scores:
            raise SightsoundError("probe: expected one of vectors, got one of scores; fit it with --features embedding")
        if spec.level == "item" and spec.pool == "mean+std":
            raise SightsoundError("probe: expected one for windows, got one of deviations; fit it with --pool mean")
        return replace(self.as_head(), copies=spec.features // space.dim)

    def as_head(self) -> LinearHead:
        """Return it as the head of a network whose embeddings are the rows that it was fitted to."""
        model: Any = self
        weight, bias = model.columns()
        return LinearHead(
            weight=weight.T.astype(np.float64) / model.temperature_,
            bias=bias.astype(np.float64) / model.temperature_,
            kind="softmax" if model.single else "sigmoid",
            labels=tuple(str(label) for label in model.classes_),
            sqrt=model.sqrt_,
            unit=model.scaling_ in ("unit", "centred"),
            centre=model.centre_,
        )
