"""A fitted stack of linear classifiers, with NumPy alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.contract.results import Prediction
from sightsound.linear import file as probe_file
from sightsound.linear.decisions import rank
from sightsound.linear.features import FeatureSpec
from sightsound.linear.model import LinearModel
from sightsound.linear.report import ProbeReport
from sightsound.linear.training import Kind
from sightsound.linear.validation import BadInput

Combine = Literal["concatenate", "average"]


class StackModel:
    """A fitted stack, which predicts with NumPy alone.

    `load_probe` returns one, and a fitted `Stack` is one. It takes a list of matrices, one for each network.

    Parameters
    ----------
    probes : sequence of LinearModel
        One classifier for each network, all with the same classes.
    top_model : LinearModel or None
        The classifier on their probabilities. None takes the average.
    top, combine : str, optional
        Parameters of the `Stack` that fitted it.

    Attributes
    ----------
    classes_ : array (k,)
        Classes (k,).
    probes_, top_
        As the parameters.
    feature_specs_ : list of FeatureSpec
        Which rows each network takes. Empty where it was not fitted to data sets of a library.
    report_ : ProbeReport or None
        Its evaluation. None where it has none.
    seen_ : uint64 array
        uint64: content ids of the items it was fitted to.
    """

    def __init__(
        self,
        probes: Sequence[LinearModel],
        top_model: LinearModel | None,
        *,
        top: Kind | None = "svm",
        combine: Combine = "concatenate",
    ) -> None:
        self.top = top
        self.combine = combine
        self._set_models(probes, top_model)

    def _set_models(self, probes: Sequence[LinearModel], top_model: LinearModel | None) -> None:
        """Set the fitted parts, and everything that is known of a stack to nothing."""
        self.classes_ = probes[0].classes_
        self.probes_ = list(probes)
        self.top_ = top_model
        self.feature_specs_: list[FeatureSpec] = []
        self.report_: ProbeReport | None = None
        self.seen_ = np.empty(0, np.uint64)

    def __repr__(self) -> str:
        parts = f"{self.top or 'no'} on {self.combine}d, {len(self.probes_)} networks"
        return f"{type(self).__name__}({parts}, {len(self.classes_)} classes)"

    @property
    def fitted_by(self) -> str:
        """The estimator that fitted it, with the parameters that a file keeps, as Python."""
        changed = [f"combine={self.combine!r}"] if self.combine != "concatenate" else []
        changed += [f"top={self.top!r}"] if self.top != "svm" else []
        return f"Stack({', '.join(changed)})"

    def _check_fitted(self) -> None:
        """Do nothing: a model is fitted. `Stack` raises before `fit`."""

    def _combined(self, tables: Sequence[Matrix]) -> Matrix:
        """Return the probabilities (n, k) of each network as the rows of the top."""
        return np.mean(tables, axis=0) if self.combine == "average" or self.top is None else np.hstack(tables)

    def predict_proba(self, Xs: Sequence[Any]) -> Matrix:
        """Return the probabilities float64 (n, k) of the rows (n, d) of each network."""
        self._check_fitted()
        if len(Xs) != len(self.probes_):
            raise BadInput(f"Xs: expected rows of {len(self.probes_)} networks, got {len(Xs)}")
        combined = self._combined([probe.predict_proba(X) for probe, X in zip(self.probes_, Xs)])
        return combined if self.top_ is None else self.top_.predict_proba(combined)

    def predict(self, Xs: Sequence[Any]) -> NDArray[Any]:
        """Return the classes (n,) of the rows (n, d) of each network."""
        best = self.predict_proba(Xs).argmax(axis=1)
        predicted: NDArray[Any] = self.classes_[best]
        return predicted

    def score(self, Xs: Sequence[Any], y: Any) -> float:
        """Return the accuracy on other rows.

        Parameters
        ----------
        Xs : sequence of arrays (n, d)
            The rows (n, d) of each network.
        y : array-like (n,)
            Classes (n,).

        Returns
        -------
        float
            Proportion of correct rows.
        """
        return float((self.predict(Xs) == np.asarray(y)).mean())

    def rank(self, probabilities: Matrix) -> tuple[Prediction, ...]:
        """Return the classes with their probabilities (k,), the most probable first."""
        return rank(self.classes_, probabilities)

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write one file, as `LinearModel.save` does."""
        self._check_fitted()
        parts = {str(i): probe.state() for i, probe in enumerate(self.probes_)}
        parts |= {} if self.top_ is None else {"top": self.top_.state()}
        arrays = {f"{name}.{key}": array for name, (found, _) in parts.items() for key, array in found.items()}
        metadata = {
            "classes": self.classes_.tolist(),
            "params": {"top": self.top, "combine": self.combine},
            "parts": {name: part for name, (_, part) in parts.items()},
            "origins": [spec.to_json() for spec in self.feature_specs_],
            "report": None if self.report_ is None else self.report_.to_json(),
        }
        probe_file.write(file, "stack", {**arrays, "seen": self.seen_}, metadata)
