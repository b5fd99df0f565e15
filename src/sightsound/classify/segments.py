"""Scores of overlapping windows -> who sounds from when to when, window by window as they come."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from sightsound.classify.class_selection import Classes
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Segment

Specificity = Literal["high", "low", "none"]
EPSILON = 1e-9
"""Seconds below which two times are one: far below a sample, far above the rounding of a float64."""


@dataclass(frozen=True, kw_only=True)
class SegmentRules:
    """How scores become segments; the names and defaults are those of MATLAB's classifySound.

    1. A class is active in a window whose score is at least `threshold`; only classes of `include` (all, where it is
       empty) without those of `exclude` count at all. Both take class names, ids, and `subtree:NAME`. With `backoff`
       kinds of sound that no class stands for count too, see `Classes.evidence`.
    2. The windows in which a class is active, each with all the seconds that it covers, make its regions. Regions of a
       class that touch, overlap or are closer than `min_separation` seconds are merged.
    3. Regions shorter than `min_duration` seconds are dropped.
    4. `specificity`: where one region lies below another in the ontology, `high` takes the time of the more specific
       one away from the more general (Dog, while Bark sounds), `low` that of the more general one from the more
       specific, `none` reports all. What remains of a region is dropped where it is shorter than `min_duration`, or
       lies between two windows (of a hop longer than a window).

    A segment's mean and peak are taken over the windows of its region that reach into it, from the first active one
    to the last. Source: the page of classifySound in MathWorks' documentation of Audio Toolbox (R2020b and later),
    which differs in these points: windows every 0.1225 s, smoothed by a mean over seven and a median over three before
    the threshold; short regions dropped before close ones are merged; regions that overlap by half or more
    joined into one, which is named by the class of highest mean or, with `low`, by its top category.

    Raises `SightsoundError` for values that make no sense.
    """

    threshold: float = 0.35
    min_separation: float = 0.25
    min_duration: float = 0.5
    specificity: Specificity = "high"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    backoff: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise SightsoundError(f"threshold: expected a score from 0 to 1, got {self.threshold}")
        for name in ("min_separation", "min_duration"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise SightsoundError(f"{name}: expected seconds from 0, got {getattr(self, name)}")
        if self.specificity not in get_args(Specificity):
            known = ", ".join(get_args(Specificity))
            raise SightsoundError(f"specificity: expected one of {known}, got {self.specificity!r}")
        for name in ("include", "exclude"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value or ()))

    def to_json(self) -> str:
        """One line of JSON; equal rules have equal texts."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def segments(scores: Floats, spans: Seconds, classes: Classes, rules: SegmentRules) -> tuple[Segment, ...]:
    """All at once: scores (n, labels) and seconds (n, 2) of a recording's windows -> segments in the order of time."""
    segmenter = Segmenter(classes, rules)
    return ordered([*segmenter.feed(scores, spans), *segmenter.close()])


def ordered(found: Iterable[Segment]) -> tuple[Segment, ...]:
    """By channel, then by time, then by name."""
    return tuple(sorted(found, key=lambda s: (-1 if s.channel is None else s.channel, s.start, s.stop, s.label)))


@dataclass
class _Region:
    """Windows of one class, as (start, stop, score): those up to `active` make the region, behind them are some in
    which the class was silent and that count only if it comes back in time."""

    start: float
    stop: float
    windows: list[tuple[float, float, float]] = field(default_factory=list)
    active: int = 0


class Segmenter:
    """Takes windows as they come and gives each segment as soon as no later window can change it.

    Of a recording it keeps the regions that are open, with three numbers for each of their windows, and complete ones
    until no region above or below them in the ontology is open: minutes of sound in practice, all of it at the worst.
    """

    def __init__(self, classes: Classes, rules: SegmentRules, channel: int | None = None) -> None:
        self._classes, self._rules, self._channel = classes, rules, channel
        self._open: dict[int, _Region] = {}
        self._whole: list[tuple[int, _Region]] = []  # complete regions that are not reported yet
        self._cutting: dict[int, list[_Region]] = {}  # complete regions that may take time from others
        below = classes.below & classes.wanted[:, None] & classes.wanted[None, :]
        over = {"high": below, "low": below.T, "none": np.zeros_like(below)}[rules.specificity]
        self._stronger = [np.flatnonzero(row).tolist() for row in over]

    def feed(self, scores: Floats, spans: Seconds) -> list[Segment]:
        """The next windows: scores float32 (n, labels), seconds float64 (n, 2) -> the segments that are complete."""
        values = self._classes.evidence(scores)
        active = (values >= np.float32(self._rules.threshold)) & self._classes.wanted
        for row, now, (start, stop) in zip(values, active, spans.tolist()):
            self._end_before(start)
            found = np.flatnonzero(now).tolist()
            for c in found:
                self._open.setdefault(c, _Region(start, stop))
            for c, region in self._open.items():
                region.windows.append((start, stop, float(row[c])))
            for c in found:
                self._open[c].stop = max(self._open[c].stop, stop)
                self._open[c].active = len(self._open[c].windows)
        return self._report()

    def close(self) -> list[Segment]:
        """The recording is over: the segments that were still open."""
        self._end_before(float("inf"))
        return self._report()

    def _end_before(self, start: float) -> None:
        """Ends the regions that a window from `start` on can no longer reach."""
        reach = max(EPSILON, self._rules.min_separation - EPSILON)
        for c in [c for c, region in self._open.items() if start - region.stop >= reach]:
            region = self._open.pop(c)
            del region.windows[region.active :]
            if self._long(region.start, region.stop):
                self._whole.append((c, region))
                self._cutting.setdefault(c, []).append(region)

    def _report(self) -> list[Segment]:
        waiting: list[tuple[int, _Region]] = []
        found: list[Segment] = []
        for c, region in self._whole:
            if any(self._undecided(self._open.get(other), region) for other in self._stronger[c]):
                waiting.append((c, region))
            else:
                found += self._pieces(c, region)
        self._whole = waiting
        self._forget()
        return found

    def _undecided(self, stronger: _Region | None, region: _Region) -> bool:
        """Whether an open region may still come to take more of this one's time than it does now, or none."""
        if stronger is None or stronger.start >= region.stop:
            return False
        return not (self._long(stronger.start, stronger.stop) and stronger.stop >= region.stop)

    def _pieces(self, c: int, region: _Region) -> Iterator[Segment]:
        taken = []
        for other in self._stronger[c]:
            taken += self._cutting.get(other, [])
            if other in self._open and self._long(self._open[other].start, self._open[other].stop):
                taken.append(self._open[other])
        label, id_ = self._classes.labels[c], self._classes.ids[c]
        for start, stop in _without(region, taken):
            if not self._long(start, stop):
                continue
            scores = [score for a, b, score in region.windows if a < stop - EPSILON and b > start + EPSILON]
            if not scores:
                continue
            mean, peak = (float(f(scores)) for f in (np.mean, np.max))
            yield Segment(label, start, stop, mean, peak, id_, self._channel)

    def _long(self, start: float, stop: float) -> bool:
        return stop - start >= self._rules.min_duration - EPSILON

    def _forget(self) -> None:
        """Complete regions can go once nothing that is open or waiting began before their end."""
        begun = [region.start for region in self._open.values()] + [region.start for _, region in self._whole]
        first = min(begun, default=float("inf"))
        self._cutting = {
            c: kept for c, regions in self._cutting.items() if (kept := [r for r in regions if r.stop > first])
        }


def _without(region: _Region, taken: Sequence[_Region]) -> list[tuple[float, float]]:
    """What is left of a region's time."""
    left = [(region.start, region.stop)]
    for other in taken:
        left = [
            part
            for start, stop in left
            for part in ((start, min(stop, other.start)), (max(start, other.stop), stop))
            if part[1] - part[0] > EPSILON
        ]
    return left
