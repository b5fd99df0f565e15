"""Which method suits a labelled collection, and the evidence for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sightsound._progress import bar
from sightsound.contract.arrays import unit_rows
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.learn.dataset import Dataset, aligned
from sightsound.learn.fit import fit_probe
from sightsound.linear import metrics
from sightsound.linear.metrics import Estimate, ProbeReport
from sightsound.linear.probe import LinearProbe
from sightsound.linear.stack import COARSE

Method = Literal["features and a linear classifier", "earlier layers", "stacking", "fine-tuning", "more data"]

FEW = 20
"""Items a class under which features and a linear classifier are all that can be learnt (FEATURES, row B7)."""
FEW_IN_ALL = 1000
"""Items in all under which the same holds."""
ALIKE = {"image": 0.9, "sound": 0.999}
"""Cosine from which two items count as near-duplicates, in every network at once. Of 100 photographs saved anew at a
quality of 60, scaled to 160 px or cropped by 4 px, 95 in 100 have 0.93 and more, all 0.91 (EfficientNet-Lite0); two
different ones 0.83 at most. Short sounds in much silence come to 0.9997 in YAMNet alone."""

_GOOD = 0.98  # accuracy beyond which nothing else can show that it is better
_FAR = 0.1  # by how much the least accuracy of the interval must exceed the commonest class's
_RISES = 0.01  # what the last doubling of the items must gain to say that the curve rises
_BLOCK = 1024  # items that are compared with all others at once
_PAIRS = 50  # near-duplicates that are named


@dataclass(frozen=True)
class Network:
    """How separable the classes are in one space: a linear probe and the five nearest neighbours, cross-validated."""

    model: str
    dim: int
    probe: Estimate
    neighbours: Estimate
    report: ProbeReport = field(repr=False)


@dataclass(frozen=True)
class NearDuplicates:
    """Two items that are nearly the same to every network, of two classes or on two sides of official folds."""

    first: Item
    second: Item
    cosine: float
    classes: tuple[str, str]
    across: Literal["classes", "folds"]


@dataclass(frozen=True)
class Suggestion:
    """A method, whether it suits, and why; `rank` 1 is what to do first."""

    method: Method
    suits: bool
    reason: str
    rank: int = 0


@dataclass(frozen=True)
class Advice:
    """What was found in a labelled collection: items of each class, the commonest first; how many times more the
    commonest has than the rarest; near-duplicates; the networks, best first; what the mean of their probabilities
    gains over the best, in points (None for one network); and what to do, best first."""

    counts: tuple[tuple[str, int], ...]
    imbalance: float
    twins: tuple[NearDuplicates, ...]
    networks: tuple[Network, ...]
    together: Estimate | None
    suggestions: tuple[Suggestion, ...]
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Suggestion:
        return self.suggestions[0]


def advise(datasets: Sequence[Dataset], *, progress: bool | None = None) -> Advice:
    """Advice on the datasets of one collection, one for each network, whose rows are items with one class each.

    Raises `SightsoundError` for other rows, and for what a probe cannot be fitted to.
    """
    if not datasets or any(data.origin.level != "item" or not data.single for data in datasets):
        raise SightsoundError("advise: expected items with one class each, of one network or more")
    together = aligned(datasets)
    first = together[0]
    counts = Counter(first.y.tolist()).most_common()
    taught: list[tuple[Network, LinearProbe]] = []
    with bar(len(together), "advise", progress) as shown:
        for data in together:
            probe = fit_probe(data, LinearProbe(Cs=COARSE))
            assert probe.report_ is not None and probe.report_.neighbours is not None
            name, report = data.origin.space.name, probe.report_
            near = probe.report_.neighbours
            taught.append((Network(name, data.X.shape[1], report.accuracy, near, report), probe))
            shown.update()
    taught.sort(key=lambda pair: -pair[0].probe.value)
    networks = tuple(network for network, _ in taught)
    gain = _together([probe for _, probe in taught])
    return Advice(
        counts=tuple((str(name), count) for name, count in counts),
        imbalance=counts[0][1] / counts[-1][1],
        twins=twins(together),
        networks=networks,
        together=gain,
        suggestions=_suggestions(counts, networks, gain),
        notes=first.notes,
    )


def twins(together: Sequence[Dataset]) -> tuple[NearDuplicates, ...]:
    """Near-duplicates of different classes, or on different sides of the official folds; the nearest first, fifty at
    most. The datasets are those of one collection, with the same items."""
    data = together[0]
    units = [unit_rows(each.X) for each in together]
    found: list[NearDuplicates] = []
    for start in range(0, len(data.items), _BLOCK):
        likeness = np.min([rows[start : start + _BLOCK] @ rows.T for rows in units], axis=0)
        for row, other in np.argwhere(likeness >= ALIKE[data.origin.space.modality]):
            a, b = start + int(row), int(other)
            apart = data.y[a] != data.y[b]
            if a < b and (apart or (data.folds is not None and data.folds[a] != data.folds[b])):
                classes, cosine = (str(data.y[a]), str(data.y[b])), float(likeness[row, other])
                across: Literal["classes", "folds"] = "classes" if apart else "folds"
                found.append(NearDuplicates(data.items[a], data.items[b], cosine, classes, across))
    return tuple(sorted(found, key=lambda pair: -pair.cosine)[:_PAIRS])


def _together(probes: Sequence[LinearProbe]) -> Estimate | None:
    """What the mean of all held-out probabilities gains over the first probe's, item by item."""
    if len(probes) < 2:
        return None
    held = probes[0].held_out_
    assert held is not None
    truth = held.truth.argmax(axis=1)
    said = [probe.held_out_probabilities() for probe in probes]
    right = (np.mean(said, axis=0).argmax(axis=1) == truth).astype(float)
    return metrics.estimate(right - (said[0].argmax(axis=1) == truth), held.groups)


def _suggestions(
    counts: Sequence[tuple[str, int]], networks: Sequence[Network], gain: Estimate | None
) -> tuple[Suggestion, ...]:
    """Every method with its verdict, those that suit first, the cheapest of them before."""
    found = [
        _features(counts, networks[0]),
        _layers(networks),
        _stacking(gain),
        _tuning(counts, networks[0]),
        _data(networks[0]),
    ]
    order = sorted(found, key=lambda each: not each.suits)
    return tuple(Suggestion(s.method, s.suits, s.reason, rank) for rank, s in enumerate(order, 1))


def _enough(counts: Sequence[tuple[str, int]]) -> bool:
    return min(count for _, count in counts) >= FEW and sum(count for _, count in counts) >= FEW_IN_ALL


def _features(counts: Sequence[tuple[str, int]], best: Network) -> Suggestion:
    total, (rare, least) = sum(count for _, count in counts), counts[-1]
    score = f"{best.model} reaches {best.probe}"
    if least < FEW:
        return Suggestion("features and a linear classifier", True, f"{rare} has {least} items, under {FEW}; {score}")
    if total < FEW_IN_ALL:
        return Suggestion("features and a linear classifier", True, f"{total} items, under {FEW_IN_ALL}; {score}")
    if best.probe.value >= _GOOD:
        return Suggestion("features and a linear classifier", True, f"{score}: little is left to gain")
    reason = f"{score}: the floor to beat; {total} items are enough for more"
    return Suggestion("features and a linear classifier", False, reason)


def _layers(networks: Sequence[Network]) -> Suggestion:
    """Earlier layers suit where they are measured to be better, or where the last one says little more than a guess."""
    plain = [network for network in networks if "layer=" not in network.model]
    layers = [network for network in networks if "layer=" in network.model]
    if layers and plain:
        better = layers[0].probe.low > plain[0].probe.value
        reason = f"{layers[0].model} reaches {layers[0].probe}, {plain[0].model} {plain[0].probe}"
        return Suggestion("earlier layers", better, reason)
    guess = networks[0].report.majority
    if networks[0].probe.low < guess + _FAR:
        reason = f"the last layer is little better than saying the commonest class ({guess:.3f})"
        return Suggestion("earlier layers", True, f"{reason}; index with --model NAME[layer=...] and see")
    reason = f"the last layer is far better than saying the commonest class ({guess:.3f})"
    return Suggestion("earlier layers", False, f"{reason}; index with --model NAME[layer=...] to compare")


def _stacking(gain: Estimate | None) -> Suggestion:
    if gain is None:
        return Suggestion("stacking", False, "one network; index with another to measure")
    points = f"{100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    return Suggestion("stacking", gain.low > 0, f"all networks together gain {points} over the best")


def _data(best: Network) -> Suggestion:
    curve = best.report.curve
    if len(curve) < 2:
        return Suggestion("more data", True, "there are too few items for a learning curve")
    (before, low, *_), (after, high, *_) = curve[-2:]
    rise = (high - low) / np.log2(after / before)
    reason = f"from {before} to {after} items a class gain {100 * (high - low):+.1f} points"
    good = best.probe.value >= _GOOD
    if good and rise >= _RISES:
        reason += f", but {best.probe.value:.3f} leave little to gain"
    return Suggestion("more data", bool(rise >= _RISES) and not good, reason)


def _tuning(counts: Sequence[tuple[str, int]], best: Network) -> Suggestion:
    if not _enough(counts):
        reason = f"needs {FEW} items of each class and {FEW_IN_ALL} in all"
        return Suggestion("fine-tuning", False, reason)
    left = 100 * (1 - best.probe.value)
    reason = f"{sum(count for _, count in counts)} items, and {left:.1f} points are left to gain"
    return Suggestion("fine-tuning", best.probe.value < _GOOD, reason)
