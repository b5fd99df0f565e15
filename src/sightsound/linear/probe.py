"""The linear probe: a linear classifier on embeddings, its strength chosen by cross-validation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Matrix
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Prediction
from sightsound.linear import file as probefile
from sightsound.linear import folds as folding
from sightsound.linear import metrics
from sightsound.linear.cross_validation import CrossValidation
from sightsound.linear.estimator import BadInput, Estimator, matrix
from sightsound.linear.features import FeatureSpec
from sightsound.linear.losses import Loss, Sigmoid, Softmax, SquaredError, SquaredHinge
from sightsound.linear.metrics import Ints, ProbeReport
from sightsound.linear.newton import Axes, Solution, joined, path
from sightsound.linear.targets import column, membership, targets

Kind = Literal["logistic", "svm", "ridge"]
Scoring = Literal["accuracy", "f1_macro"]

STRENGTHS = tuple(float(C) for C in np.logspace(-6, 5, 45))
"""The grid of C of DINOv2's linear evaluation (Oquab et al. 2023): 45 values from 1e-6 to 1e5."""

_LOSSES: dict[str, Callable[[], Loss]] = {"logistic": Sigmoid, "svm": SquaredHinge, "ridge": SquaredError}
_CV_TOL = 1e-3  # of the objective; finer changes no prediction that is not a toss-up
_SMALL = 10**7  # rows times features times classes under which the last digits cost nothing
_TINY = 10**4  # the same under which even the folds' solutions are exact
_KEPT = ("kind", "scoring", "standardize", "calibrate")  # parameters that are saved


class LinearProbe(Estimator):
    """A linear classifier with scikit-learn's interface, for one class or several labels a row.

    >>> probe = LinearProbe().fit(X, y)
    >>> probe.predict(X_new), probe.predict_proba(X_new), probe.report(X)

    `kind` is `logistic` (multinomial logistic regression), `svm` (squared hinge, each class against the rest) or
    `ridge`. `C` is the strength of the data against the penalty ½ |coef|², as in scikit-learn; None chooses the best of
    `Cs` (45 values from 1e-6 to 1e5) by cross-validation over `cv` folds (None: five, or as many as the smallest class
    has items; or a list of (train, test) rows), the least among equals, by `scoring` (`accuracy` or `f1_macro`; several
    labels are judged by the latter). `class_weight` is None, `balanced` or a mapping (of several labels: each label's
    absence and presence, 0 and 1). Features are standardised with `standardize`; coefficients are on the features as
    they came. `calibrate` fits a temperature to the held-out decisions, by which `predict_proba` divides. `tol` is how
    far, as a part of it, the objective may be from its minimum (None: 1e-12, or 1e-5 for large problems).

    Fitted: `classes_` (k,), `coef_` float64 (k, d) and `intercept_` (k,) (one row for two classes), `C_`,
    `temperature_`, `scores_` (strengths,), `folds_` (n,), `objective_`, `held_out_` (see `CrossValidation`), `n_features_in_`;
    from a library also `feature_spec_` (which rows these are), `report_` and `seen_` uint64 (the contents it was fitted on,
    see `Dataset`).
    """

    _kind = "classifier"

    def __init__(
        self,
        kind: Kind = "logistic",
        *,
        C: float | None = None,
        Cs: Sequence[float] | None = None,
        cv: int | Iterable[Any] | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        scoring: Scoring = "accuracy",
        standardize: bool = True,
        calibrate: bool = True,
        tol: float | None = None,
        random_state: int = 0,
    ) -> None:
        self.kind = kind
        self.C = C
        self.Cs = Cs
        self.cv = cv
        self.class_weight = class_weight
        self.scoring = scoring
        self.standardize = standardize
        self.calibrate = calibrate
        self.tol = tol
        self.random_state = random_state

    # -- fitting -------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        folds: Any = None,
    ) -> LinearProbe:
        """X (n, d) finite numbers; y (n,) classes, or (n, labels) in {0, 1}. `sample_weight` (n,), none negative,
        says how many rows each stands for.

        Rows of one of the `groups` (n,) are never on both sides of a fold; `folds` (n,) are official folds, used as
        they are, and a note in the report says which groups these tear. Raises `BadInput`, a ValueError, for what
        cannot be fitted, and `SightsoundError` where a class is smaller than the folds.
        """
        self._check()
        X = matrix(X)
        y = None if y is None else np.asarray(y)
        self.classes_, Y = targets(y, len(X))
        self.n_features_in_: int = X.shape[1]
        self._single = y is None or y.ndim < 2 or y.shape[1] == 1
        weights = self._weights(Y, sample_weight)
        self.C_, self.temperature_ = 1.0 if self.C is None else float(self.C), 1.0
        self.held_out_: CrossValidation | None = None
        self._fold_sizes: list[int] | None = None
        self.feature_spec_: FeatureSpec | None = None
        self.report_: ProbeReport | None = None
        self.seen_ = np.empty(0, np.uint64)
        start = self._choose(X, Y, weights, groups, folds) if self.C is None else None
        self._row_weights = weights
        self._take(self._path(X, Y, weights, [self.C_], exact=True, start=start)[0])
        return self

    def _check(self) -> None:
        rules = [
            (self.kind in _LOSSES, f"kind: expected one of {', '.join(_LOSSES)}, got {self.kind!r}"),
            (self.C is None or _strength(self.C), f"C: expected a positive number or None, got {self.C!r}"),
            (
                self.Cs is None or (len(self.Cs) > 0 and all(map(_strength, self.Cs))),
                f"Cs: expected positive numbers, got {self.Cs!r}",
            ),
            (
                self.class_weight in (None, "balanced")
                if not isinstance(self.class_weight, Mapping)
                else all(value >= 0 for value in self.class_weight.values()) and any(self.class_weight.values()),
                f"class_weight: expected balanced, weights from 0 or None, got {self.class_weight!r}",
            ),
            (self.scoring in ("accuracy", "f1_macro"), f"scoring: expected accuracy or f1_macro, got {self.scoring!r}"),
        ]
        for holds, text in rules:
            if not holds:
                raise BadInput(text)

    def _weights(self, Y: Matrix, sample_weight: Any) -> Matrix:
        weights = np.ones(len(Y)) if sample_weight is None else np.array(sample_weight, np.float64)
        if weights.ndim == 0:
            weights = np.full(len(Y), float(weights))
        if weights.shape != (len(Y),) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            text = "finite weights, not all zero, none negative"
            raise BadInput(f"sample_weight: expected {len(Y)} {text}, got shape {weights.shape}")
        return weights

    def _weighted(self, Y: Matrix, weights: Matrix) -> Matrix:
        """Row weights times those of the classes, (n,); Y (n, 1) is one label, and its absence."""
        if self.class_weight is None:
            return weights
        members = np.hstack([1 - Y, Y]) if Y.shape[1] == 1 else Y
        if self.class_weight == "balanced":
            sums = members.T @ weights
            each = sums.sum() / (len(sums) * np.maximum(sums, 1e-300))
        else:
            names = [0, 1] if Y.shape[1] == 1 else self.classes_.tolist()
            each = np.array([float(self.class_weight.get(name, 1.0)) for name in names])
        found: Matrix = weights * (members @ each)
        return found

    def _path(
        self,
        X: Any,
        Y: Matrix,
        weights: Matrix,
        strengths: Sequence[float],
        *,
        exact: bool = False,
        start: tuple[Matrix, Matrix] | None = None,
        turn: Matrix | None = None,
    ) -> list[Solution]:
        size = X.shape[0] * X.shape[1] * Y.shape[1]
        fine = self.tol if self.tol is not None else 1e-12 if size <= _SMALL else 1e-5
        exact = exact or size <= _TINY
        tol = fine if exact else _CV_TOL

        def solve(Y: Matrix, loss: Loss, weights: Matrix, start: Any = None) -> list[Solution]:
            settings: dict[str, Any] = {"standardize": self.standardize, "tol": tol, "exact": exact}
            return path(X, Y, loss, strengths, weights=weights, start=start, turn=turn, **settings)

        if not self._single and self.class_weight is not None:  # every label has weights of its own
            parts = [
                solve(y, _LOSSES[self.kind](), self._weighted(y, weights)) for y in np.split(Y, Y.shape[1], axis=1)
            ]
            return [joined(together) for together in zip(*parts)]
        if self._single:
            weights = self._weighted(Y, weights)
        if self._single and Y.shape[1] == 2:
            return solve(Y[:, 1:], _LOSSES[self.kind](), weights, start)
        softmax = self.kind == "logistic" and self._single
        return solve(Y, Softmax() if softmax else _LOSSES[self.kind](), weights, start)

    def _choose(self, X: Any, Y: Matrix, weights: Matrix, groups: Any, folds: Any) -> tuple[Matrix, Matrix]:
        """Sets the strength, the temperature and what was held out; a rough solution for all rows, to start from."""
        groups = np.arange(len(X)) if groups is None else np.unique(column(groups, len(X)), return_inverse=True)[1]
        held = self._folds(Y, groups, folds)
        strengths = sorted(STRENGTHS if self.Cs is None else map(float, self.Cs))
        parts = [(held != fold, held == fold) for fold in range(held.max() + 1)]
        tall = len(X) * (1 - 1 / len(parts)) > X.shape[1] and weights.all()
        turn = Axes.of(X, weights, standardize=self.standardize).turn if tall else None
        found = [self._path(X[rest], Y[rest], weights[rest], strengths, turn=turn) for rest, _ in parts]

        def decisions(at: int) -> Matrix:
            D = np.empty(Y.shape)
            for (_, out), solutions in zip(parts, found):
                D[out] = self._columns(X[out], solutions[at].coef, solutions[at].intercept)
            return D

        right, scores = np.empty((len(X), len(strengths)), bool), np.empty(len(strengths))
        for at in range(len(strengths)):
            said = self._said(decisions(at))
            right[:, at] = (said == Y).all(axis=1)
            by_f1 = self.scoring == "f1_macro" or not self._single
            scores[at] = (
                metrics.macro_f1(Y, said, weights) if by_f1 else float(np.average(right[:, at], weights=weights))
            )
        best = int(scores.argmax())
        self.folds_, self.scores_, self.C_ = held, scores, strengths[best]
        self.held_out_ = CrossValidation(Y, groups, held, decisions(best), right, self._single)
        if self.calibrate:
            self.temperature_ = metrics.temperature(self.held_out_.decisions, Y, self._single, weights)
        rough = self._path(X, Y, weights, strengths[: best + 1], turn=turn)[-1]
        return rough.coef, rough.intercept

    def _folds(self, Y: Matrix, groups: Ints, folds: Any) -> Ints:
        """The fold (n,) in which each row is held out."""
        names = self._labels()
        if folds is not None:
            return folding.official(column(folds, len(Y)), Y, names)
        if self.cv is None or isinstance(self.cv, int | np.integer):
            return folding.split(Y, names, groups, self.cv, seed=self.random_state)
        return folding.official(folding.partition(self.cv, len(Y)), Y, names)

    def _take(self, solution: Solution) -> None:
        self.coef_ = np.ascontiguousarray(solution.coef.T)
        self.intercept_ = solution.intercept
        self.objective_ = solution.objective
        if not solution.converged:
            from sklearn.exceptions import ConvergenceWarning

            text = f"C={self.C_:g}: the objective is not at its minimum; scale the features, or take a smaller C"
            warnings.warn(text, ConvergenceWarning, stacklevel=3)

    # -- predicting: NumPy alone ---------------------------------------------------------------------------------

    def decision_function(self, X: Any) -> Matrix:
        """X (n, d) -> float64 (n, k), or (n,) where there are two classes."""
        self._fitted()
        D = np.asarray(self._rows(X) @ self.coef_.T + self.intercept_)
        return D[:, 0] if self._two() else D

    def predict_proba(self, X: Any) -> Matrix:
        """X (n, d) -> float64 (n, k): rows that add up to 1, or with several labels each from 0 to 1."""
        self._fitted()
        return metrics.probabilities(self._decided(X), self.temperature_, self._single)

    def predict(self, X: Any) -> NDArray[Any]:
        """X (n, d) -> classes (n,), or with several labels (n, k) in {0, 1}."""
        self._fitted()
        said = self._said(self._decided(X))
        return self.classes_[said.argmax(axis=1)] if self._single else said.astype(np.intp)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The part of rows that are right, in all labels where there are several."""
        said, y = self.predict(X), np.asarray(y)
        right = said == (y if said.ndim == y.ndim else y.reshape(said.shape))
        return float(np.average(right if self._single else right.all(axis=1), weights=sample_weight))

    @property
    def single(self) -> bool:
        """Whether a row has one class, rather than any of several labels."""
        return self._single

    def columns(self) -> tuple[Matrix, Matrix]:
        """Coefficients (d, k) and intercept (k,) with a column for each class; the first of two classes has zeros."""
        self._fitted()
        coef, intercept = self.coef_.T, self.intercept_
        if self._two():
            coef, intercept = np.hstack([np.zeros_like(coef), coef]), np.append(0.0, intercept)
        return coef, intercept

    def require_feature_spec(self) -> FeatureSpec:
        """Return which rows the probe takes. Raises `SightsoundError` for one that was not fitted from a library."""
        if self.feature_spec_ is None:
            raise SightsoundError(
                "probe: expected one that was fitted from a library and knows its network; use predict and evaluate"
            )
        return self.feature_spec_

    def rank(self, probabilities: Matrix) -> tuple[Prediction, ...]:
        """Return the classes with their probabilities (k,), the most probable first."""
        return ranked(self.classes_, probabilities)

    def predict_item(self, vectors: Floats) -> tuple[Prediction, ...]:
        """Return the classes of an item with these windows (n, dim), the most probable first."""
        return self.rank(self.predict_proba(self.require_feature_spec().rows(vectors)).mean(axis=0))

    def _rows(self, X: Any) -> NDArray[Any]:
        return matrix(X, features=self.n_features_in_, owner=type(self).__name__)

    def _two(self) -> bool:
        return self._single and len(self.classes_) == 2

    def _decided(self, X: Any) -> Matrix:
        """Decisions with a column for each class, (n, k)."""
        return self._columns(self._rows(X), self.coef_.T, self.intercept_)

    def _columns(self, X: NDArray[Any], coef: Matrix, intercept: Matrix) -> Matrix:
        """Decisions with a column for each class, (n, k): the first of two classes has 0."""
        D = np.asarray(X @ coef + intercept)
        return np.hstack([np.zeros_like(D), D]) if self._two() else D

    def _said(self, decisions: Matrix) -> Matrix:
        return metrics.decide(decisions if self._single else decisions + 0.5, self._single)

    # -- taking it away ------------------------------------------------------------------------------------------

    def save(self, file: str | os.PathLike[str]) -> None:
        """Writes one file: safetensors with the coefficients, JSON in its header (classes, space, report, versions).

        Raises `SightsoundError` where it cannot be written, or classes are neither text, numbers nor booleans.
        """
        self._fitted()
        arrays, facts = self.state()
        probefile.write(file, "probe", arrays, facts)

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> LinearProbe:
        """What `save` wrote: it predicts alike, needs NumPy only, and knows its `feature_spec_` and `report_`. Raises
        `SightsoundError` for any other file."""
        arrays, facts = probefile.read(file)
        if facts.get("kind") != "probe":
            raise SightsoundError(f"{os.fspath(file)}: expected a probe, got a {facts.get('kind')}; use load_probe")
        return cls.of_state(arrays, facts, os.fspath(file))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What there is to save: arrays, and facts for JSON."""
        arrays = {"coef": self.coef_, "intercept": self.intercept_, "seen": self.seen_}
        facts = {
            "classes": self.classes_.tolist(),
            "single": self._single,
            "C": self.C_,
            "temperature": self.temperature_,
            "params": {name: getattr(self, name) for name in _KEPT},
            "folds": self._fold_sizes if self.held_out_ is None else np.bincount(self.folds_).tolist(),
            "origin": None if self.feature_spec_ is None else self.feature_spec_.to_json(),
            "report": None if self.report_ is None else self.report_.to_json(),
        }
        return arrays, facts

    @classmethod
    def of_state(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], name: str) -> LinearProbe:
        """What `state` gave, from the file of that `name`, which is blamed for what does not fit together."""
        try:
            probe = cls(**{key: facts["params"][key] for key in _KEPT})
            probe.coef_, probe.intercept_, probe.seen_ = arrays["coef"], arrays["intercept"], arrays["seen"]
            probe.classes_, probe._single = np.array(facts["classes"]), facts["single"] is True
            probe.C_, probe.temperature_ = float(facts["C"]), float(facts["temperature"])
            probe.n_features_in_ = probe.coef_.shape[1]
            probe.held_out_, probe._fold_sizes = None, facts["folds"]
            probe.feature_spec_ = None if facts["origin"] is None else FeatureSpec.from_json(facts["origin"])
            probe.report_ = None if facts["report"] is None else ProbeReport.from_json(facts["report"])
            probe._whole()
        except (KeyError, TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise SightsoundError(f"{name}: damaged ({error}); make it anew: sightsound probe fit") from error
        return probe

    def _whole(self) -> None:
        """Raises `ValueError` where what was read does not fit together."""
        self._check()
        rows = 1 if self._two() else len(self.classes_)
        features = self.coef_.shape[1] if self.feature_spec_ is None else self.feature_spec_.features
        rules = [
            (self.classes_.ndim == 1 and len(set(self.classes_.tolist())) == len(self.classes_) > 1, "classes"),
            (self.coef_.shape == (rows, features) and self.intercept_.shape == (rows,), "shapes of coefficients"),
            (np.isfinite(self.coef_).all() and np.isfinite(self.intercept_).all(), "coefficients that are no numbers"),
            (1e-100 < self.temperature_ < 1e100 and _strength(self.C_), "temperature or strength"),
            (self.seen_.ndim == 1 and self.seen_.dtype == np.uint64, "contents"),
        ]
        for holds, text in rules:
            if not holds:
                raise ValueError(text)

    # -- how good it is ------------------------------------------------------------------------------------------

    def report(self, X: Any = None) -> ProbeReport:
        """What cross-validation says of it. With the X (n, d) it was fitted on, beside the nearest neighbours and with
        the learning curve. Raises `BadInput` where the strength was given, so that nothing was held out."""
        self._fitted()
        held = self.held_out_
        if held is None:
            raise BadInput("report: nothing was held out, for C was given; fit with C=None, or use evaluate")
        more: dict[str, Any] = {"notes": held.notes()}
        if self._single and self.scoring == "accuracy":
            more["corrected"] = metrics.corrected(held.right, held.groups)
        if X is not None:
            more |= self._beside(_as_many(matrix(X), len(held.truth)), held)
        how = f"cross-validation over {held.count} folds"
        said = self.held_out_probabilities()
        settings: dict[str, Any] = {"single": self._single, "raw": held.raw(), "groups": held.groups}
        return metrics.report(how, self._labels(), held.truth, said, **settings, **more)

    def _beside(self, X: NDArray[Any], held: CrossValidation) -> dict[str, Any]:
        """The nearest neighbours and, for one class a row, the learning curve."""
        near = metrics.decide(metrics.neighbours(X, held.truth, held.folds), self._single)
        found: dict[str, Any] = {"neighbours": metrics.estimate((near == held.truth).all(axis=1), held.groups)}

        def learn(rows: Ints, out: Ints) -> Matrix:
            (solution,) = self._path(X[rows], held.truth[rows], self._row_weights[rows], [self.C_])
            return self._said(self._columns(X[out], solution.coef, solution.intercept))

        return found | ({"curve": held.curve(learn, self.random_state)} if self._single else {})

    def held_out_probabilities(self) -> Matrix:
        """Probabilities (n, k) of the rows it was fitted on, from when they were held out."""
        if self.held_out_ is None:
            raise BadInput("held_out_probabilities: nothing was held out, for C was given; fit with C=None")
        return self.held_out_.probabilities(calibrate=self.calibrate)

    def evaluate(self, X: Any, y: Any, *, groups: Any = None) -> ProbeReport:
        """The report on other rows than those it was fitted on: X (n, d), y as in `fit`, rows of one of the `groups`
        (n,) drawn together for the interval."""
        self._fitted()
        decisions, Y = self._decided(X), self.truth(y)
        said, raw = (metrics.probabilities(decisions, t, self._single) for t in (self.temperature_, 1.0))
        groups = None if groups is None else column(groups, len(Y))
        settings: dict[str, Any] = {"single": self._single, "raw": raw, "groups": groups}
        return metrics.report("rows that were given", self._labels(), Y, said, **settings)

    def truth(self, y: Any) -> Matrix:
        """Classes (n,), or labels (n, k) in {0, 1} -> (n, k) in {0, 1}. Raises `BadInput` for a class that the probe
        does not have."""
        if not self._single:
            return membership(y, len(self.classes_))
        y = np.asarray(y)
        beyond = sorted(set(y.tolist()) - set(self.classes_.tolist()))
        if beyond:
            raise BadInput(f"class {beyond[0]!r}: expected one of {self._labels()}; leave its items out")
        found: Matrix = (y[:, None] == self.classes_).astype(np.float64)
        return found

    def _labels(self) -> list[str]:
        return [str(label) for label in self.classes_]


def ranked(labels: Any, probabilities: Matrix) -> tuple[Prediction, ...]:
    """Return classes with their probabilities (k,), the most probable first."""
    order = np.argsort(-probabilities, kind="stable")
    return tuple(Prediction(str(labels[i]), float(probabilities[i])) for i in order)


def _as_many(X: NDArray[Any], rows: int) -> NDArray[Any]:
    if len(X) != rows:
        raise BadInput(f"X: expected the {rows} rows that it was fitted on, got {len(X)}")
    return X


def _strength(C: object) -> bool:
    return isinstance(C, int | float | np.number) and bool(0 < C < np.inf)
