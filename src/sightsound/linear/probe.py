"""The linear probe: a linear classifier on embeddings whose C is chosen by cross-validation.

This module imports scikit-learn, so no other module imports it at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from sightsound.contract.arrays import Matrix
from sightsound.linear import folds as folding
from sightsound.linear import metrics
from sightsound.linear.choice import Choice, Chooser
from sightsound.linear.cross_validation import DEFAULT_CS, CrossValidation, Scoring
from sightsound.linear.decisions import indicators
from sightsound.linear.folds import Ints
from sightsound.linear.large_fits import LargeFits
from sightsound.linear.large_set import LargeSet, is_large
from sightsound.linear.model import LinearModel
from sightsound.linear.newton import Solution
from sightsound.linear.report import ProbeReport
from sightsound.linear.scaling import SCALINGS, Preparation, Scaling, candidate_preparations
from sightsound.linear.targets import encode_targets, is_single
from sightsound.linear.training import LOSSES, ClassWeight, Kind, Trainer
from sightsound.linear.validation import BadInput, check_column, check_rows


class LinearProbe(ClassifierMixin, BaseEstimator, LinearModel):  # type: ignore[misc]
    """A linear classifier with scikit-learn's interface, for one class or several labels a row.

    Parameters
    ----------
    kind : {'logistic', 'svm', 'ridge'}
        `logistic` (multinomial logistic regression), `svm` (squared hinge, each class against the rest) or `ridge`.
    C : float, optional
        Inverse regularisation strength: the objective is 1/2 |coef|² + C sum of losses, as in scikit-learn. None
        chooses it among `Cs` by cross-validation.
    Cs : sequence of float, optional
        Values of C to choose from. None takes 45 from 1e-6 to 1e5. Of those whose accuracy is within one standard error
        of the best, the nearest to the usual C wins, which is 100 for rows of length 1. On a large set, of 1e8 rows
        times features times classes or more, those that cannot win are left out, see `cross_validation_.Cs`.
    cv : int, splitter or iterable of pairs, optional
        Number of folds, a splitter of scikit-learn, which also gets the classes and groups, or pairs of (train, test)
        row numbers. None takes five folds, or as many as the smallest class has items. A class with one item, or all
        in one fold, is kept for training alone. If fewer than two classes can be held out, nothing is, and C is the
        usual one.
    class_weight : mapping, 'balanced' or None
        None, `balanced`, or weights by class. For several labels these are the weights of each label's absence, 0, and
        presence, 1.
    scoring : {'accuracy', 'f1_macro'}
        `accuracy` or `f1_macro`. Several labels are always scored by macro F1.
    scaling : {'auto', 'none', 'global', 'unit', 'centred', 'standard'}
        How features are scaled: `none`; `global`, all by one number; `unit`, each row to length 1; `centred`, each row
        to length 1 before and after the mean of the training rows is subtracted; `standard`, each feature by its
        standard deviation (z-scores). `auto` takes `standard` for fewer than 32 features, else `centred` for fewer than
        100 rows, else `unit`. With 100 items or more, and 10 or more of each class, cross-validation tells whether
        `global` or `standard` is clearly better than `unit`.
    sqrt : bool, optional
        Whether features are replaced by their square roots, negative ones by minus that of their magnitude. None is
        decided as `auto`: for features that are non-negative and mostly zero.
    calibrate : bool
        Fit a temperature to the held-out decision values, by which `predict_proba` divides.
    tol : float, optional
        Relative distance of the objective from its minimum. None takes 1e-12, or 1e-5 for large problems.
    random_state : int
        Seed of the folds and the learning curve.

    Attributes
    ----------
    classes_ : array (k,)
        Classes (k,). For several labels the numbers of the columns.
    coef_, intercept_ : float64 arrays
        float64 (k, d) and (k,); one row for two classes. They apply to `preparation.rows(X)`, around `centre_`.
    centre_ : float64 array or None
        Mean (d,) of the training rows at length 1, for the scaling `centred`.
    C_, temperature_ : float
        The chosen C and temperature.
    scaling_, sqrt_
        The chosen scaling, and whether square roots are taken.
    cross_validation_ : CrossValidation or None
        The held-out predictions, see `CrossValidation`. None where `C` was given or nothing could be held out.
    scores_ : array
        Score (Cs,) of each of `cross_validation_.Cs`, where C was chosen.
    folds_ : array (n,)
        Fold (n,) of each row, where C was chosen; -1 for rows that were kept for training.
    objective_ : float
        Value of the objective.
    n_features_in_ : int
        Number d of features.
    feature_spec_, report_, seen_
        As of `LinearModel`; `fit_probe` sets them.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> probe = LinearProbe().fit(X, X[:, 0] > 0)
    >>> probe.predict(X[:2]).shape, probe.predict_proba(X[:2]).shape
    ((2,), (2, 2))
    """

    def __init__(
        self,
        kind: Kind = "logistic",
        *,
        C: float | None = None,
        Cs: Sequence[float] | None = None,
        cv: int | Iterable[Any] | None = None,
        class_weight: ClassWeight = None,
        scoring: Scoring = "accuracy",
        scaling: Scaling | Literal["auto"] = "auto",
        sqrt: bool | None = None,
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
        self.scaling = scaling
        self.sqrt = sqrt
        self.calibrate = calibrate
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @property
    def fitted_by(self) -> str:
        """The estimator, with the chosen scaling and all parameters that are not the default, as Python."""
        self._check_fitted()
        return repr(LinearProbe(**{**self.get_params(deep=False), "scaling": self.scaling_, "sqrt": self.sqrt_}))

    def _check_fitted(self) -> None:
        check_is_fitted(self)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None, folds: Any = None) -> LinearProbe:
        """Fit the classifier.

        Parameters
        ----------
        X : array-like (n, d)
            Rows (n, d) of finite numbers.
        y : array-like (n,) or (n, k)
            Classes (n,), or labels (n, k) in {0, 1}.
        sample_weight : array-like (n,), optional
            Weights (n,), none negative. None gives each row the weight 1.
        groups : array-like (n,), optional
            Groups (n,). Rows of one group are never in two folds. None makes each row a group.
        folds : array-like (n,), optional
            Official folds (n,), used as they are. The report says which groups they split.

        Returns
        -------
        LinearProbe
            This object.

        Raises
        ------
        BadInput
            A ValueError, for what cannot be fitted.
        SightsoundError
            Where every class has fewer items than the folds that were asked for, or the folds are no partition.
        """
        _check_parameters(self)
        X = check_rows(X)
        classes, Y = encode_targets(y, len(X))
        self._reset(classes, is_single(y))
        self.n_features_in_ = X.shape[1]
        self._row_weights = weights = _check_weights(sample_weight, len(X))
        self.cross_validation_: CrossValidation | None = None
        preparations = self._preparations(X if weights.all() else X[weights > 0])
        self.scaling_, self.sqrt_ = preparations[0].scaling, preparations[0].sqrt
        self.C_, self.temperature_ = 1.0 if self.C is None else float(self.C), 1.0
        if is_large(self._trainer(), X, Y, weights, None, self.scaling_):
            Y = Y.astype(np.int8)  # an eighth of the memory
        choice = self._choose(X, y, Y, groups, folds, preparations) if self.C is None else None
        self._set_solution(_solution(self, X, Y, choice))
        return self

    def _preparations(self, X: NDArray[Any]) -> list[Preparation]:
        """Return the preparations to choose among, the usual one first."""
        scaling, sqrt = (None if self.scaling == "auto" else self.scaling), self.sqrt
        return list(
            dict.fromkeys(
                Preparation(scaling or each.scaling, each.sqrt if sqrt is None else sqrt)
                for each in candidate_preparations(X)
            )
        )

    def _trainer(self) -> Trainer:
        return Trainer(self.kind, self.classes_, self._single, self.class_weight, self.scaling_, self.tol)

    def _choose(
        self, X: NDArray[Any], y: Any, Y: Matrix, groups: Any, folds: Any, preparations: list[Preparation]
    ) -> Choice | None:
        """Set the preparation, C and the temperature. Return the choice, or None where nothing can be held out."""
        chooser = _chooser(self, X, y, Y, groups, folds)
        self.folds_ = chooser.folds
        if self.folds_.max() < 0:
            self.C_ = self.preparation.usual_C(self.preparation.rows(X))
            return None
        Cs = sorted(DEFAULT_CS if self.Cs is None else map(float, self.Cs))
        choice = chooser.choose(preparations, Cs)
        self.scaling_, self.sqrt_ = choice.preparation.scaling, choice.preparation.sqrt
        self.cross_validation_ = found = choice.cross_validation
        self.scores_, self.fold_sizes_ = found.scores, np.bincount(found.folds).tolist()
        self.C_, self.temperature_ = found.C, found.temperature if self.calibrate else 1.0
        return choice

    def _set_solution(self, solution: Solution) -> None:
        self.coef_, self.centre_ = np.ascontiguousarray(solution.coef.T), solution.centre
        self.intercept_ = solution.intercept
        self.objective_ = solution.objective
        if not solution.converged:
            text = f"C={self.C_:g}: the objective is not at its minimum; scale the features, or take a smaller C"
            warnings.warn(text, ConvergenceWarning, stacklevel=3)

    # -- cross-validation ----------------------------------------------------------------------------------------

    def report(self, X: Any = None, *, curve: bool = True) -> ProbeReport:
        """Return the results of the cross-validation.

        Parameters
        ----------
        X : array-like (n, d), optional
            The rows (n, d) it was fitted on, for the nearest neighbours and the learning curve. None leaves these out.
        curve : bool
            Whether to compute the learning curve, which takes the longest.

        Returns
        -------
        ProbeReport
            The report.

        Raises
        ------
        BadInput
            Where `C` was given or nothing could be held out, so that there was no cross-validation.
        """
        found = self._require_cross_validation("report", "fit with C=None, or use evaluate")
        more: dict[str, Any] = {
            "notes": (*found.notes(), *folding.kept_notes(self._labels(), found.truth, found.folds))
        }
        if self._single and self.scoring == "accuracy":
            more["corrected"] = found.corrected
        if X is not None:
            more |= _baselines(self, _check_length(check_rows(X), len(self.folds_)), found, curve)
        settings: dict[str, Any] = {"single": self._single, "raw": found.probabilities(calibrate=False)}
        how, P = f"cross-validation over {found.count} folds", self.held_out_probabilities()
        return metrics.report(how, self._labels(), found.truth, P, groups=found.groups, **settings, **more)

    def held_out_probabilities(self) -> Matrix:
        """Return the probabilities (n, k) of the rows it was fitted on, from when their fold was held out.

        Rows that were kept for training are left out, see `cross_validation_.rows`.
        """
        found = self._require_cross_validation("held_out_probabilities", "fit with C=None")
        return found.probabilities(calibrate=self.calibrate)

    def _require_cross_validation(self, what: str, advice: str) -> CrossValidation:
        self._check_fitted()
        if self.cross_validation_ is None:
            why = "C was given" if self.C is not None else "there are too few items"
            raise BadInput(f"{what}: nothing was held out, for {why}; {advice}")
        return self.cross_validation_


def held_out_by_features(
    features: Sequence[tuple[LinearProbe, Any]], y: Any, *, groups: Any = None, folds: Any = None
) -> tuple[list[CrossValidation], bool]:
    """Return the held-out predictions of probes with several features of the same rows, in the same folds.

    Each is fitted once for each fold, with its usual scaling and C. This takes little time beside the choice of C.

    Parameters
    ----------
    features : sequence of (LinearProbe, array-like (n, d))
        The settings for each features, which are not changed, and the rows with their own number d of features. The
        folds are those of the first settings.
    y, groups, folds
        As of `LinearProbe.fit`.

    Returns
    -------
    found : list of CrossValidation
        One for each features; empty where nothing can be held out.
    enough : bool
        Whether there are examples enough to choose by them.

    Raises
    ------
    BadInput
        As `LinearProbe.fit`.
    """
    found: list[CrossValidation] = []
    classes, Y = encode_targets(y, len(features[0][1]))
    chooser: Chooser | None = None
    for probe, given in features:
        fitted, X = LinearProbe(**probe.get_params(deep=False)), check_rows(given)
        _check_parameters(fitted)
        fitted._reset(classes, is_single(y))
        fitted._row_weights = _check_weights(None, len(Y))
        preparation = fitted._preparations(X)[0]
        fitted.scaling_, fitted.sqrt_ = preparation.scaling, preparation.sqrt
        chooser = _chooser(fitted, X, y, Y, groups, folds) if chooser is None else replace(chooser, X=X)
        if chooser.folds.max() < 0:
            return [], False
        found.append(chooser.held_out(preparation))
    return found, chooser is not None and chooser.has_enough()


def _chooser(probe: LinearProbe, X: NDArray[Any], y: Any, Y: Matrix, groups: Any, folds: Any) -> Chooser:
    """Return what cross-validates a probe, with the fold of each row."""
    groups = np.arange(len(X)) if groups is None else np.unique(check_column(groups, len(X)), return_inverse=True)[1]
    folds = _assign_folds(probe, X, y, Y, groups, folds)
    return Chooser(probe._trainer(), X, Y, probe._row_weights, folds, groups, probe.scoring)


def _solution(probe: LinearProbe, X: NDArray[Any], Y: Matrix, choice: Choice | None) -> Solution:
    """Return the classifier of all rows for the chosen C."""
    weights, trainer = probe._row_weights, probe._trainer()
    if choice is not None and choice.solution is not None:
        return choice.solution
    if choice is None and is_large(trainer, X, Y, weights, None, probe.scaling_):
        one = np.zeros(len(X), np.intp)
        given = LargeSet.of(trainer, X, Y, weights, folds=one, groups=one)
        return LargeFits(given, probe.preparation).solution(probe.C_)
    X = probe.preparation.rows(X)
    start = None if choice is None else choice.start
    (solution,) = trainer.path(X, Y, weights, [probe.C_], exact=True, start=start)
    return solution


def _assign_folds(probe: LinearProbe, X: NDArray[Any], y: Any, Y: Matrix, groups: Ints, folds: Any) -> Ints:
    """Return the fold (n,) in which each row is held out, -1 for rows that are kept for training."""
    names = probe._labels()
    if folds is not None:
        found = folding.official(check_column(folds, len(Y)), Y, names, strict=False)
    elif probe.cv is None or isinstance(probe.cv, int | np.integer):
        found = folding.split(Y, names, groups, probe.cv, seed=probe.random_state, strict=False)
    else:
        found = folding.official(folding.partition(probe.cv, X, np.asarray(y), groups), Y, names, strict=False)
    return folding.keep_for_training(found, Y)


def _baselines(probe: LinearProbe, X: NDArray[Any], found: CrossValidation, curve: bool) -> dict[str, Any]:
    """Return the accuracy of the nearest neighbours and, for one class a row, the learning curve."""
    X = X[found.rows]
    nearest = indicators(metrics.neighbours(X, found.truth, found.folds), probe._single)
    baselines: dict[str, Any] = {"neighbours": metrics.estimate((nearest == found.truth).all(axis=1), found.groups)}
    trainer, X = probe._trainer(), probe.preparation.rows(X)

    def fit_predict(rows: Ints, out: Ints) -> Matrix:
        (solution,) = trainer.path(X[rows], found.truth[rows], probe._row_weights[found.rows[rows]], [probe.C_])
        return trainer.predict(trainer.decisions(X[out], solution))

    if probe._single and curve:
        baselines["curve"] = found.learning_curve(fit_predict, probe.random_state)
    return baselines


def _check_parameters(probe: LinearProbe) -> None:
    """Raise `BadInput` for a parameter with an illegal value."""
    weights, scorings = probe.class_weight, ("accuracy", "f1_macro")
    if isinstance(weights, Mapping):
        weights_hold = all(value >= 0 for value in weights.values()) and any(weights.values())
    else:
        weights_hold = weights in (None, "balanced")
    rules = [
        (probe.kind in LOSSES, f"kind: expected one of {', '.join(LOSSES)}, got {probe.kind!r}"),
        (probe.C is None or _is_C(probe.C), f"C: expected a positive number or None, got {probe.C!r}"),
        (
            probe.Cs is None or (len(probe.Cs) > 0 and all(map(_is_C, probe.Cs))),
            f"Cs: expected positive numbers, got {probe.Cs!r}",
        ),
        (weights_hold, f"class_weight: expected balanced, weights from 0 or None, got {weights!r}"),
        (probe.scaling in ("auto", *SCALINGS), f"scaling: expected auto or one of {SCALINGS}, got {probe.scaling!r}"),
        (probe.scoring in scorings, f"scoring: expected accuracy or f1_macro, got {probe.scoring!r}"),
    ]
    for holds, text in rules:
        if not holds:
            raise BadInput(text)


def _check_weights(sample_weight: Any, rows: int) -> Matrix:
    """Return row weights (n,). Raise `BadInput` for weights that are not finite, negative, or all zero."""
    weights = np.ones(rows) if sample_weight is None else np.array(sample_weight, np.float64)
    if weights.ndim == 0:
        weights = np.full(rows, float(weights))
    if weights.shape != (rows,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        text = "finite weights, not all zero, none negative"
        raise BadInput(f"sample_weight: expected {rows} {text}, got shape {weights.shape}")
    return weights


def _check_length(X: NDArray[Any], rows: int) -> NDArray[Any]:
    if len(X) != rows:
        raise BadInput(f"X: expected the {rows} rows that it was fitted on, got {len(X)}")
    return X


def _is_C(value: object) -> bool:
    return isinstance(value, int | float | np.number) and bool(0 < value < np.inf)
