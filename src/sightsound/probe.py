"""The linear probe: a linear classifier on embeddings, its strength chosen by cross-validation."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound import folds as folding
from sightsound import measures, probefile
from sightsound.errors import SightsoundError
from sightsound.estimator import BadInput, Estimator, matrix
from sightsound.measures import Ints, Matrix, Report
from sightsound.origin import Origin
from sightsound.solver import Loss, Sigmoid, Softmax, Solution, SquaredError, SquaredHinge, joined, path

Kind = Literal["logistic", "svm", "ridge"]
Scoring = Literal["accuracy", "f1_macro"]

STRENGTHS = tuple(float(C) for C in np.logspace(-6, 5, 45))
"""The grid of C of DINOv2's linear evaluation (Oquab et al. 2023): 45 values from 1e-6 to 1e5."""

_LOSSES: dict[str, Callable[[], Loss]] = {"logistic": Sigmoid, "svm": SquaredHinge, "ridge": SquaredError}
_CV_TOL = 1e-4  # of the objective; finer changes no prediction that is not a toss-up
_KEPT = ("kind", "scoring", "standardize", "calibrate")  # parameters that are saved
_DRAWS = 4  # of a learning curve's items, for each fold


@dataclass(frozen=True)
class HeldOut:
    """What cross-validation saw: the truth (n, k) of each row, its group and fold (n,), the decisions (n, k) of the
    chosen strength while its fold was held out, and for every strength whether they were right (n, strengths)."""

    truth: Matrix
    groups: Ints
    folds: Ints
    decisions: Matrix
    right: NDArray[np.bool_]


class LinearProbe(Estimator):
    """A linear classifier with scikit-learn's interface, for one class or several labels a row.

    >>> probe = LinearProbe().fit(X, y)
    >>> probe.predict(X_new), probe.predict_proba(X_new), probe.report(X)

    `kind` is `logistic` (multinomial logistic regression), `svm` (squared hinge, each class against the rest) or
    `ridge`. `C` is the strength of the data against the penalty ½ |coef|², as in scikit-learn; None chooses the best
    of `Cs` (45 values from 1e-6 to 1e5) by cross-validation over `cv` folds (None: five, or as many as the smallest
    class has items; or a list of (train, test) rows), the least among equals, by `scoring` (`accuracy` or `f1_macro`;
    several labels are judged by the latter).
    `class_weight` is None, `balanced` or a mapping (of several labels: each label's absence and presence, 0 and 1).
    Features are standardised with `standardize`; coefficients are
    on the features as they came. `calibrate` fits a temperature to the held-out decisions, by which `predict_proba`
    divides. `tol` is how far, as a part of it, the objective may be from its minimum.

    Fitted: `classes_` (k,), `coef_` float64 (k, d) and `intercept_` (k,) (one row for two classes), `C_`,
    `temperature_`, `scores_` (strengths,), `folds_` (n,), `n_features_in_`; from a library also `origin_` (which rows
    these are), `report_` and `seen_` uint64 (the contents it was fitted on, see `Dataset`).
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
        tol: float = 1e-12,
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
        """X (n, d) finite numbers; y (n,) classes, or (n, labels) in {0, 1}. `sample_weight` (n,), none negative.

        Rows of one of the `groups` (n,) are never on both sides of a fold; `folds` (n,) are official folds, used as
        they are. Raises `BadInput`, a ValueError, for what cannot be fitted, and `SightsoundError` where a class is
        smaller than the folds.
        """
        self._check()
        X = matrix(X)
        y = None if y is None else np.asarray(y)
        self.classes_, Y = targets(y, len(X))
        self.n_features_in_: int = X.shape[1]
        self._single = y is None or y.ndim < 2 or y.shape[1] == 1
        weights = self._weights(Y, sample_weight)
        self.C_, self.temperature_ = 1.0 if self.C is None else float(self.C), 1.0
        self.held_out_: HeldOut | None = None
        self.origin_: Origin | None = None
        self.report_: Report | None = None
        self.seen_ = np.empty(0, np.uint64)
        if self.C is None:
            self._choose(X, Y, weights, groups, folds)
        self._take(self._path(X, Y, weights, [self.C_], exact=True)[0])
        return self

    def _check(self) -> None:
        rules = [
            (self.kind in _LOSSES, f"kind: expected one of {', '.join(_LOSSES)}, got {self.kind!r}"),
            (self.C is None or self.C > 0, f"C: expected a positive number or None, got {self.C!r}"),
            (self.Cs is None or (len(self.Cs) > 0 and min(self.Cs) > 0), "Cs: expected positive numbers"),
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
        self, X: Any, Y: Matrix, weights: Matrix, strengths: Sequence[float], *, exact: bool = False
    ) -> list[Solution]:
        tol = self.tol if exact else _CV_TOL

        def solve(Y: Matrix, loss: Loss, weights: Matrix) -> list[Solution]:
            return path(X, Y, loss, strengths, weights=weights, standardize=self.standardize, tol=tol, exact=exact)

        if not self._single and self.class_weight is not None:  # every label has weights of its own
            parts = [
                solve(y, _LOSSES[self.kind](), self._weighted(y, weights)) for y in np.split(Y, Y.shape[1], axis=1)
            ]
            return [joined(together) for together in zip(*parts)]
        if self._single:
            weights = self._weighted(Y, weights)
        if self._single and Y.shape[1] == 2:
            return solve(Y[:, 1:], _LOSSES[self.kind](), weights)
        softmax = self.kind == "logistic" and self._single
        return solve(Y, Softmax() if softmax else _LOSSES[self.kind](), weights)

    def _choose(self, X: Any, Y: Matrix, weights: Matrix, groups: Any, folds: Any) -> None:
        """Sets the strength, the temperature and what was held out."""
        names = [str(label) for label in self.classes_]
        groups = np.arange(len(X)) if groups is None else np.unique(_column(groups, len(X)), return_inverse=True)[1]
        if folds is not None:
            held = folding.official(_column(folds, len(X)), Y, names)
        elif self.cv is None or isinstance(self.cv, int):
            held = folding.split(Y, names, groups, self.cv, seed=self.random_state)
        else:
            held = folding.official(folding.partition(self.cv, len(X)), Y, names)
        strengths = sorted(STRENGTHS if self.Cs is None else map(float, self.Cs))
        found = {
            fold: self._path(X[held != fold], Y[held != fold], weights[held != fold], strengths)
            for fold in range(held.max() + 1)
        }

        def decisions(at: int) -> Matrix:
            D = np.empty(Y.shape)
            for fold, solutions in found.items():
                D[held == fold] = self._columns(X[held == fold], solutions[at].coef, solutions[at].intercept)
            return D

        right, scores = np.empty((len(X), len(strengths)), bool), np.empty(len(strengths))
        for at in range(len(strengths)):
            said = self._said(decisions(at))
            right[:, at] = (said == Y).all(axis=1)
            by_f1 = self.scoring == "f1_macro" or not self._single
            scores[at] = measures.macro_f1(Y, said) if by_f1 else right[:, at].mean()
        best = int(scores.argmax())
        self.folds_, self.scores_, self.C_ = held, scores, strengths[best]
        self.held_out_ = HeldOut(Y, groups, held, decisions(best), right)
        if self.calibrate:
            self.temperature_ = measures.temperature(self.held_out_.decisions, Y, self._single)

    def _take(self, solution: Solution) -> None:
        self.coef_ = np.ascontiguousarray(solution.coef.T)
        self.intercept_ = solution.intercept
        self.objective_ = solution.objective

    # -- predicting: NumPy alone ---------------------------------------------------------------------------------

    def decision_function(self, X: Any) -> Matrix:
        """X (n, d) -> float64 (n, k), or (n,) where there are two classes."""
        self._fitted()
        D = np.asarray(self._rows(X) @ self.coef_.T + self.intercept_)
        return D[:, 0] if self._two() else D

    def predict_proba(self, X: Any) -> Matrix:
        """X (n, d) -> float64 (n, k): rows that add up to 1, or with several labels each from 0 to 1."""
        self._fitted()
        decisions = self._columns(self._rows(X), self.coef_.T, self.intercept_)
        return measures.probabilities(decisions, self.temperature_, self._single)

    def predict(self, X: Any) -> NDArray[Any]:
        """X (n, d) -> classes (n,), or with several labels (n, k) in {0, 1}."""
        self._fitted()
        said = self._said(self._columns(self._rows(X), self.coef_.T, self.intercept_))
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

    def _rows(self, X: Any) -> NDArray[Any]:
        return matrix(X, features=self.n_features_in_, owner=type(self).__name__)

    def _two(self) -> bool:
        return self._single and len(self.classes_) == 2

    def _columns(self, X: NDArray[Any], coef: Matrix, intercept: Matrix) -> Matrix:
        """Decisions with a column for each class, (n, k): the first of two classes has 0."""
        D = np.asarray(X @ coef + intercept)
        return np.hstack([np.zeros_like(D), D]) if self._two() else D

    def _said(self, decisions: Matrix) -> Matrix:
        return measures.decide(decisions if self._single else decisions + 0.5, self._single)

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
        """What `save` wrote: it predicts alike, needs NumPy only, and knows its `origin_` and `report_`. Raises
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
            "folds": None if self.held_out_ is None else np.bincount(self.folds_).tolist(),
            "origin": None if self.origin_ is None else self.origin_.to_json(),
            "report": None if self.report_ is None else self.report_.to_json(),
        }
        return arrays, facts

    @classmethod
    def of_state(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], name: str) -> LinearProbe:
        """What `state` gave, from the file of that `name`, which is blamed for what does not fit together."""
        try:
            probe = cls(**{key: facts["params"][key] for key in _KEPT})
            probe.coef_, probe.intercept_, probe.seen_ = arrays["coef"], arrays["intercept"], arrays["seen"]
            probe.classes_, probe._single = np.array(facts["classes"]), bool(facts["single"])
            probe.C_, probe.temperature_ = float(facts["C"]), float(facts["temperature"])
            probe.n_features_in_ = probe.coef_.shape[1]
            probe.held_out_ = None
            probe.origin_ = None if facts["origin"] is None else Origin.from_json(facts["origin"])
            probe.report_ = None if facts["report"] is None else Report.from_json(facts["report"])
            rows = 1 if probe._two() else len(probe.classes_)
            if probe.coef_.shape[0] != rows or probe.intercept_.shape != (rows,) or not probe.temperature_ > 0:
                raise ValueError(f"{probe.coef_.shape} coefficients of {len(probe.classes_)} classes")
            matrix(probe.coef_)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise SightsoundError(f"{name}: damaged ({error}); make it anew: sightsound probe fit") from error
        return probe

    # -- how good it is ------------------------------------------------------------------------------------------

    def report(self, X: Any = None) -> Report:
        """What cross-validation says of it. With the X (n, d) it was fitted on, beside the nearest neighbours and with
        the learning curve. Raises `BadInput` where the strength was given, so that nothing was held out."""
        self._fitted()
        if self.held_out_ is None:
            raise BadInput("report: nothing was held out, for C was given; fit with C=None, or use evaluate")
        held, more = self.held_out_, dict[str, Any]()
        if self._single and self.scoring == "accuracy":
            more["corrected"] = measures.corrected(held.right, held.groups)
        if X is not None:
            near = measures.decide(measures.neighbours(matrix(X), held.truth, held.folds), self._single)
            more["neighbours"] = measures.estimate((near == held.truth).all(axis=1), held.groups)
            more["curve"] = self._curve(matrix(X)) if self._single else ()
        how = f"cross-validation over {held.folds.max() + 1} folds"
        raw = measures.probabilities(held.decisions, 1.0, self._single)
        return measures.report(
            how, self._labels(), held.truth, self.held_out_probabilities(), raw=raw, groups=held.groups, **more
        )

    def evaluate(self, X: Any, y: Any, *, groups: Any = None) -> Report:
        """The report on other rows than those it was fitted on: X (n, d), y as in `fit`."""
        probabilities = self.predict_proba(X)
        Y = self.truth(y)
        raw = measures.probabilities(self._columns(self._rows(X), self.coef_.T, self.intercept_), 1.0, self._single)
        groups = None if groups is None else _column(groups, len(Y))
        return measures.report("rows that were given", self._labels(), Y, probabilities, raw=raw, groups=groups)

    def truth(self, y: Any) -> Matrix:
        """Classes (n,), or labels (n, k) in {0, 1} -> (n, k) in {0, 1}. Raises `BadInput` for a class that the probe
        does not have."""
        if not self._single:
            return np.asarray(y, np.float64)
        y = np.asarray(y)
        beyond = sorted(set(y.tolist()) - set(self.classes_.tolist()))
        if beyond:
            raise BadInput(f"class {beyond[0]!r}: expected one of {self._labels()}; leave its items out")
        found: Matrix = (y[:, None] == self.classes_).astype(np.float64)
        return found

    def _labels(self) -> list[str]:
        return [str(label) for label in self.classes_]

    def held_out_probabilities(self) -> Matrix:
        """Probabilities (n, k) of held-out rows, each fold under the temperature of the others."""
        held = self.held_out_
        assert held is not None
        found = np.empty(held.truth.shape)
        for fold in np.unique(held.folds):
            out, rest = held.folds == fold, held.folds != fold
            t = measures.temperature(held.decisions[rest], held.truth[rest], self._single) if self.calibrate else 1.0
            found[out] = measures.probabilities(held.decisions[out], t, self._single)
        return found

    def _curve(self, X: NDArray[Any]) -> tuple[tuple[int, float, float, float], ...]:
        """Accuracy on each held-out fold after 1, 2, 4, ... items a class of the others, with the chosen strength."""
        held = self.held_out_
        assert held is not None
        kind, single = held.truth.argmax(axis=1), np.unique(held.groups, return_index=True)[1]
        found, size = [], 1
        most = np.bincount(kind[single]).max()
        random = np.random.default_rng(self.random_state)
        while size < most:
            accuracies = [
                self._drawn(X, fold, size, random) for fold in range(held.folds.max() + 1) for _ in range(_DRAWS)
            ]
            found.append((size, float(np.mean(accuracies)), float(min(accuracies)), float(max(accuracies))))
            size *= 2
        return tuple(found)

    def _drawn(self, X: NDArray[Any], fold: int, size: int, random: np.random.Generator) -> float:
        """The accuracy on a fold of what so many groups a class teach, drawn from the others."""
        held = self.held_out_
        assert held is not None
        rest, kinds = np.flatnonzero(held.folds != fold), held.truth.argmax(axis=1)
        chosen: list[Any] = []
        for kind in range(held.truth.shape[1]):
            there = np.unique(held.groups[rest[kinds[rest] == kind]])
            chosen += random.choice(there, min(size, len(there)), replace=False).tolist()
        rows = rest[np.isin(held.groups[rest], chosen)]
        (solution,) = self._path(X[rows], held.truth[rows], np.ones(len(rows)), [self.C_])
        out = held.folds == fold
        said = self._said(self._columns(X[out], solution.coef, solution.intercept))
        return float((said == held.truth[out]).all(axis=1).mean())


def targets(y: Any, rows: int) -> tuple[NDArray[Any], Matrix]:
    """Classes in order and membership (n, k) in {0, 1}, of y (n,) classes or (n, labels) in {0, 1}.

    Raises `BadInput` for a wrong length, for what is no class, and for fewer than two classes.
    """
    from sklearn.utils.multiclass import check_classification_targets

    if y is None:
        raise BadInput("requires y to be passed, but the target y is None")
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1:
        from sklearn.exceptions import DataConversionWarning

        warnings.warn("A column-vector y was passed when a 1d array was expected.", DataConversionWarning, stacklevel=3)
        y = y[:, 0]
    if len(y) != rows:
        raise BadInput(f"y: expected one target for each of {rows} rows, got {len(y)}")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise BadInput("y: expected classes, got NaN or infinity; leave these rows out")
    check_classification_targets(y)
    if y.ndim == 2:
        return _labels(y)
    classes, found = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise BadInput(f"y: expected two classes or more, got 1 class ({classes[0]}); label items of another")
    return classes, np.eye(len(classes))[found]


def _labels(y: NDArray[Any]) -> tuple[NDArray[Any], Matrix]:
    Y = y.astype(np.float64)
    if not np.isin(Y, (0, 1)).all():
        raise BadInput("y: expected 0 and 1 for each label")
    for label in np.flatnonzero((Y.sum(axis=0) == 0) | (Y.sum(axis=0) == len(Y))):
        raise BadInput(f"label {label}: expected rows with it and rows without, got only one kind; leave it out")
    return np.arange(Y.shape[1]), Y


def _column(values: Any, rows: int) -> NDArray[Any]:
    found = np.asarray(values)
    if found.shape != (rows,):
        raise BadInput(f"groups and folds: expected one for each of {rows} rows, got shape {found.shape}")
    return found
