"""Several networks as one classifier: a linear probe for each, and another on their probabilities.

This module imports scikit-learn, so no other module imports it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sightsound.contract.arrays import Matrix
from sightsound.contract.errors import SightsoundError
from sightsound.linear import folds as folding
from sightsound.linear.cross_validation import COARSE_CS
from sightsound.linear.probe import LinearProbe
from sightsound.linear.stack_model import Combine, StackModel
from sightsound.linear.targets import encode_targets, is_single
from sightsound.linear.training import Kind
from sightsound.linear.validation import BadInput


class Stack(BaseEstimator, StackModel):  # type: ignore[misc]
    """A logistic regression for each network, and a linear classifier on their held-out probabilities.

    Its rows are a list of matrices, one for each network. scikit-learn's tools that split rows take a single matrix,
    so its tags do not call it a classifier.

    Parameters
    ----------
    top : str or None
        The classifier on the probabilities: `svm`, `logistic`, `ridge`, or None for their average.
    combine : str
        `concatenate` the probabilities of the networks, or `average` them.
    Cs : sequence of float, optional
        Values of C to choose from, for each part by itself.
    cv : int, optional
        Number of folds, as of `LinearProbe`.
    random_state : int
        Seed of the folds.

    Notes
    -----
    A class with one item, or all in one fold, is kept for training alone, as by `LinearProbe`. The top learns it from
    the probabilities of networks that were fitted to its items.

    Attributes
    ----------
    classes_ : array (k,)
        Classes (k,).
    probes_ : list of LinearModel
        The classifier of each network.
    top_ : LinearModel or None
        The classifier on their probabilities, or None.
    feature_specs_, report_, seen_
        As of `StackModel`; `fit_stack` sets them.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 8))
    >>> stack = Stack().fit([X[:, :4], X[:, 4:]], X[:, 0] > 0)
    >>> stack.predict([X[:2, :4], X[:2, 4:]]).shape
    (2,)
    """

    def __init__(
        self,
        top: Kind | None = "svm",
        *,
        combine: Combine = "concatenate",
        Cs: Sequence[float] | None = COARSE_CS,
        cv: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.top = top
        self.combine = combine
        self.Cs = Cs
        self.cv = cv
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.target_tags.required = True
        return tags

    def _check_fitted(self) -> None:
        check_is_fitted(self)

    def fit(self, Xs: Sequence[Any], y: Any, *, groups: Any = None, folds: Any = None) -> Stack:
        """Fit the classifiers of the networks, and the one on their probabilities.

        Parameters
        ----------
        Xs : sequence of arrays (n, d)
            The rows (n, d) of each network, the same n items in each.
        y : array-like (n,)
            Classes (n,).
        groups, folds : array-like (n,), optional
            As of `LinearProbe.fit`.

        Returns
        -------
        Stack
            This object.

        Raises
        ------
        BadInput
            A ValueError, for what cannot be fitted.
        SightsoundError
            Where every class has fewer items than the folds that were asked for, or nothing can be held out.
        """
        self._check(Xs)
        classes, Y = encode_targets(y, len(Xs[0]))
        if not is_single(y):
            raise BadInput("y: expected one class a row, got several labels; fit a LinearProbe for each network")
        if folds is None:
            names = [str(label) for label in classes]
            folds = folding.split(Y, names, groups, self.cv, seed=self.random_state, strict=False)
        numbers = np.unique(folds, return_inverse=True)[1]
        if self.top is not None and folding.keep_for_training(numbers, Y).max() < 0:
            raise SightsoundError("stack: expected two classes with two items or more in two folds; or use top=None")
        folds = folds if numbers.max() > 0 else None
        probes = [self._probe("logistic").fit(X, y, groups=groups, folds=folds) for X in Xs]
        top_model = None
        if self.top is not None:
            combined = self._combined([_held_out(probe, X) for probe, X in zip(probes, Xs)])
            top_model = self._probe(self.top, scaling="standard", sqrt=False).fit(
                combined, y, groups=groups, folds=folds
            )
        self._set_models(probes, top_model)
        return self

    def _check(self, Xs: Sequence[Any]) -> None:
        if self.combine not in ("concatenate", "average"):
            raise BadInput(f"combine: expected concatenate or average, got {self.combine!r}")
        if len(Xs) < 1 or any(np.ndim(X) != 2 or len(X) != len(Xs[0]) for X in Xs):
            shapes = ", ".join(str(np.shape(X)) for X in Xs)
            raise BadInput(f"Xs: expected rows of the same items for each network, got {shapes or 'none'}")

    def _probe(self, kind: Kind, **settings: Any) -> LinearProbe:
        return LinearProbe(kind, Cs=self.Cs, random_state=self.random_state, **settings)


def _held_out(probe: LinearProbe, X: Any) -> Matrix:
    """Return held-out probabilities (n, k), and those after the fit for rows that were kept for training."""
    P = probe.predict_proba(X)
    if probe.cross_validation_ is not None:
        P[probe.cross_validation_.rows] = probe.held_out_probabilities()
    return P
