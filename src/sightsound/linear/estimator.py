"""What scikit-learn asks of an estimator, for classes that do without importing it."""

from __future__ import annotations

import inspect
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.errors import SightsoundError

Self = TypeVar("Self", bound="Estimator")


class BadInput(SightsoundError, ValueError):
    """Rows, targets or settings that an estimator cannot work with."""


class Estimator:
    """Parameters are the arguments of `__init__`, kept under their names; what is fitted ends in an underscore."""

    _kind: Literal["classifier", "transformer"]

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; with `deep` those of estimators among them too, as `name__parameter`."""
        found = {name: getattr(self, name) for name in self._names()}
        if deep:
            for name, value in list(found.items()):
                if hasattr(value, "get_params") and not isinstance(value, type):
                    found |= {f"{name}__{key}": inner for key, inner in value.get_params().items()}
        return found

    def set_params(self: Self, **params: Any) -> Self:
        """Sets parameters by name. Raises `ValueError` for a name that there is not."""
        for key, value in params.items():
            name, _, inner = key.partition("__")
            if name not in self._names():
                raise BadInput(f"{type(self).__name__}: no parameter {name!r}; it has {', '.join(self._names())}")
            if inner:
                getattr(self, name).set_params(**{inner: value})
            else:
                setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        shown = [f"{k}={v!r}" for k, v in self.get_params(deep=False).items() if repr(v) != repr(defaults[k].default)]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __sklearn_is_fitted__(self) -> bool:
        return any(name.endswith("_") and not name.startswith("_") for name in vars(self))

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags, TransformerTags

        classifies = self._kind == "classifier"
        return Tags(
            estimator_type=self._kind,
            target_tags=TargetTags(required=classifies),
            transformer_tags=None if classifies else TransformerTags(),
            classifier_tags=ClassifierTags(multi_label=True) if classifies else None,
            regressor_tags=None,
            input_tags=InputTags(string=not classifies, two_d_array=classifies),
        )

    def _fitted(self) -> None:
        """Raises scikit-learn's NotFittedError, a ValueError, before `fit` was called."""
        if not self.__sklearn_is_fitted__():
            text = f"this {type(self).__name__} is not fitted yet; call fit first"
            try:
                from sklearn.exceptions import NotFittedError
            except ImportError:
                raise BadInput(text) from None
            raise NotFittedError(text)


def matrix(X: Any, *, what: str = "X", features: int | None = None, owner: str = "") -> NDArray[Any]:
    """Rows of finite float32 or float64 numbers (n, d). Raises `BadInput` for anything else."""
    if hasattr(X, "toarray"):
        raise BadInput(f"{what}: sparse input is not supported; expected rows of numbers, call .toarray() first")
    found = np.asarray(X)
    if found.dtype.kind == "c":
        raise BadInput(f"Complex data not supported: {what} is {found.dtype}; expected real numbers")
    if found.ndim != 2:
        text = "Reshape your data: one row for each item, X.reshape(1, -1) for a single one"
        raise BadInput(
            f"{what}: expected 2D array (rows, features), got {found.ndim}D array of shape {found.shape}; {text}"
        )
    if found.dtype not in (np.float32, np.float64):
        try:
            found = found.astype(np.float64)
        except ValueError as error:
            raise BadInput(f"{what}: expected numbers, got {found.dtype} ({error})") from error
    for size, name in zip(found.shape, ("sample", "feature")):
        if size == 0:
            raise BadInput(f"{what}: 0 {name}(s) (shape={found.shape}) while a minimum of 1 is required.")
    if features is not None and found.shape[1] != features:
        raise BadInput(f"X has {found.shape[1]} features, but {owner} is expecting {features} features as input")
    _finite(found, what)
    return found


def _finite(X: NDArray[Any], what: str) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(X.sum()):
            return
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(bad):
        kind = "NaN" if np.isnan(X[bad[0]]).any() else "infinity"
        raise BadInput(
            f"{what}: expected finite numbers, got {kind} in {len(bad)} of {len(X)} rows (the first is row {bad[0]}); "
            f"leave these rows out"
        )
