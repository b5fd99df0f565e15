"""Several networks as one classifier: a linear probe for each, and another on top of what they say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Prediction
from sightsound.linear import file as probefile
from sightsound.linear import folds as folding
from sightsound.linear.estimator import BadInput, Estimator
from sightsound.linear.features import FeatureSpec
from sightsound.linear.metrics import ProbeReport
from sightsound.linear.probe import Kind, LinearProbe, ranked
from sightsound.linear.targets import targets

Combine = Literal["concatenate", "average"]

COARSE = tuple(float(C) for C in np.logspace(-6, 4, 11))
"""The grid of C inside a stack, one a decade: what is fitted on top evens out the rest."""


class Stack(Estimator):
    """A logistic regression for each network, and a linear classifier on the probabilities that they give rows that
    they were not fitted on.

    >>> stack = Stack().fit([X_resnet, X_vgg], y)
    >>> stack.predict([X_resnet_new, X_vgg_new])

    `combine` says whether the probabilities of the networks stand side by side or are averaged, and `top` what is put
    on them: `svm` (as in the article of CUB-200), `logistic`, `ridge`, or None for their average as it is. `Cs` are the
    strengths to choose from, for every part by itself, over `cv` folds as in `LinearProbe`.

    Fitted: `classes_` (k,), `probes_` (one for each network), `top_`; from libraries also `feature_specs_`, `report_` and
    `seen_`, as of a `LinearProbe`.
    """

    _kind = "classifier"

    def __init__(
        self,
        top: Kind | None = "svm",
        *,
        combine: Combine = "concatenate",
        Cs: Sequence[float] | None = COARSE,
        cv: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.top = top
        self.combine = combine
        self.Cs = Cs
        self.cv = cv
        self.random_state = random_state

    def fit(self, Xs: Sequence[Any], y: Any, *, groups: Any = None, folds: Any = None) -> Stack:
        """Xs are the rows (n, d) of each network, the same n items in each; y (n,) classes; `groups` and `folds` as in
        `LinearProbe.fit`. Raises `BadInput`, a ValueError, for what cannot be fitted."""
        self._check(Xs)
        self.classes_, Y = targets(y, len(Xs[0]))
        if np.ndim(y) > 1:
            raise BadInput("y: expected one class a row, got several labels; fit a LinearProbe for each network")
        names = [str(label) for label in self.classes_]
        if folds is None:
            folds = folding.split(Y, names, groups, self.cv, seed=self.random_state)
        self.probes_ = [self._probe("logistic").fit(X, y, groups=groups, folds=folds) for X in Xs]
        self.feature_specs_: list[FeatureSpec] = []
        self.report_: ProbeReport | None = None
        self.seen_ = np.empty(0, np.uint64)
        self.top_ = None
        if self.top is not None:
            said = self._combined([probe.held_out_probabilities() for probe in self.probes_])
            self.top_ = self._probe(self.top).fit(said, y, groups=groups, folds=folds)
        return self

    def _check(self, Xs: Sequence[Any]) -> None:
        if self.combine not in ("concatenate", "average"):
            raise BadInput(f"combine: expected concatenate or average, got {self.combine!r}")
        if len(Xs) < 1 or any(np.ndim(X) != 2 or len(X) != len(Xs[0]) for X in Xs):
            shapes = ", ".join(str(np.shape(X)) for X in Xs)
            raise BadInput(f"Xs: expected rows of the same items for each network, got {shapes or 'none'}")

    def _probe(self, kind: Kind) -> LinearProbe:
        return LinearProbe(kind, Cs=self.Cs, random_state=self.random_state)

    def _combined(self, said: Sequence[Matrix]) -> Matrix:
        return np.mean(said, axis=0) if self.combine == "average" or self.top is None else np.hstack(said)

    def predict_proba(self, Xs: Sequence[Any]) -> Matrix:
        """The rows (n, d) of each network -> float64 (n, k)."""
        self._fitted()
        if len(Xs) != len(self.probes_):
            raise BadInput(f"Xs: expected rows of {len(self.probes_)} networks, got {len(Xs)}")
        said = self._combined([probe.predict_proba(X) for probe, X in zip(self.probes_, Xs)])
        return said if self.top_ is None else self.top_.predict_proba(said)

    def predict(self, Xs: Sequence[Any]) -> NDArray[Any]:
        """The rows (n, d) of each network -> classes (n,)."""
        found: NDArray[Any] = self.classes_[self.predict_proba(Xs).argmax(axis=1)]
        return found

    def rank(self, probabilities: Matrix) -> tuple[Prediction, ...]:
        """Return the classes with their probabilities (k,), the most probable first."""
        return ranked(self.classes_, probabilities)

    def score(self, Xs: Sequence[Any], y: Any) -> float:
        """The part of rows that are right."""
        return float((self.predict(Xs) == np.asarray(y)).mean())

    # -- taking it away ------------------------------------------------------------------------------------------

    def save(self, file: str | os.PathLike[str]) -> None:
        """Writes one file, as `LinearProbe.save` does."""
        self._fitted()
        parts = {str(i): probe.state() for i, probe in enumerate(self.probes_)}
        parts |= {} if self.top_ is None else {"top": self.top_.state()}
        arrays = {f"{name}.{key}": array for name, (found, _) in parts.items() for key, array in found.items()}
        facts = {
            "classes": self.classes_.tolist(),
            "params": {"top": self.top, "combine": self.combine},
            "parts": {name: told for name, (_, told) in parts.items()},
            "origins": [origin.to_json() for origin in self.feature_specs_],
            "report": None if self.report_ is None else self.report_.to_json(),
        }
        probefile.write(file, "stack", {**arrays, "seen": self.seen_}, facts)

    @classmethod
    def of_state(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], name: str) -> Stack:
        """What `save` wrote, from the file of that `name`."""
        try:
            stack = cls(**facts["params"])
            parts = {
                part: LinearProbe.of_state(_part(arrays, part), told, name) for part, told in facts["parts"].items()
            }
            stack.top_ = parts.pop("top", None)
            stack.probes_ = [parts[str(i)] for i in range(len(parts))]
            stack.classes_, stack.seen_ = np.array(facts["classes"]), arrays["seen"]
            stack.feature_specs_ = [FeatureSpec.from_json(told) for told in facts["origins"]]
            stack.report_ = None if facts["report"] is None else ProbeReport.from_json(facts["report"])
            if (
                (stack.top_ is None) != (stack.top is None)
                or not stack.probes_
                or len(parts) != len(stack.feature_specs_)
            ):
                raise ValueError("parts are missing")
            if any(probe.classes_.tolist() != stack.classes_.tolist() for probe in stack.probes_):
                raise ValueError("parts of other classes")
        except (KeyError, TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise SightsoundError(f"{name}: damaged ({error}); make it anew: sightsound stack") from error
        return stack


def _part(arrays: Mapping[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(f"{part}."): array for key, array in arrays.items() if key.startswith(f"{part}.")}


def load_probe(file: str | os.PathLike[str]) -> LinearProbe | Stack:
    """The probe or the stack that was saved in a file. Raises `SightsoundError` for any other file."""
    arrays, facts = probefile.read(file)
    kinds: dict[str, Any] = {"probe": LinearProbe, "stack": Stack}
    if str(facts.get("kind")) not in kinds:
        raise SightsoundError(f"{os.fspath(file)}: expected a probe or a stack, got {facts.get('kind')!r}")
    found: LinearProbe | Stack = kinds[facts["kind"]].of_state(arrays, facts, os.fspath(file))
    return found
