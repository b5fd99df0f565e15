"""Recommend a method for a labelled collection, with the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sightsound._progress import bar
from sightsound.contract.errors import SightsoundError
from sightsound.learn.dataset import Dataset, align_datasets
from sightsound.learn.fit import fit_probe
from sightsound.learn.near_duplicates import NearDuplicate, near_duplicates
from sightsound.learn.suggestions import NetworkScore, Suggestion, suggest
from sightsound.linear import metrics
from sightsound.linear.cross_validation import COARSE_CS
from sightsound.linear.report import Estimate

if TYPE_CHECKING:
    from sightsound.linear.probe import LinearProbe


@dataclass(frozen=True)
class Advice:
    """What was measured on a labelled collection, and what to do.

    Parameters
    ----------
    counts : tuple of (str, int)
        The items of each class, the commonest class first.
    imbalance : float
        The items of the commonest class divided by those of the rarest.
    near_duplicates : tuple of NearDuplicate
        Items that are nearly the same, but have different classes or folds.
    networks : tuple of NetworkScore
        The networks, best first.
    average_gain : Estimate, optional
        The accuracy that the mean of the probabilities of all networks gains over the best network. None for one
        network.
    suggestions : tuple of Suggestion
        What to do, best first.
    notes : tuple of str
        Which items were left out, and why.
    """

    counts: tuple[tuple[str, int], ...]
    imbalance: float
    near_duplicates: tuple[NearDuplicate, ...]
    networks: tuple[NetworkScore, ...]
    average_gain: Estimate | None
    suggestions: tuple[Suggestion, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Suggestion:
        """The method to try first."""
        return self.suggestions[0]


def advise(datasets: Sequence[Dataset], *, progress: bool | None = None) -> Advice:
    """Recommend a method for a labelled collection.

    Parameters
    ----------
    datasets : sequence of Dataset
        The collection in the space of each network, see `load_datasets`. Rows are items with one class each.
    progress : bool, optional
        Whether to show a progress bar. By default on a terminal and in a notebook.

    Returns
    -------
    Advice

    Raises
    ------
    SightsoundError
        If the rows are windows or have several classes, there is no data set, a probe cannot be fitted, or fewer than
        two classes have two items.
    """
    if not datasets or any(data.feature_spec.level != "item" or not data.single for data in datasets):
        raise SightsoundError("advise: expected items with one class each, of one network or more")
    aligned = align_datasets(datasets)
    counts = tuple((str(name), count) for name, count in Counter(aligned[0].y.tolist()).most_common())
    fitted = _fit_networks(aligned, progress)
    networks = tuple(network for network, _ in fitted)
    gain = _average_gain([probe for _, probe in fitted])
    return Advice(
        counts=counts,
        imbalance=counts[0][1] / counts[-1][1],
        near_duplicates=near_duplicates(aligned),
        networks=networks,
        average_gain=gain,
        suggestions=suggest(counts, networks, gain),
        notes=aligned[0].notes,
    )


def score_network(data: Dataset, *, curve: bool = True) -> tuple[NetworkScore, LinearProbe]:
    """Measure how well a network separates the classes of a data set.

    Parameters
    ----------
    data : Dataset
        Rows that are items with one class each.
    curve : bool
        Whether the report of the probe has a learning curve.

    Returns
    -------
    NetworkScore, LinearProbe
        The accuracies on held-out items, and the probe, fitted to all items.

    Raises
    ------
    SightsoundError
        If a probe cannot be fitted, or fewer than two classes have two items.
    """
    from sightsound.linear.probe import LinearProbe

    probe = fit_probe(data, LinearProbe(Cs=COARSE_CS), curve=curve)
    report = probe.report_
    if report is None or report.neighbours is None:
        raise SightsoundError("advise: expected two classes with two items or more, got fewer; label some more")
    return NetworkScore(data.model, data.X.shape[1], report.accuracy, report.neighbours, report), probe


def _fit_networks(datasets: Sequence[Dataset], progress: bool | None) -> list[tuple[NetworkScore, LinearProbe]]:
    """Fit a probe to each data set; the best network comes first."""
    fitted: list[tuple[NetworkScore, LinearProbe]] = []
    with bar(len(datasets), "advise", progress) as shown:
        for data in datasets:
            fitted.append(score_network(data))
            shown.update()
    return sorted(fitted, key=lambda pair: -pair[0].probe.value)


def _average_gain(probes: Sequence[LinearProbe]) -> Estimate | None:
    """Return what the mean of the cross-validated probabilities gains over those of the first probe."""
    if len(probes) < 2:
        return None
    held_out = probes[0].cross_validation_
    assert held_out is not None
    truth = held_out.truth.argmax(axis=1)
    predicted = [probe.held_out_probabilities() for probe in probes]
    correct = (np.mean(predicted, axis=0).argmax(axis=1) == truth).astype(float)
    return metrics.estimate(correct - (predicted[0].argmax(axis=1) == truth), held_out.groups)
