"""From the rows of a model to the classes of an item: the best classes, segments, and the scores of windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound.classify.class_selection import ClassSelection, has_audioset_classes, select_classes
from sightsound.classify.ontology import SUBTREE_PREFIX
from sightsound.classify.ontology_file import load_ontology
from sightsound.classify.segments import Segmenter, SegmentRules, sort_segments
from sightsound.contract.arrays import Floats, Seconds, rounded_scores
from sightsound.contract.card import Card
from sightsound.contract.classlist import NamedClasses
from sightsound.contract.errors import MissingWeights, SightsoundError
from sightsound.contract.results import Classified, Item, Outcome, Prediction, Segment, WindowScores
from sightsound.linear.model import LinearModel
from sightsound.pipeline.reader import Job
from sightsound.weights.store import Store

Channels = Literal["mean", "each"]


def select_by_rules(card: Card | NamedClasses, rules: SegmentRules, weights: Store) -> ClassSelection:
    """Return the classes of a model that may be reported.

    Parameters
    ----------
    card : Card or NamedClasses
        The card of the model.
    rules : SegmentRules
        Its `include`, `exclude`, `backoff` and `specificity`.
    weights : Store
        Where the file of the ontology is looked up, which is fetched where the rules need it.

    Returns
    -------
    ClassSelection

    Raises
    ------
    MissingWeights
        If the rules need the ontology and its file cannot be had.
    UnknownClass
        If a name stands for none of the classes.
    """
    ontology = None
    texts = [*rules.include, *rules.exclude]
    needed = rules.specificity != "none" or rules.backoff or any(text.startswith(SUBTREE_PREFIX) for text in texts)
    if needed and has_audioset_classes(card):
        try:
            ontology = load_ontology(weights)
        except MissingWeights as error:
            raise MissingWeights(f"{error}; or do without it: specificity 'none', no back-off, no subtree") from error
    return select_classes(card, ontology, include=rules.include, exclude=rules.exclude, backoff=rules.backoff)


def is_each(channels: Channels) -> bool:
    """Return whether channels are classified each by itself. Raises `SightsoundError` for another word."""
    if channels not in ("mean", "each"):
        raise SightsoundError(f"channels: expected 'mean' or 'each', got {channels!r}")
    return channels == "each"


def jobs_for(item: Item, each_channel: bool) -> Iterator[Job]:
    """Yield one job for an item, or one for each channel of a recording.

    Parameters
    ----------
    item : Item
        The file.
    each_channel : bool
        Whether each channel is a job.

    Yields
    ------
    Job

    Raises
    ------
    MediaError
        If the number of channels cannot be read.
    """
    if not each_channel:
        yield Job(item)
        return
    with media.open_sound(item.file) as sound:
        count = sound.channels
    yield from (Job(item, channel=channel) for channel in range(count))


@dataclass(frozen=True)
class Classifier:
    """How the rows of one model become the classes of items.

    Parameters
    ----------
    card : Card or NamedClasses
        The card of the model.
    classes : ClassSelection
        The classes that may be reported.
    rules : SegmentRules
        How scores become segments.
    k : int
        How many of the best classes a result has.
    each_channel : bool
        Whether channels are classified each by itself.
    keep_windows : bool
        Whether a result has the scores of all windows.
    probe : LinearModel or None
        A probe of items (not of windows), whose classes of a whole item are the best ones.
    none_below : float or None
        As of `Classified`.
    own : bool
        Whether the classes are those of the network, whose scores libraries keep with the precision of float16: only so
        much of them counts. Those of a probe, or in words, count as they are.
    """

    card: Card | NamedClasses
    classes: ClassSelection
    rules: SegmentRules
    k: int = 5
    each_channel: bool = False
    keep_windows: bool = False
    probe: LinearModel | None = None
    none_below: float | None = None
    own: bool = True

    def start(self) -> ItemClassifier:
        """Return what classifies the next item."""
        return ItemClassifier(self)


class ItemClassifier:
    """Classifies one item by its rows, which are fed as they come.

    Only what the result needs is kept: sums of scores, segments and, if they are asked for, all windows.

    Parameters
    ----------
    classifier : Classifier
        How the rows become classes.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.windows = 0
        self._how = classifier
        self._segmenters: dict[int, Segmenter] = {}
        self._segments: list[Segment] = []
        self._sum: NDArray[np.float64] | None = None
        self._kept: dict[int, list[tuple[Floats, Seconds]]] = {}
        self._embeddings: list[Floats] = []

    def feed(
        self, scores: Floats, spans: Seconds | None, *, embeddings: Floats | None = None, channel: int = 0
    ) -> None:
        """Add the next rows.

        Parameters
        ----------
        scores : float32 ndarray of shape (n, labels)
            The scores of n windows, or of an image.
        spans : float64 ndarray of shape (n, 2) or None
            The seconds of the windows; None for an image.
        embeddings : float32 ndarray of shape (n, dim) or None
            Needed for a probe of items alone. One that uses scores has them beside the vectors.
        channel : int
            The channel of the windows, counted from 0.
        """
        counting = rounded_scores(scores) if self._how.own else scores
        total = counting.sum(axis=0, dtype=np.float64)
        self._sum = total if self._sum is None else self._sum + total
        self.windows += len(scores)
        if self._how.probe is not None and embeddings is not None:
            self._embeddings.append(embeddings)
        if spans is None:
            return
        if channel not in self._segmenters:
            of = channel if self._how.each_channel else None
            self._segmenters[channel] = Segmenter(self._how.classes, self._how.rules, of)
        self._segments += self._segmenters[channel].feed(counting, spans)
        if self._how.keep_windows:
            self._kept.setdefault(channel, []).append((scores, spans))

    def take_segments(self) -> list[Segment]:
        """Return the segments that are complete, and forget them."""
        segments, self._segments = self._segments, []
        return segments

    def end(self) -> None:
        """Complete the segments that are open, as no rows follow."""
        for segmenter in self._segmenters.values():
            self._segments += segmenter.close()

    def top(self, k: int) -> tuple[Prediction, ...]:
        """Return the `k` best classes of the image, or of the mean over all windows so far."""
        if self._how.probe is not None and self._embeddings:
            probe, rows = self._how.probe, np.concatenate(self._embeddings)
            return probe.predict_item(*probe.require_feature_spec().split(rows))[:k]
        if self._sum is None:
            return ()
        mean = (self._sum / self.windows).astype(np.float32)
        return self._how.classes.top(mean, k, self._how.rules.threshold)

    def classified(self, outcome: Outcome) -> Classified:
        """End the item and return its result.

        Parameters
        ----------
        outcome : Outcome
            What became of the item. If it failed its rows are discarded.

        Returns
        -------
        Classified
        """
        name = self._how.card.name
        if outcome.status != "ok":
            return Classified(outcome.item, outcome, name)
        self.end()
        segments = sort_segments(self.take_segments())
        top, windows, none_below = self.top(self._how.k), self._window_scores(), self._how.none_below
        return Classified(outcome.item, outcome, name, top, segments, windows, none_below)

    def _window_scores(self) -> WindowScores | None:
        """Return the rows that were kept, those of channel 0 first."""
        rows = [(channel, *row) for channel in sorted(self._kept) for row in self._kept[channel]]
        if not rows:
            return None
        channels = np.concatenate([np.full(len(scores), channel) for channel, scores, _ in rows])
        return WindowScores(
            np.concatenate([scores for _, scores, _ in rows]),
            np.concatenate([spans for _, _, spans in rows]),
            self._how.card.labels,
            self._how.card.label_ids,
            channels if self._how.each_channel else None,
        )
