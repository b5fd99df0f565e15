"""A fitted linear classifier, with NumPy alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Matrix
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Prediction
from sightsound.linear import file as probe_file
from sightsound.linear.decisions import decision_values, indicators, probabilities, rank
from sightsound.linear.features import FeatureSpec
from sightsound.linear.head import GivesHead
from sightsound.linear.report import ProbeReport
from sightsound.linear.scaling import Preparation, Scaling, around
from sightsound.linear.validation import BadInput, check_column, check_indicators, check_rows

if TYPE_CHECKING:
    from sightsound.linear.cross_validation import Scoring
    from sightsound.linear.training import Kind

SAVED_PARAMETERS = ("kind", "scoring", "calibrate")  # parameters of `LinearProbe` that a file has


class LinearModel(GivesHead):
    """A fitted linear classifier, which predicts with NumPy alone.

    `load_probe` returns one, and a fitted `LinearProbe` is one.

    Parameters
    ----------
    coef : array (k, d)
        Coefficients float64 (k, d), or (1, d) for two classes.
    intercept : array (k,)
        Intercept float64 (k,) or (1,).
    classes : array (k,)
        Classes (k,): text, numbers or booleans.
    temperature : float
        Positive divisor of the decision values of which `predict_proba` takes the softmax or sigmoid.
    single : bool
        True: each row has one class. False: each row has any number of the labels.
    C : float
        Inverse regularisation strength it was fitted with.
    kind, scoring, calibrate : optional
        Parameters of the `LinearProbe` that fitted it.
    scaling : {'none', 'global', 'unit', 'centred', 'standard'}
        How features were scaled. Only `unit` and `centred` concern prediction; the others are part of the coefficients.
    sqrt : bool
        Whether the coefficients are those of the square roots of the features.
    centre : array (d,), optional
        Mean (d,) of the training rows at length 1, for the scaling `centred`.

    Attributes
    ----------
    classes_, coef_, intercept_, temperature_, C_, scaling_, sqrt_, centre_
        As the parameters.
    n_features_in_ : int
        Number d of features.
    feature_spec_ : FeatureSpec or None
        Which rows it takes. None where it was not fitted to a data set of a library.
    report_ : ProbeReport or None
        Its evaluation. None where it has none.
    seen_ : uint64 array
        uint64: content ids of the items it was fitted to.
    fold_sizes_ : list of int or None
        Rows in each fold of the cross-validation. None where `C` was given.
    none_below_ : float or None
        The highest probability under which an item may have none of the classes. `fit_probe` sets it.

    Examples
    --------
    >>> import numpy as np
    >>> model = LinearModel(np.eye(2), np.zeros(2), np.array(["cat", "dog"]), single=False)
    >>> model.predict(np.array([[1.0, -1.0]])).tolist()
    [[1, 0]]
    """

    def __init__(
        self,
        coef: Matrix,
        intercept: Matrix,
        classes: NDArray[Any],
        *,
        temperature: float = 1.0,
        single: bool = True,
        C: float = 1.0,
        kind: Kind = "logistic",
        scoring: Scoring = "accuracy",
        calibrate: bool = True,
        scaling: Scaling = "none",
        sqrt: bool = False,
        centre: Matrix | None = None,
    ) -> None:
        self.kind = kind
        self.scoring = scoring
        self.calibrate = calibrate
        self.scaling_, self.sqrt_, self.centre_ = scaling, sqrt, centre
        self._reset(classes, single)
        self.coef_, self.intercept_ = coef, intercept
        self.C_, self.temperature_ = C, temperature
        self.n_features_in_ = coef.shape[1]

    def _reset(self, classes: NDArray[Any], single: bool) -> None:
        """Set the classes, and everything that is known of a classifier to nothing."""
        self.classes_ = classes
        self._single = single
        self.feature_spec_: FeatureSpec | None = None
        self.report_: ProbeReport | None = None
        self.seen_ = np.empty(0, np.uint64)
        self.fold_sizes_: list[int] | None = None
        self.none_below_: float | None = None

    def __repr__(self) -> str:
        classes = f"{len(self.classes_)} {'classes' if self._single else 'labels'}"
        return f"{type(self).__name__}({self.kind}, {classes}, {self.n_features_in_} features)"

    @property
    def fitted_by(self) -> str:
        """The estimator that fitted it, with the parameters that a file keeps, as Python."""
        return _as_python(self)

    def _check_fitted(self) -> None:
        """Do nothing: a model is fitted. `LinearProbe` raises before `fit`."""

    def decision_function(self, X: Any) -> Matrix:
        """Return the decision values of rows X (n, d): float64 (n, k), or (n,) for two classes."""
        D = self._decisions(X)
        return D[:, 1] if self._two_classes else D

    def predict_proba(self, X: Any) -> Matrix:
        """Return the probabilities of rows X (n, d): float64 (n, k).

        They add up to 1 in each row, except for several labels.
        """
        return probabilities(self._decisions(X), self.temperature_, self._single)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the classes (n,) of rows X (n, d), or (n, k) in {0, 1} for several labels."""
        predicted = indicators(self._decisions(X), self._single, threshold=0.0)
        return self.classes_[predicted.argmax(axis=1)] if self._single else predicted.astype(np.intp)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on other rows.

        Parameters
        ----------
        X : array-like (n, d)
            Rows (n, d).
        y : array-like (n,) or (n, k)
            Classes (n,), or labels (n, k) in {0, 1}.
        sample_weight : array-like (n,), optional
            Weights (n,). None gives each row the weight 1.

        Returns
        -------
        float
            Proportion of correct rows. With several labels all of a row's must be.
        """
        predicted, y = self.predict(X), np.asarray(y)
        correct = predicted == (y if predicted.ndim == y.ndim else y.reshape(predicted.shape))
        return float(np.average(correct if self._single else correct.all(axis=1), weights=sample_weight))

    @property
    def single(self) -> bool:
        """Whether a row has one class, rather than any number of labels."""
        return self._single

    @property
    def _two_classes(self) -> bool:
        return self._single and len(self.classes_) == 2

    @property
    def preparation(self) -> Preparation:
        """How rows are prepared, before they are centred and the coefficients apply."""
        return Preparation(self.scaling_, self.sqrt_)

    def columns(self) -> tuple[Matrix, Matrix]:
        """Return coefficients (d, k) and intercept (k,) on prepared rows, with zeros for the first of two classes."""
        self._check_fitted()
        coef, intercept = self.coef_.T, self.intercept_
        if self._two_classes:
            coef, intercept = np.hstack([np.zeros_like(coef), coef]), np.append(0.0, intercept)
        return coef, intercept

    def _decisions(self, X: Any) -> Matrix:
        """Return decision values (n, k), zeros for the first of two classes."""
        self._check_fitted()
        rows = check_rows(X, features=self.n_features_in_, owner=type(self).__name__)
        rows = around(self.preparation.rows(rows), self.centre_)
        return decision_values(rows, self.coef_.T, self.intercept_, two_classes=self._two_classes)

    def require_feature_spec(self) -> FeatureSpec:
        """Return which rows it takes.

        Raises `SightsoundError` where it was not fitted to a data set of a library.
        """
        self._check_fitted()
        if self.feature_spec_ is None:
            raise SightsoundError(
                "probe: expected one that was fitted from a library and knows its network; use predict and evaluate"
            )
        return self.feature_spec_

    def rank(self, probabilities: Matrix) -> tuple[Prediction, ...]:
        """Return the classes with their probabilities (k,), the most probable first."""
        return rank(self.classes_, probabilities)

    def predict_item(self, vectors: Floats, scores: Floats | None = None) -> tuple[Prediction, ...]:
        """Return the classes of one item, the most probable first.

        Parameters
        ----------
        vectors : float32 array (n, dim)
            The vectors of its windows.
        scores : float32 array (n, classes), optional
            The scores of its windows, as a library keeps them, for a probe that uses them.

        Returns
        -------
        tuple of Prediction
        """
        return self.rank(self.predict_proba(self.require_feature_spec().rows(vectors, scores)).mean(axis=0))

    def evaluate(self, X: Any, y: Any, *, groups: Any = None) -> ProbeReport:
        """Return the report on rows that it was not fitted on.

        This needs scikit-learn.

        Parameters
        ----------
        X : array-like (n, d)
            Rows (n, d).
        y : array-like (n,) or (n, k)
            Classes (n,), or labels (n, k) in {0, 1}.
        groups : array-like (n,), optional
            Groups (n,) that the interval draws as a whole. None makes each row a group.

        Returns
        -------
        ProbeReport
            The report.

        Raises
        ------
        BadInput
            For a class that it does not know.
        """
        return _evaluation(self, X, y, groups)

    def encode(self, y: Any) -> Matrix:
        """Return targets, classes (n,) or labels (n, k) in {0, 1}, as float64 (n, k) in {0, 1}.

        Raises `BadInput` for a class that the model does not know.
        """
        return _encoded(self, y)

    def _labels(self) -> list[str]:
        return [str(label) for label in self.classes_]

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write one file: safetensors with the coefficients, and JSON in its header.

        Raises `SightsoundError` where it cannot be written, or classes are neither text, numbers nor booleans.
        """
        probe_file.write(file, "probe", *self.state())

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return what a file holds: arrays, and metadata for JSON."""
        self._check_fitted()
        return _state(self)


def _state(model: LinearModel) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return what `LinearModel.state` describes."""
    arrays = {"coef": model.coef_, "intercept": model.intercept_, "seen": model.seen_}
    arrays |= {} if model.centre_ is None else {"centre": model.centre_}
    metadata = {
        "classes": model.classes_.tolist(),
        "single": model._single,
        "C": model.C_,
        "temperature": model.temperature_,
        "params": {name: getattr(model, name) for name in SAVED_PARAMETERS},
        "scaling": model.scaling_,
        "sqrt": model.sqrt_,
        "folds": model.fold_sizes_,
        "none_below": model.none_below_,
        "origin": None if model.feature_spec_ is None else model.feature_spec_.to_json(),
        "report": None if model.report_ is None else model.report_.to_json(),
    }
    return arrays, metadata


def _as_python(model: LinearModel) -> str:
    """Return the estimator that fitted a model, with what a file keeps of its parameters."""
    defaults = LinearModel(model.coef_, model.intercept_, model.classes_)
    changed = {name: getattr(model, name) for name in sorted(SAVED_PARAMETERS)}
    changed = {name: value for name, value in changed.items() if value != getattr(defaults, name)}
    shown = {**changed, "scaling": model.scaling_, "sqrt": model.sqrt_}
    return f"LinearProbe({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _evaluation(model: LinearModel, X: Any, y: Any, groups: Any) -> ProbeReport:
    """Return what `LinearModel.evaluate` describes."""
    from sightsound.linear import metrics

    D = model.decision_function(X)
    decisions = np.stack([np.zeros_like(D), D], axis=1) if D.ndim == 1 else D
    calibrated, raw = (probabilities(decisions, t, model.single) for t in (model.temperature_, 1.0))
    Y = model.encode(y)
    groups = None if groups is None else check_column(groups, len(Y))
    labels = [str(label) for label in model.classes_]
    settings: dict[str, Any] = {"single": model.single, "raw": raw, "groups": groups}
    return metrics.report("rows that were given", labels, Y, calibrated, **settings)


def _encoded(model: LinearModel, y: Any) -> Matrix:
    """Return what `LinearModel.encode` describes."""
    if not model.single:
        return check_indicators(y, len(model.classes_))
    y = np.asarray(y)
    known = [str(label) for label in model.classes_]
    unknown = sorted(set(y.tolist()) - set(model.classes_.tolist()))
    if unknown:
        raise BadInput(f"class {unknown[0]!r}: expected one of {known}; leave its items out")
    Y: Matrix = (y[:, None] == model.classes_).astype(np.float64)
    return Y
