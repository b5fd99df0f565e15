"""Compare networks, alone and combined, on the same held-out items, and fit a stack of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound._progress import bar
from sightsound.contract.arrays import Matrix
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.host.host import Host
from sightsound.learn.dataset import Dataset, align_datasets
from sightsound.learn.label_table import Labels
from sightsound.learn.labelled_sample import MAX_SAMPLES
from sightsound.learn.load import load_datasets
from sightsound.library.library import Library
from sightsound.linear import folds as folding
from sightsound.linear import metrics
from sightsound.linear.decisions import indicators
from sightsound.linear.report import Estimate, ProbeReport
from sightsound.linear.scaling import usual_preparation
from sightsound.linear.targets import encode_targets
from sightsound.pipeline.latency import measure_latency

if TYPE_CHECKING:
    from sightsound.linear.stack import Stack

FEATURES = "features side by side"
AVERAGE = "average of probabilities"

_MIN_CLASS_ITEMS = 3  # one for a fold that is held out, two for the folds of the stack within the rest
_MIN_CLASSES = 2  # of so many items; smaller ones are used for training alone


@dataclass(frozen=True)
class Candidate:
    """A network, or a combination of networks, and how good it is.

    Parameters
    ----------
    name : str
        The name of the network, or of the combination.
    models : tuple of str
        The networks that it needs.
    accuracy : Estimate
        The accuracy on held-out items, from 0 to 1.
    macro_f1 : float
        The mean F1 of the classes.
    gain, gain_low, gain_high : float
        The accuracy minus that of the best network, in percentage points, and its 95 % bootstrap interval over items.
    milliseconds : float, optional
        The time that its networks take for an item. None if it was not measured.
    gain_per_ms : float, optional
        The gain for each millisecond more than the best network takes. None for single networks.
    """

    name: str
    models: tuple[str, ...]
    accuracy: Estimate
    macro_f1: float
    gain: float = 0.0
    gain_low: float = 0.0
    gain_high: float = 0.0
    milliseconds: float | None = None
    gain_per_ms: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Parameters
    ----------
    candidates : tuple of Candidate
        Each network, their concatenated features, the average of their probabilities, and the stack.
    report : ProbeReport
        The report of the stack.
    stack : Stack, optional
        The stack, fitted to all items.
    """

    candidates: tuple[Candidate, ...]
    report: ProbeReport
    stack: Stack | None = field(default=None, repr=False)


def compare(
    datasets: Sequence[Dataset],
    *,
    stack: Stack | None = None,
    milliseconds: Mapping[str, float] | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Compare networks, alone and combined.

    Each fold is held out from every step, the choice of C and the inner folds of the stack included. A class with one
    item, or all in one fold, is kept for training alone, with a note.

    Parameters
    ----------
    datasets : sequence of Dataset
        The collection in the space of each network, see `load_datasets`. Rows are items with one class each.
    stack : Stack, optional
        The settings of the stack. It is not changed. `Stack()` by default.
    milliseconds : mapping of str to float, optional
        The time of each network for an item.
    progress : bool, optional
        Whether to show a progress bar. By default on a terminal and in a notebook.

    Returns
    -------
    Comparison
        Without a fitted stack, see `fit_stack`.

    Raises
    ------
    SightsoundError
        If there are not two different networks, rows are windows or have several classes, the data sets have no item
        in common, or fewer than two classes have three items.
    """
    from sightsound.linear.stack import Stack

    stack = stack or Stack()
    aligned = _check(datasets)
    first = aligned[0]
    classes, Y = encode_targets(first.y, len(first.X))
    names = [str(label) for label in classes]
    folds = (
        folding.split(Y, names, first.groups, stack.cv, seed=stack.random_state, strict=False)
        if first.folds is None
        else folding.official(first.folds, Y, names, strict=False)
    )
    folds = folding.keep_for_training(folds, Y)
    held = folds >= 0
    if not held.any():
        raise SightsoundError("stack: expected two classes in two folds or more, got most in one; use other folds")
    probabilities = _held_out_probabilities(aligned, folds, len(classes), stack, progress)
    probabilities = {name: table[held] for name, table in probabilities.items()}
    candidates = _score(probabilities, Y[held], first.groups[held], [data.model for data in aligned])
    how, notes = f"cross-validation over {folds.max() + 1} folds", folding.kept_notes(names, Y, folds)
    settings: dict[str, Any] = {"groups": first.groups[held], "notes": (*first.notes, *notes)}
    report = metrics.report(how, names, Y[held], probabilities[_stack_name(stack)], **settings)
    return Comparison(tuple(_add_cost(each, candidates, milliseconds or {}) for each in candidates), report)


def compare_stored(
    library: PathLike | Library,
    models: Sequence[str] = (),
    labels: Labels | None = None,
    *,
    stack: Stack | None = None,
    fit: bool = False,
    max_samples: int | None = MAX_SAMPLES,
    host: Host | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> Comparison:
    """Compare the networks of a library on its labelled items, measure their time, and fit a stack if asked to.

    Parameters
    ----------
    library : path or Library
        A library with vectors of two networks or more.
    models : sequence of str
        The names of the networks. By default all for images, or all for sounds, see `load_datasets`.
    labels : Labels, optional
        Where the labels come from. By default those that the library stores.
    stack : Stack, optional
        The settings of the stack. It is not changed. `Stack()` by default.
    fit : bool
        Whether to fit the stack to all items.
    max_samples : int or None, default=100,000
        As of `load_datasets`.
    host : Host, optional
        The networks, whose time is measured on some of the items. `Host()` by default.
    device : str
        Where they run, see `Host.load`.
    progress : bool, optional
        Whether to show a progress bar. By default on a terminal and in a notebook.

    Returns
    -------
    Comparison

    Raises
    ------
    SightsoundError
        As `load_datasets` and `compare`.
    """
    datasets = load_datasets(library, models, labels, max_samples=max_samples)
    names = [data.model for data in datasets]
    times = measure_latency(host or Host(), names, datasets[0].items, device=device)
    found = compare(datasets, stack=stack, milliseconds=times, progress=progress)
    if not fit:
        return found
    fitted = fit_stack(datasets, stack)
    fitted.report_ = found.report
    return replace(found, stack=fitted)


def fit_stack(datasets: Sequence[Dataset], stack: Stack | None = None) -> Stack:
    """Fit a stack to the items that several data sets have in common.

    Parameters
    ----------
    datasets : sequence of Dataset
        The collection in the space of each network. Rows are items with one class each.
    stack : Stack, optional
        The settings. It is not changed. `Stack()` by default.

    Returns
    -------
    Stack
        The fitted stack. It has no report, see `compare`.

    Raises
    ------
    SightsoundError
        As `compare`.
    """
    aligned = _check(datasets)
    first = aligned[0]
    from sightsound.linear.stack import Stack

    fitted = Stack(**(stack or Stack()).get_params(deep=False))
    fitted.fit([data.X for data in aligned], first.y, groups=first.groups, folds=first.folds)
    fitted.feature_specs_ = [data.feature_spec for data in aligned]
    fitted.seen_ = first.content_ids
    return fitted


def _check(datasets: Sequence[Dataset]) -> list[Dataset]:
    """Return the data sets with the items that all have, if they are fit for a stack."""
    for data in datasets:
        if data.feature_spec.level != "item" or not data.single:
            raise SightsoundError("stack: expected items with one class each; leave out --level window, --multi-label")
    names = [data.model for data in datasets]
    if len(set(names)) < 2:
        got = ", ".join(dict.fromkeys(names)) or "none"
        raise SightsoundError(f"stack: expected two different networks or more, got {got}; name another")
    aligned = align_datasets(datasets)
    first = aligned[0]
    enough = _classes_with(_MIN_CLASS_ITEMS, first.y, first.groups)
    if len(enough) < _MIN_CLASSES:
        least = f"two classes with {_MIN_CLASS_ITEMS} items or more"
        raise SightsoundError(f"stack: expected {least}, got {', '.join(enough) or 'none'}; add items")
    return aligned


def _classes_with(least: int, y: NDArray[Any], groups: NDArray[np.intp]) -> list[str]:
    """Return the classes of rows that are in at least so many groups."""
    return [str(name) for name in np.unique(y) if len(np.unique(groups[y == name])) >= least]


def _stack_name(stack: Stack) -> str:
    return f"stack ({stack.top or 'no'} on {stack.combine}d)"


def _held_out_probabilities(
    datasets: Sequence[Dataset], folds: NDArray[np.intp], n_classes: int, stack: Stack, progress: bool | None
) -> dict[str, Matrix]:
    """Return the probabilities (n, k) that each candidate gives to items it was not fitted to."""
    names = [*(data.model for data in datasets), FEATURES, AVERAGE, _stack_name(stack)]
    found = {name: np.zeros((len(folds), n_classes)) for name in names}
    with bar(folds.max() + 1, "compare", progress) as shown:
        for fold in range(folds.max() + 1):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            for name, probabilities in _predict_fold(datasets, train, test, stack).items():
                found[name][test] = probabilities
            shown.update()
    return found


def _predict_fold(
    datasets: Sequence[Dataset], train: NDArray[np.intp], test: NDArray[np.intp], stack: Stack
) -> dict[str, Matrix]:
    """Fit every candidate to the training items and return its probabilities for the test items."""
    from sightsound.linear.probe import LinearProbe
    from sightsound.linear.stack import Stack

    y, groups = datasets[0].y[train], datasets[0].groups[train]
    settings = {**stack.get_params(deep=False), "cv": None}
    if len(_classes_with(2, y, groups)) < _MIN_CLASSES:  # too few for the inner folds, so the mean is the best guess
        settings["top"] = None
    fitted = Stack(**settings)
    fitted.fit([data.X[train] for data in datasets], y, groups=groups)
    concatenated = _side_by_side([data.X for data in datasets], train)
    joint = LinearProbe(Cs=stack.Cs, sqrt=False, random_state=stack.random_state)
    joint.fit(concatenated[train], y, groups=groups)
    found = {data.model: probe.predict_proba(data.X[test]) for probe, data in zip(fitted.probes_, datasets)}
    average = np.mean(list(found.values()), axis=0)
    found[FEATURES] = joint.predict_proba(concatenated[test])
    found[AVERAGE] = average
    found[_stack_name(stack)] = fitted.predict_proba([data.X[test] for data in datasets])
    return found


def _side_by_side(Xs: Sequence[Matrix], train: NDArray[np.intp]) -> Matrix:
    """Return the features of several networks as one row, each network with about the same length.

    Each is prepared as a probe of its own would by default, by the looks of the training rows.
    """
    blocks = []
    for X in Xs:
        preparation = usual_preparation(X[train])
        rows = preparation.rows(X)
        if preparation.scaling == "standard":
            spread = rows[train].std(axis=0)
            rows = (rows - rows[train].mean(axis=0)) / np.where(spread > 0, spread * np.sqrt(len(spread)), 1)
        blocks.append(rows)
    return np.hstack(blocks)


def _score(probabilities: Mapping[str, Matrix], Y: Matrix, groups: Any, models: Sequence[str]) -> list[Candidate]:
    """Return a candidate for each table of probabilities, with its gain over the best network."""
    correct = {name: table.argmax(axis=1) == Y.argmax(axis=1) for name, table in probabilities.items()}
    best = max(models, key=lambda name: correct[name].mean())
    candidates = []
    for name, table in probabilities.items():
        gain = metrics.estimate(correct[name].astype(float) - correct[best], groups)
        candidates.append(
            Candidate(
                name=name,
                models=(name,) if name in models else tuple(models),
                accuracy=metrics.estimate(correct[name], groups),
                macro_f1=metrics.macro_f1(Y, indicators(table, single=True)),
                gain=100 * gain.value,
                gain_low=100 * gain.low,
                gain_high=100 * gain.high,
            )
        )
    return candidates


def _add_cost(candidate: Candidate, candidates: Sequence[Candidate], milliseconds: Mapping[str, float]) -> Candidate:
    """Return a candidate with its time, and its gain for each millisecond more than the best network takes."""
    if not all(name in milliseconds for name in candidate.models):
        return candidate
    cost = sum(milliseconds[name] for name in candidate.models)
    best = max((each for each in candidates if len(each.models) == 1), key=lambda each: each.accuracy.value).models[0]
    extra = cost - milliseconds.get(best, 0.0)
    gain_per_ms = candidate.gain / extra if len(candidate.models) > 1 and extra > 0 else None
    return replace(candidate, milliseconds=cost, gain_per_ms=gain_per_ms)
