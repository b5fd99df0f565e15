"""Fit a probe to a data set, and evaluate one on another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.learn.dataset import Dataset
from sightsound.learn.feature_choice import compare_features, settings_for
from sightsound.learn.label_table import Labels
from sightsound.learn.labelled_sample import MAX_SAMPLES
from sightsound.learn.load import load_dataset
from sightsound.library.library import Library
from sightsound.linear.model import LinearModel
from sightsound.linear.rejection import threshold_of_background, threshold_of_held_out
from sightsound.linear.report import ProbeReport

if TYPE_CHECKING:
    from sightsound.linear.probe import LinearProbe


def fit_probe(dataset: Dataset, probe: LinearProbe | None = None, *, curve: bool = True) -> LinearProbe:
    """Fit a probe to a data set and cross-validate it.

    Rows of one group stay on one side of every split. Official folds are used where the data set has some.

    Where the data set has scores too (see `load_dataset`), each kind of features is fitted once for each fold with its
    usual scaling and C, and the report has their accuracies. Of `features="auto"` the scores, or both, are taken where
    they are better than the embedding by two standard errors, from 100 items on with 10 or more of each class.

    Parameters
    ----------
    dataset : Dataset
        The labelled rows, see `load_dataset`.
    probe : LinearProbe, optional
        The settings. It is not changed. `LinearProbe()` by default.
    curve : bool
        Whether the report has a learning curve.

    Returns
    -------
    LinearProbe
        The fitted probe. Its `report_` says how good it is, and is None if `probe.C` was given. Its `none_below_` is
        the lowest threshold that at most 5 % of the background of the data set reach, and without background the one
        that 95 % of the correct held-out items reach; None where there are neither.

    Raises
    ------
    SightsoundError
        If a label of multi-label data has items of one kind alone, or a class has fewer items than there are folds.
    """
    from sightsound.linear.probe import LinearProbe

    given = LinearProbe() if probe is None else probe
    if isinstance(given.cv, Iterator):  # gone through more than once
        given = LinearProbe(**given.get_params(deep=False) | {"cv": list(given.cv)})
    with _named_errors(dataset):
        compared = compare_features(given, dataset)
        if compared is not None and dataset.automatic:
            dataset = dataset.using(compared.best)
        fitted = LinearProbe(**settings_for(given, dataset.feature_spec.use))
        _fit(fitted, dataset)
    fitted.feature_spec_, fitted.seen_ = dataset.feature_spec, dataset.content_ids
    found = fitted.cross_validation_
    if found is not None:
        if compared is not None and dataset.automatic:
            fitted.cross_validation_ = found.comparing(compared.others(found, dataset.feature_spec.use))
        report = fitted.report(dataset.X, curve=curve)
        by_features = () if compared is None else compared.scores
        fitted.report_ = replace(report, notes=(*dataset.notes, *report.notes), by_features=by_features)
    _set_threshold(fitted, dataset)
    return fitted


def _set_threshold(fitted: LinearProbe, dataset: Dataset) -> None:
    """Set the threshold of a fitted probe, and add to its report what background does."""
    found = fitted.cross_validation_
    if dataset.background:
        fitted.none_below_ = threshold_of_background(_background_scores(fitted, dataset))
    if found is None or fitted.report_ is None:
        return
    index = dataset.item_index[found.rows]
    means = _item_means(fitted.held_out_probabilities(), index)
    scores, best = means.max(axis=1), means.argmax(axis=1)
    if not dataset.background:
        correct = _item_means(found.truth, index)[np.arange(len(best)), best] > 0
        fitted.none_below_ = threshold_of_held_out(scores, correct)
    notes = _background_notes(fitted, dataset, scores, "held-out")
    fitted.report_ = replace(fitted.report_, notes=(*fitted.report_.notes, *notes))


def _item_means(rows: Matrix, item_index: NDArray[np.intp]) -> Matrix:
    """Return the mean of the rows (n, k) of each item, by the number (n,) of the item of a row."""
    index = np.unique(item_index, return_inverse=True)[1]
    sums = np.zeros((index.max() + 1, rows.shape[1]))
    np.add.at(sums, index, rows)
    means: Matrix = sums / np.bincount(index)[:, None]
    return means


def _background_scores(probe: LinearModel, dataset: Dataset) -> Matrix:
    """Return the highest probability of each background item."""
    return np.array([probe.predict_proba(rows).mean(axis=0).max() for rows in dataset.background])


def _background_notes(probe: LinearModel, dataset: Dataset, scores: Matrix, kind: str) -> tuple[str, ...]:
    """Return a note on how many background items get a class by the threshold of a probe, and how many others.

    `scores` (m,) are the highest probabilities of the others, and `kind` says what they are.
    """
    least = probe.none_below_
    if least is None or not dataset.background:
        return ()
    both = ((_background_scores(probe, dataset), "background"), (scores, kind))
    counts = " and ".join(f"{(each >= least).sum()} of {len(each)} {name} items" for each, name in both)
    return (f"no class under {least:.3f} (--none-below auto): {counts} get one",)


def _fit(probe: LinearProbe, dataset: Dataset) -> None:
    """Fit a probe; multi-label classes get their names."""
    probe.fit(dataset.X, dataset.y, groups=dataset.groups, folds=dataset.folds)
    if not dataset.single:
        probe.classes_ = np.array(dataset.classes)


@contextlib.contextmanager
def _named_errors(dataset: Dataset) -> Iterator[None]:
    """Check the labels of a data set. Errors of fitting it name the space and the column."""
    try:
        for name, column in zip(dataset.classes, dataset.truth.T):
            if column.all() or not column.any():
                raise SightsoundError(f"label {name!r}: expected items with it and without, got one kind; leave it out")
        yield
    except SightsoundError as error:
        raise type(error)(f"{dataset.model}, {dataset.feature_spec.column}: {error}") from error


def evaluate_probe(probe: LinearModel, dataset: Dataset) -> ProbeReport:
    """Evaluate a probe on a data set.

    Parameters
    ----------
    probe : LinearModel
        A probe that was fitted to a data set.
    dataset : Dataset
        Labelled rows of the same space.

    Returns
    -------
    ProbeReport
        A note says how many items the probe was fitted to, since these say little about new items.

    Raises
    ------
    SpaceMismatch
        If the data set has rows of another space.
    SightsoundError
        If the probe was not fitted to a data set, has not all of the classes, or uses scores that the data set has not.
    """
    spec = probe.require_feature_spec()
    spec.space.require(dataset.feature_spec.space, "probe", anew="or fit the probe anew")
    spec.require_classes(None if dataset.parts is None else dataset.parts.classes)
    dataset = dataset.using(spec.use)
    known = np.isin(dataset.content_ids, probe.seen_)
    y = dataset.y if dataset.single else _indicators(probe, dataset)
    report = probe.evaluate(dataset.X, y, groups=dataset.item_index)
    notes = list(dataset.notes)
    if dataset.background:
        scores = _item_means(probe.predict_proba(dataset.X), dataset.item_index).max(axis=1)
        notes += _background_notes(probe, dataset, scores, "labelled")
    if known.any():
        notes.append(f"{known.sum()} of {len(known)} items were among those it was fitted on, and say little")
    return replace(report, how=f"{len(dataset.items)} items of a library", notes=tuple(notes))


def evaluate_stored(
    probe: LinearModel,
    library: PathLike | Library,
    labels: Labels | None = None,
    *,
    max_samples: int | None = MAX_SAMPLES,
) -> ProbeReport:
    """Evaluate a probe on the labelled items of a library.

    Parameters
    ----------
    probe : LinearModel
        A probe that was fitted to a data set.
    library : path or Library
        A library with vectors of the probe's network.
    labels : Labels, optional
        Where the labels come from. By default those that the library stores.
    max_samples : int or None, default=100,000
        As of `load_dataset`.

    Returns
    -------
    ProbeReport

    Raises
    ------
    SpaceMismatch
        If the library has vectors of another version of the network.
    SightsoundError
        As `load_dataset` and `evaluate_probe`.
    """
    spec = probe.require_feature_spec()
    labels = replace(labels or Labels(), multi_label=not probe.single)
    if labels.ranges and spec.level != "window":
        raise SightsoundError("labels of time ranges: expected a probe of windows, got one of items; leave them out")
    how: dict[str, Any] = {"level": spec.level, "pool": spec.pool, "features": spec.use, "max_samples": max_samples}
    dataset = load_dataset(library, spec.space.name, labels, min_classes=1, **how)
    return evaluate_probe(probe, dataset)


def _indicators(probe: LinearModel, dataset: Dataset) -> NDArray[Any]:
    """Return the labels of a multi-label data set with a column for each class of the probe."""
    columns = {name: i for i, name in enumerate(dataset.classes)}
    known = [str(name) for name in probe.classes_]
    unknown = [name for name in dataset.classes if name not in known]
    if unknown:
        raise SightsoundError(f"label {unknown[0]!r}: expected one of {known}; leave it out of the table")
    absent = np.zeros(len(dataset.y), dataset.y.dtype)
    return np.stack([dataset.y[:, columns[name]] if name in columns else absent for name in known], axis=1)
