"""What each network is worth, and what several are worth together, on the same held-out items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sightsound._progress import bar
from sightsound.contract.arrays import Matrix
from sightsound.contract.errors import SightsoundError
from sightsound.learn.dataset import Dataset, aligned
from sightsound.linear import folds as folding
from sightsound.linear import metrics
from sightsound.linear.metrics import Estimate, ProbeReport
from sightsound.linear.probe import LinearProbe
from sightsound.linear.stack import Stack
from sightsound.linear.targets import targets

FEATURES = "features side by side"
AVERAGE = "average of probabilities"


@dataclass(frozen=True)
class Candidate:
    """One way to classify: its name, the networks it needs, accuracy on items that no part of it had seen, macro F1,
    what it gains over the best single network in points, with the 95 % interval over items, and what it takes: the
    networks' milliseconds an item (None where nobody measured)."""

    name: str
    models: tuple[str, ...]
    accuracy: Estimate
    macro_f1: float
    gain: float = 0.0
    gain_low: float = 0.0
    gain_high: float = 0.0
    milliseconds: float | None = None
    gain_per_ms: float | None = None


def compare(
    datasets: Sequence[Dataset],
    *,
    stack: Stack | None = None,
    milliseconds: Mapping[str, float] | None = None,
    progress: bool | None = None,
) -> tuple[list[Candidate], ProbeReport]:
    """The networks of these datasets one by one, their features side by side, the average of their probabilities, and
    a stack; and the report of the stack.

    Each fold is held out from everything, the choice of strengths and the stack's own folds too. `milliseconds` are
    those of each model for an item. Raises `SightsoundError` for windows, several labels, or nothing in common.
    """
    stack = stack or Stack()
    together = _ready(datasets)
    first = together[0]
    classes, Y = targets(first.y, len(first.X))
    names = [str(label) for label in classes]
    held = (
        folding.split(Y, names, first.groups, stack.cv, seed=stack.random_state)
        if first.folds is None
        else folding.official(first.folds, Y, names)
    )
    models = [data.origin.space.name for data in together]
    told = _held_out(together, held, len(classes), stack, progress)
    rivals = [_rival(name, _needs(name, models), Y, said, first.groups) for name, said in told.items()]
    scored = _gains(rivals, {name: _right(said, Y) for name, said in told.items()}, first.groups, models)
    how = f"cross-validation over {held.max() + 1} folds"
    report = metrics.report(how, names, Y, told[_name(stack)], groups=first.groups, notes=first.notes)
    return [_priced(rival, rivals, milliseconds or {}) for rival in scored], report


def fit(datasets: Sequence[Dataset], stack: Stack | None = None) -> Stack:
    """A stack on all that several datasets have in common."""
    together = _ready(datasets)
    first = together[0]
    fitted = Stack(**(stack or Stack()).get_params(deep=False))
    fitted.fit([data.X for data in together], first.y, groups=first.groups, folds=first.folds)
    fitted.feature_specs_ = [data.origin for data in together]
    fitted.seen_ = first.contents
    return fitted


def _ready(datasets: Sequence[Dataset]) -> list[Dataset]:
    for data in datasets:
        if data.origin.level != "item" or not data.single:
            raise SightsoundError("stack: expected items with one class each; leave out --level window, --multi-label")
    names = [data.origin.space.name for data in datasets]
    if len(set(names)) < 2:
        got = ", ".join(dict.fromkeys(names)) or "none"
        raise SightsoundError(f"stack: expected two different networks or more, got {got}; name another")
    together = aligned(datasets)
    first = together[0]
    sizes = {name: len(np.unique(first.groups[first.y == name])) for name in first.classes}
    small = min(sizes, key=lambda name: sizes[name])
    if sizes[small] < 3:
        raise SightsoundError(f"class {small!r}: expected 3 items or more for a stack, got {sizes[small]}; add some")
    return together


def _name(stack: Stack) -> str:
    return f"stack ({stack.top or 'no'} on {stack.combine}d)"


def _needs(name: str, models: Sequence[str]) -> tuple[str, ...]:
    return (name,) if name in models else tuple(models)


def _held_out(
    together: Sequence[Dataset], held: Any, count: int, stack: Stack, progress: bool | None
) -> dict[str, Matrix]:
    """The probabilities (n, k) of each rival for rows that it had not seen."""
    models = [data.origin.space.name for data in together]
    names = [*models, FEATURES, AVERAGE, _name(stack)]
    told = {name: np.zeros((len(held), count)) for name in names}
    with bar(held.max() + 1, "compare", progress) as shown:
        for fold in range(held.max() + 1):
            rest, out = np.flatnonzero(held != fold), np.flatnonzero(held == fold)
            y, groups = together[0].y[rest], together[0].groups[rest]
            fitted = Stack(**{**stack.get_params(deep=False), "cv": None}).fit(
                [data.X[rest] for data in together], y, groups=groups
            )
            for name, probe, data in zip(models, fitted.probes_, together):
                told[name][out] = probe.predict_proba(data.X[out])
            side = np.hstack([data.X for data in together])
            joined = LinearProbe(Cs=stack.Cs, random_state=stack.random_state).fit(side[rest], y, groups=groups)
            told[FEATURES][out] = joined.predict_proba(side[out])
            told[AVERAGE][out] = np.mean([told[name][out] for name in models], axis=0)
            told[_name(stack)][out] = fitted.predict_proba([data.X[out] for data in together])
            shown.update()
    return told


def _right(said: Matrix, Y: Matrix) -> Any:
    return said.argmax(axis=1) == Y.argmax(axis=1)


def _rival(name: str, models: tuple[str, ...], Y: Matrix, said: Matrix, groups: Any) -> Candidate:
    decided = metrics.decide(said, True)
    return Candidate(name, models, metrics.estimate(_right(said, Y), groups), metrics.macro_f1(Y, decided))


def _gains(
    rivals: Sequence[Candidate], right: Mapping[str, Any], groups: Any, models: Sequence[str]
) -> list[Candidate]:
    """The rivals with what they gain over the best network, item by item."""
    best = max(models, key=lambda name: right[name].mean())
    found = []
    for rival in rivals:
        more = metrics.estimate(right[rival.name].astype(float) - right[best], groups)
        points = [100 * value for value in (more.value, more.low, more.high)]
        found.append(replace(rival, gain=points[0], gain_low=points[1], gain_high=points[2]))
    return found


def _priced(rival: Candidate, rivals: Sequence[Candidate], milliseconds: Mapping[str, float]) -> Candidate:
    """The rival with its time, and its gain for each millisecond beyond the best network's."""
    if not all(name in milliseconds for name in rival.models):
        return rival
    cost = sum(milliseconds[name] for name in rival.models)
    best = max((r for r in rivals if len(r.models) == 1), key=lambda r: r.accuracy.value).models[0]
    extra = cost - milliseconds.get(best, 0.0)
    worth = rival.gain / extra if len(rival.models) > 1 and extra > 0 else None
    return replace(rival, milliseconds=cost, gain_per_ms=worth)
