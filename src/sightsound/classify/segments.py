"""From scores of overlapping windows to segments: which class is present from when to when.

The windows of a recording are processed one after the other, so this works for endless streams too.
"""

from __future__ import annotations

import bisect
import dataclasses
import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from sightsound.classify.class_selection import ClassSelection
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Segment

Specificity = Literal["high", "low", "none"]
EPSILON = 1e-9
"""Seconds. Times that differ by less are equal: far below one sample, far above the rounding error of float64."""


@dataclass(frozen=True, kw_only=True)
class SegmentRules:
    """How the scores of windows become segments.

    Names and defaults are those of MATLAB's `classifySound`.

    1. A class is active in a window where its score is at least `threshold`. With `backoff` the evidence of
       `ClassSelection.evidence` is used in place of the score.
    2. Windows in which a class is active form its regions, each window with all the seconds that it covers. Regions of
       one class that overlap, touch or are less than `min_separation` apart are merged.
    3. Regions shorter than `min_duration` are removed, unless they are a whole recording.
    4. Where regions of two classes overlap and one class is below the other in the ontology, one of them loses the
       overlap, see `specificity`. What remains of a region is removed where it is shorter than `min_duration`, or
       where it contains no part of a window (possible if the hop is longer than a window).

    The mean and the peak of a segment are taken over the windows of its region that overlap it, from the first active
    window to the last, inactive ones between them included.

    Parameters
    ----------
    threshold : float
        The least score of an active class, from 0 to 1.
    min_separation : float
        Seconds. Regions of one class that are closer than this are merged.
    min_duration : float
        Seconds. Shorter regions are removed.
    specificity : {"high", "low", "none"}
        Which class keeps the overlap: the more specific one, the more general one, or both.
    include : tuple of str
        The classes that count: names, ids, and `subtree:NAME`. All count where it is empty.
    exclude : tuple of str
        The classes that do not count.
    backoff : bool
        Whether kinds of sound that no class of the network stands for are reported too.

    Raises
    ------
    SightsoundError
        If a value is not among the legal ones.

    Notes
    -----
    Source: the page of classifySound in MathWorks' documentation of Audio Toolbox (R2020b and later). MATLAB differs
    in these points. Its windows begin every 0.1225 s. Scores are smoothed by a mean over seven and a median over three
    windows before the threshold. Short regions are removed before close ones are merged. Regions that overlap by half
    or more are joined into one, named by the class with the highest mean or, with `low`, by its top category.
    """

    threshold: float = 0.35
    min_separation: float = 0.25
    min_duration: float = 0.5
    specificity: Specificity = "high"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    backoff: bool = False

    def __post_init__(self) -> None:
        for name in ("threshold", "min_separation", "min_duration"):
            object.__setattr__(self, name, plain_float(name, getattr(self, name)))
        object.__setattr__(self, "backoff", bool(self.backoff))
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
        """Return the rules as one line of JSON, which is the same for equal rules."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def plain_float(name: str, value: float) -> float:
    """Return a number as a Python float, which NumPy's numbers are not. Raise `SightsoundError` for anything else."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise SightsoundError(f"{name}: expected a number, got {value!r}") from error


def sort_segments(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Return segments sorted by channel, start, stop and label."""
    return tuple(sorted(segments, key=lambda s: (-1 if s.channel is None else s.channel, s.start, s.stop, s.label)))


def _numbers() -> array[float]:
    return array("d")


@dataclass
class _Region:
    """A time span in which one class is active, from `start` to `stop` seconds.

    `starts`, `stops` and `scores` are those of the windows since its start, in the order of time. The class was active
    in the last of the first `count` of them. It was inactive in those after that, which belong to the region only if
    the class becomes active again within `min_separation`.
    """

    start: float
    stop: float
    starts: array[float] = field(default_factory=_numbers)
    stops: array[float] = field(default_factory=_numbers)
    scores: array[float] = field(default_factory=_numbers)
    count: int = 0

    def add(self, start: float, stop: float, score: float) -> None:
        """Add a window."""
        self.starts.append(start)
        self.stops.append(stop)
        self.scores.append(score)

    def extend(self, stop: float) -> None:
        """Include all windows so far, the last of which ends at `stop` seconds."""
        self.stop = max(self.stop, stop)
        self.count = len(self.scores)

    def complete(self) -> None:
        """Drop the windows that do not belong to the region."""
        for numbers in (self.starts, self.stops, self.scores):
            del numbers[self.count :]

    def mean_and_peak(self, start: float, stop: float) -> tuple[float, float] | None:
        """Return the mean and the highest score of the windows that overlap a span; None if there are none."""
        first = bisect.bisect_right(self.stops, start + EPSILON)
        last = bisect.bisect_left(self.starts, stop - EPSILON)
        if first >= last:
            return None
        scores = np.array(self.scores[first:last])
        return float(np.mean(scores)), float(np.max(scores))


class Segmenter:
    """Converts the windows of one recording to segments while they come in.

    A segment is returned as soon as no later window can change it. Kept in memory are open regions, with three numbers
    for each of their windows, and complete regions as long as they may take time from a region that is not reported
    yet. The time that this takes is proportional to the length of the recording.

    Parameters
    ----------
    classes : ClassSelection
        The classes that may be reported, and their relations.
    rules : SegmentRules
        How windows become segments.
    channel : int, optional
        The channel that segments are marked with.
    """

    def __init__(self, classes: ClassSelection, rules: SegmentRules, channel: int | None = None) -> None:
        self._classes, self._rules, self._channel = classes, rules, channel
        self._least = rules.min_duration  # seconds of a segment
        self._heard: tuple[float, float] | None = None  # start and end of what was fed
        self._open: dict[int, _Region] = {}
        self._pending: list[tuple[int, _Region]] = []  # complete, but not reported yet
        self._complete: dict[int, list[_Region]] = {}  # may take time from others; in the order of time
        related = classes.descendants & classes.selected[:, None] & classes.selected[None, :]
        precedence = {"high": related, "low": related.T, "none": np.zeros_like(related)}[rules.specificity]
        self._takers = [np.flatnonzero(row).tolist() for row in precedence]  # for each class, those it loses time to

    def feed(self, scores: Floats, spans: Seconds) -> list[Segment]:
        """Process the next windows and return the segments that are final.

        Parameters
        ----------
        scores : ndarray of float32, shape (n, labels of the network)
            The scores of n windows.
        spans : ndarray of float64, shape (n, 2)
            The start and the end of each window in seconds, in the order of time.

        Returns
        -------
        list of Segment
        """
        evidence = self._classes.evidence(scores)
        active = (evidence >= np.float32(self._rules.threshold)) & self._classes.selected
        for values, is_active, (start, stop) in zip(evidence, active, spans.tolist()):
            self._heard = (start, stop) if self._heard is None else (self._heard[0], max(self._heard[1], stop))
            self._close_regions(start)
            present = np.flatnonzero(is_active).tolist()
            for c in present:
                self._open.setdefault(c, _Region(start, stop))
            for c, region in self._open.items():
                region.add(start, stop, float(values[c]))
            for c in present:
                self._open[c].extend(stop)
        return self._final_segments()

    def close(self) -> list[Segment]:
        """End the recording and return the segments that were still open."""
        if self._heard is not None:
            self._least = min(self._least, self._heard[1] - self._heard[0])
        self._close_regions(float("inf"))
        return self._final_segments()

    def _close_regions(self, start: float) -> None:
        """Close the regions that a window which starts at `start` seconds cannot extend any more."""
        gap = max(EPSILON, self._rules.min_separation - EPSILON)
        for c in [c for c, region in self._open.items() if start - region.stop >= gap]:
            region = self._open.pop(c)
            region.complete()
            if self._is_long(region.start, region.stop):
                self._pending.append((c, region))
                self._complete.setdefault(c, []).append(region)

    def _final_segments(self) -> list[Segment]:
        """Return the segments of pending regions that no open region can change, and forget these regions."""
        waiting: list[tuple[int, _Region]] = []
        segments: list[Segment] = []
        for c, region in self._pending:
            if any(self._may_change(region, self._open.get(taker)) for taker in self._takers[c]):
                waiting.append((c, region))
            else:
                segments += self._segments(c, region)
        self._pending = waiting
        self._forget_complete()
        return segments

    def _may_change(self, region: _Region, taker: _Region | None) -> bool:
        """Return whether it is still undecided how much of a region an open region takes."""
        if taker is None or taker.start >= region.stop:
            return False
        covers_end = taker.stop >= region.stop
        return not (self._is_long(taker.start, taker.stop) and covers_end)

    def _segments(self, c: int, region: _Region) -> Iterator[Segment]:
        """Yield what is left of a region of class `c` after others took their time from it."""
        label, id_ = self._classes.labels[c], self._classes.ids[c]
        for start, stop in _subtract(region, self._takers_of(c, region)):
            scores = region.mean_and_peak(start, stop)
            if scores and self._is_long(start, stop):
                yield Segment(label, start, stop, *scores, id_, self._channel)

    def _takers_of(self, c: int, region: _Region) -> list[_Region]:
        """Return the regions that take time from a region of class `c`, by their start."""
        takers = []
        for taker in self._takers[c]:
            complete = self._complete.get(taker, [])
            first = bisect.bisect_right(complete, region.start, key=_stop_of)
            last = bisect.bisect_left(complete, region.stop, key=_start_of)
            takers += complete[first:last]
            if taker in self._open and self._is_long(self._open[taker].start, self._open[taker].stop):
                takers.append(self._open[taker])
        return sorted(takers, key=_start_of)

    def _is_long(self, start: float, stop: float) -> bool:
        return stop - start >= self._least - EPSILON

    def _forget_complete(self) -> None:
        """Forget complete regions that end before any region starts that they may take time from."""
        first: dict[int, float] = {}
        for c, region in (*self._open.items(), *self._pending):
            for taker in self._takers[c]:
                first[taker] = min(region.start, first.get(taker, float("inf")))
        for c in list(self._complete):
            if c not in first:
                del self._complete[c]
            elif self._complete[c][0].stop <= first[c]:
                del self._complete[c][: bisect.bisect_right(self._complete[c], first[c], key=_stop_of)]
                if not self._complete[c]:
                    del self._complete[c]


def _start_of(region: _Region) -> float:
    return region.start


def _stop_of(region: _Region) -> float:
    return region.stop


def _subtract(region: _Region, takers: Iterable[_Region]) -> Iterator[tuple[float, float]]:
    """Yield the (start, stop) spans of a region that no other region covers. The others come by their start."""
    covered = region.start  # all before this is covered, or has been yielded
    for taker in takers:
        end = min(region.stop, taker.start)
        if end - covered > EPSILON:
            yield covered, end
        covered = max(covered, taker.stop)
    if region.stop - covered > EPSILON:
        yield covered, region.stop
