"""Files -> what is in each of them: pictures and sounds, whole folders, in bounded memory."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sightsound import media
from sightsound._progress import bar
from sightsound.classify.class_selection import ClassSelection
from sightsound.classify.classify import Channels, Heard, each_channel, jobs, named, select_by_rules
from sightsound.classify.probe_model import probed, probed_card
from sightsound.classify.segments import SegmentRules, sort_segments
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Modality
from sightsound.contract.errors import MediaError, NotMedia, SightsoundError
from sightsound.contract.results import Classified, Item, Outcome, Prediction, Rows, Segment, Status
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.linear.probe import LinearProbe
from sightsound.media import files
from sightsound.pipeline import run as pipeline

PathLike = str | os.PathLike[str]
log = logging.getLogger(__name__)


def tag(
    paths: PathLike | Sequence[PathLike],
    *,
    models: str | Sequence[str] = (),
    k: int = 5,
    rules: SegmentRules | None = None,
    hop: float | None = None,
    channels: Channels = "mean",
    probes: Sequence[LinearProbe] = (),
    host: Host | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool | None = None,
) -> Iterator[Classified]:
    """What is in each picture and sound of these files and folders: the `k` best classes, and for sounds segments.

    >>> for tags in sightsound.tag("recordings"): print(tags.item, tags.top[0].label, len(tags.segments))

    `models` are at most one for pictures and one for sounds instead of the defaults; where only one is named, files of
    the other modality are passed over, with a warning that counts them. `probes`, at most one for each modality, stand
    for their networks, with classes of their own. `rules`, `hop` and `channels` are for sounds,
    see `classify_sound`. A file that fails comes with its `outcome` and the rest goes on. Sounds and pictures come one
    after the other, each in the order of the folders. Raises for what is wrong with the call before anything is read.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    host = host or Host()
    chosen: dict[Modality, str] = {}
    names = [probe.require_feature_spec().space.name for probe in probes]
    taught = dict(zip(names, probes))
    if hop is not None and any(host.card(name).modality == "sound" for name in taught):
        raise SightsoundError(f"hop: expected none with a probe of sounds, which has its network's own, got {hop:g}")
    for name in [*([models] if isinstance(models, str) else models), *names]:
        modality = host.card(name).modality
        if modality in chosen:
            both = f"{chosen[modality]} and {name}"
            raise SightsoundError(f"{both}: expected one model for {modality}s, got two; tag with each in turn")
        chosen[modality] = name if name in taught else named(host, name, modality, hop if modality == "sound" else None)
    run = _Run(host, device, chosen, rules or SegmentRules(), k, hop, each_channel(channels), batch_size, taught)
    if not chosen and (run.rules.include or run.rules.exclude):
        run.classes("sound")
    for modality in chosen:
        run.classes(modality)
    return run.go(files.unique_items(files.find_items(paths)), progress)


class Collector:
    """The tags of one item after the other: feed it the rows of an item, then ask for its tags."""

    def __init__(
        self,
        model: Model,
        chosen: ClassSelection,
        rules: SegmentRules,
        k: int,
        each: bool = False,
        probe: LinearProbe | None = None,
    ) -> None:
        items = probe is not None and probe.require_feature_spec().level == "item"
        self._probe = probe if items else None  # which judges items, and windows only for want of anything better
        self._vectors: list[Floats] = []
        self._model, self._classes, self._rules, self._k, self._each = model, chosen, rules, k, each
        self._heard = self._new()
        self._segments: list[Segment] = []
        self._picture: tuple[Prediction, ...] = ()

    def feed(self, rows: Rows, channel: int = 0) -> None:
        assert rows.scores is not None
        if self._probe is not None:
            self._vectors.append(rows.embeddings)
        if rows.spans is not None:
            self._segments += self._heard.feed(rows.scores, rows.spans, channel)
        else:
            self._picture = self._classes.top(rows.scores[0], self._k, self._rules.threshold)

    def take(self, outcome: Outcome) -> Classified:
        """The tags of the item whose rows were fed since the last time."""
        heard, picture, segments = self._heard, self._picture, [*self._segments, *self._heard.close()]
        self._heard, self._picture, self._segments = self._new(), (), []
        vectors, self._vectors = self._vectors, []
        name = self._model.card.name
        if outcome.status != "ok":
            return Classified(outcome.item, outcome, name)
        if self._probe is None:
            top = heard.top(self._k)
        else:
            top = self._probe.predict_item(np.concatenate(vectors))[: self._k]
        return Classified(outcome.item, outcome, name, picture or top, sort_segments(segments))

    def _new(self) -> Heard:
        return Heard(self._classes, self._rules, channels=self._each)


TOP = 5
"""The classes of a picture that are stored as its tags."""


class Tagger:
    """The tags that a library is asked to store: segments of sounds by some rules, the best classes of pictures."""

    def __init__(self, host: Host, rules: SegmentRules) -> None:
        self._host, self._rules = host, rules

    def text(self, name: str) -> str:
        """What tells the tags of a model from those by other rules, as JSON."""
        return self._rules.to_json() if self._host.card(name).modality == "sound" else json.dumps({"top": TOP})

    def can(self, name: str) -> bool:
        """Whether a model has classes."""
        return bool(self._host.card(name).labels)

    def collector(self, model: Model) -> Collector | None:
        """What takes the rows of a model; None where it has no classes."""
        if not model.card.labels:
            return None
        rules = self._rules if model.card.modality == "sound" else SegmentRules()
        return Collector(model, select_by_rules(model.card, rules, self._host.weights), rules, TOP)


@dataclass
class _Run:
    host: Host
    device: str
    chosen: dict[Modality, str]
    rules: SegmentRules
    k: int
    hop: float | None
    each: bool
    batch_size: int | None
    probes: Mapping[str, LinearProbe]
    _waiting: dict[Modality, deque[Item]] = field(default_factory=dict)
    _failed: deque[Outcome] = field(default_factory=deque)
    _passed: Counter[Modality] = field(default_factory=Counter)

    def go(self, found: Sequence[Item | Outcome], progress: bool | None) -> Iterator[Classified]:
        files = iter(found)
        with bar(len(found), "tag", progress) as shown:
            while True:
                modality = next((m for m, items in self._waiting.items() if items), None) or self._next(files)
                for tags in self._ended():
                    shown.update()
                    yield tags
                if modality is None:
                    break
                for tags in self._tagged(modality, files):
                    shown.update()
                    yield tags
        for modality, count in self._passed.items():
            log.warning("%d %ss passed over: no model for them was named", count, modality)

    def classes(self, modality: Modality) -> tuple[str, ClassSelection]:
        """The model for a modality and its classes that count. The rules are about sounds."""
        name = self.chosen.get(modality) or named(self.host, None, modality, self.hop if modality == "sound" else None)
        rules = self.rules if modality == "sound" else SegmentRules()
        card = self.host.card(name)
        if name in self.probes:
            card = probed_card(card, self.probes[name])
        return name, select_by_rules(card, rules, self.host.weights)

    def _ended(self) -> Iterator[Classified]:
        while self._failed:
            outcome = self._failed.popleft()
            yield Classified(outcome.item, outcome)

    def _next(self, files: Iterator[Item | Outcome]) -> Modality | None:
        """Takes a file that can be tagged off `files`, and those before it that cannot; None after the last."""
        for file in files:
            modality = self._modality(file)
            if modality is not None:
                self._waiting.setdefault(modality, deque()).append(file)  # type: ignore[arg-type]
                return modality
        return None

    def _modality(self, file: Item | Outcome) -> Modality | None:
        if isinstance(file, Outcome):
            self._failed.append(file)
            return None
        try:
            modality: Modality = media.identify(file.file)
        except MediaError as error:
            status: Status = "not-media" if isinstance(error, NotMedia) else "failed"
            self._failed.append(Outcome(file, status, pipeline.reason(file, error), error=error))
            return None
        if self.chosen and modality not in self.chosen:
            self._passed[modality] += 1
            return None
        return modality

    def _tagged(self, modality: Modality, files: Iterator[Item | Outcome]) -> Iterator[Classified]:
        name, chosen = self.classes(modality)
        model = self.host.load(name, self.device)
        if name in self.probes:
            model = probed(model, self.probes[name])
        collector = Collector(model, chosen, self.rules, self.k, self.each, self.probes.get(name))
        running: deque[int] = deque()  # how many jobs each item has, in the order of the items
        ended: list[Outcome] = []  # those of the first item's jobs so far
        work = self._jobs(modality, files, running)
        with contextlib.closing(pipeline.run(model, work, batch_size=self.batch_size)) as batches:
            for event in (event for events in batches for event in events):
                if isinstance(event, Rows):
                    collector.feed(event, len(ended))
                    continue
                ended.append(event)
                if len(ended) == running[0]:
                    running.popleft()
                    yield collector.take(next((o for o in ended if o.status != "ok"), event))
                    ended = []
                yield from self._ended()

    def _jobs(self, modality: Modality, files: Iterator[Item | Outcome], running: deque[int]) -> Iterator[pipeline.Job]:
        waiting = self._waiting.setdefault(modality, deque())
        while waiting or self._next(files):
            while waiting:
                item = waiting.popleft()
                try:
                    work = [*jobs(item, self.each and modality == "sound")]
                except MediaError as error:
                    self._failed.append(Outcome(item, "failed", pipeline.reason(item, error), error=error))
                    continue
                running.append(len(work))
                yield from work
