"""Decide which methods suit a labelled collection, from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from sightsound.linear.report import Estimate, ProbeReport

Method = Literal["features and a linear classifier", "earlier layers", "stacking", "fine-tuning", "more data"]

MIN_CLASS_ITEMS = 20
"""Items of the rarest class that are needed for more than features and a linear classifier."""
MIN_ITEMS = 1000
"""Items in all that are needed for the same."""

FAR_ACCURACY = 0.8
"""A probe that is surely less accurate than this has features of another task. Fine-tuning gains most there: on four
qualities of JPEG a probe of MobileNetV2 is right in 0.51, and after fine-tuning of its last half in 0.81, from 600
pictures (`tests/benchmarks/finetune.py far-pictures`)."""
FAR_ITEMS = 400
"""Items in all from which fine-tuning is worth a trial on a task that is so far from that of the network."""

_HIGH_ACCURACY = 0.98  # beyond this, other methods cannot be shown to be better
_MIN_MARGIN = 0.1  # by which the lower bound of the accuracy must exceed the frequency of the commonest class
_MIN_RISE = 0.01  # in accuracy for twice the items, for a learning curve that still rises


@dataclass(frozen=True)
class NetworkScore:
    """How well a network separates the classes, cross-validated.

    Parameters
    ----------
    model : str
        The name of the network.
    dim : int
        The number of features.
    probe : Estimate
        The accuracy of a linear probe.
    neighbours : Estimate
        The accuracy of the five nearest neighbours.
    report : ProbeReport
        The report of the probe.
    """

    model: str
    dim: int
    probe: Estimate
    neighbours: Estimate
    report: ProbeReport = field(repr=False)


@dataclass(frozen=True)
class Suggestion:
    """A method, and whether it suits the collection.

    Parameters
    ----------
    method : str
        The name of the method.
    suits : bool
        Whether it is recommended.
    reason : str
        Why, with the figures.
    rank : int
        The order in which to try the methods, from 1.
    """

    method: Method
    suits: bool
    reason: str
    rank: int = 0


def suggest(
    counts: Sequence[tuple[str, int]], networks: Sequence[NetworkScore], average_gain: Estimate | None
) -> tuple[Suggestion, ...]:
    """Judge every method.

    Parameters
    ----------
    counts : sequence of (str, int)
        The items of each class, the commonest class first.
    networks : sequence of NetworkScore
        The networks, best first.
    average_gain : Estimate, optional
        The accuracy that the mean of the probabilities of all networks gains over the best network.

    Returns
    -------
    tuple of Suggestion
        Methods that suit come first, then the cheaper ones.
    """
    suggestions = [
        _suggest_features(counts, networks[0]),
        _suggest_layers(networks),
        _suggest_stacking(average_gain),
        _suggest_tuning(counts, networks[0]),
        _suggest_data(networks[0]),
    ]
    order = sorted(suggestions, key=lambda each: not each.suits)
    return tuple(replace(each, rank=rank) for rank, each in enumerate(order, 1))


def _suggest_features(counts: Sequence[tuple[str, int]], best: NetworkScore) -> Suggestion:
    """Features suit if there are few items, or if they already give a high accuracy."""
    method: Method = "features and a linear classifier"
    total, (rarest, least) = sum(count for _, count in counts), counts[-1]
    score = f"{best.model} reaches {best.probe}"
    if least < MIN_CLASS_ITEMS:
        return Suggestion(method, True, f"{rarest} has {least} items, under {MIN_CLASS_ITEMS}; {score}")
    if total < MIN_ITEMS:
        return Suggestion(method, True, f"{total} items, under {MIN_ITEMS}; {score}")
    if best.probe.value >= _HIGH_ACCURACY:
        return Suggestion(method, True, f"{score}: little is left to gain")
    return Suggestion(method, False, f"{score}: the floor to beat; {total} items are enough for more")


def _suggest_layers(networks: Sequence[NetworkScore]) -> Suggestion:
    """Earlier layers suit if they were measured to be better, or if the last layer is hardly better than chance."""
    last = [network for network in networks if "layer=" not in network.model]
    earlier = [network for network in networks if "layer=" in network.model]
    if earlier and last:
        better = earlier[0].probe.low > last[0].probe.value
        reason = f"{earlier[0].model} reaches {earlier[0].probe}, {last[0].model} {last[0].probe}"
        return Suggestion("earlier layers", better, reason)
    chance = networks[0].report.majority
    if networks[0].probe.low < chance + _MIN_MARGIN:
        reason = f"the last layer is little better than saying the commonest class ({chance:.3f})"
        return Suggestion("earlier layers", True, f"{reason}; index with --model NAME[layer=...] and see")
    reason = f"the last layer is far better than saying the commonest class ({chance:.3f})"
    return Suggestion("earlier layers", False, f"{reason}; index with --model NAME[layer=...] to compare")


def _suggest_stacking(gain: Estimate | None) -> Suggestion:
    """Stacking suits if the mean of all networks is better than the best one."""
    if gain is None:
        return Suggestion("stacking", False, "one network; index with another to measure")
    points = f"{100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    return Suggestion("stacking", gain.low > 0, f"all networks together gain {points} over the best")


def _suggest_tuning(counts: Sequence[tuple[str, int]], best: NetworkScore) -> Suggestion:
    """Fine-tuning suits if there are many items and the accuracy is not high, or fewer and the accuracy is low."""
    total, least = sum(count for _, count in counts), min(count for _, count in counts)
    if least >= MIN_CLASS_ITEMS and FAR_ITEMS <= total < MIN_ITEMS and best.probe.high < FAR_ACCURACY:
        reason = f"{total} items, and {best.probe} is so low that the network is far from this task"
        return Suggestion("fine-tuning", True, reason)
    if least < MIN_CLASS_ITEMS or total < MIN_ITEMS:
        reason = f"needs {MIN_CLASS_ITEMS} items of each class and {MIN_ITEMS} in all"
        return Suggestion("fine-tuning", False, reason)
    reason = f"{total} items, and {100 * (1 - best.probe.value):.1f} points are left to gain"
    return Suggestion("fine-tuning", best.probe.value < _HIGH_ACCURACY, reason)


def _suggest_data(best: NetworkScore) -> Suggestion:
    """More data suits if the learning curve still rises and the accuracy is not high."""
    curve = best.report.curve
    if len(curve) < 2:
        return Suggestion("more data", True, "there are too few items for a learning curve")
    (before, low, *_), (after, high, *_) = curve[-2:]
    rise = (high - low) / np.log2(after / before)
    reason = f"from {before} to {after} items per class gain {100 * (high - low):+.1f} points"
    is_high = best.probe.value >= _HIGH_ACCURACY
    if is_high and rise >= _MIN_RISE:
        reason += f", but {best.probe.value:.3f} leave little to gain"
    return Suggestion("more data", bool(rise >= _MIN_RISE) and not is_high, reason)
