"""A labelled part of a library -> a probe that knows how good it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.errors import SightsoundError
from sightsound.learn.dataset import Dataset
from sightsound.linear.metrics import ProbeReport
from sightsound.linear.probe import LinearProbe


def fit_probe(data: Dataset, probe: LinearProbe | None = None, *, curve: bool = True) -> LinearProbe:
    """Fits a copy of `probe` (a `LinearProbe()` where there is none) to a dataset, items never torn, by its official
    folds where it has some. `report_` says how good it is, with the learning curve if `curve`."""
    settings = {} if probe is None else probe.get_params(deep=False)
    fitted = LinearProbe(**settings)
    _named(fitted, data)
    fitted.feature_spec_, fitted.seen_ = data.origin, data.contents
    if fitted.held_out_ is not None:
        found = fitted.report(data.X if curve else None)
        fitted.report_ = replace(found, notes=(*data.notes, *found.notes))
    return fitted


def _named(fitted: LinearProbe, data: Dataset) -> None:
    """Fits; the labels of several have their names then."""
    try:
        for name, column in zip(data.classes, data.truth.T):
            if column.all() or not column.any():
                raise SightsoundError(f"label {name!r}: expected items with it and without, got one kind; leave it out")
        fitted.fit(data.X, data.y, groups=data.groups, folds=data.folds)
    except SightsoundError as error:
        raise type(error)(f"{data.origin.space.name}, {data.origin.column}: {error}") from error
    if not data.single:
        fitted.classes_ = np.array(data.classes)


def evaluate_probe(probe: LinearProbe, data: Dataset) -> ProbeReport:
    """How good a probe is on a dataset. Refuses rows of another space, and notes items that it was fitted on."""
    probe.require_feature_spec().space.require(data.origin.space, "probe")
    known = np.isin(data.contents, probe.seen_)
    found = probe.evaluate(data.X, data.y if data.single else _columns(probe, data), groups=data.of)
    notes = list(data.notes)
    if known.any():
        notes.append(f"{known.sum()} of {len(known)} items were among those it was fitted on, and say little")
    return replace(found, how=f"{len(data.items)} items of a library", notes=tuple(notes))


def _columns(probe: LinearProbe, data: Dataset) -> NDArray[Any]:
    """The labels of a dataset as the probe's columns."""
    at = {name: i for i, name in enumerate(data.classes)}
    known = [str(name) for name in probe.classes_]
    beyond = [name for name in data.classes if name not in known]
    if beyond:
        raise SightsoundError(f"label {beyond[0]!r}: expected one of {known}; leave it out of the table")
    none = np.zeros(len(data.y), data.y.dtype)
    return np.stack([data.y[:, at[name]] if name in at else none for name in known], axis=1)
