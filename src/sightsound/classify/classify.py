"""One picture or one sound -> what is in it: classes with scores, and for sounds from when to when."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound.classify.class_selection import ClassSelection, has_audioset_classes, select_classes
from sightsound.classify.ontology import SUBTREE_PREFIX
from sightsound.classify.ontology_file import load_ontology
from sightsound.classify.segments import Segmenter, SegmentRules, sort_segments
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card, Modality
from sightsound.contract.errors import MediaError, MissingWeights, PluginError, SightsoundError
from sightsound.contract.results import Classified, Item, Outcome, Prediction, Rows, Segment, WindowScores
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.media import files, framing
from sightsound.pipeline import run
from sightsound.weights.store import Store

PathLike = str | os.PathLike[str]
Channels = Literal["mean", "each"]


def classify_image(
    picture: PathLike | NDArray[np.uint8],
    model: str | Model | None = None,
    k: int = 5,
    *,
    host: Host | None = None,
    device: str = "auto",
) -> Classified:
    """The `k` most likely classes of a picture (a file, or uint8 RGB (h, w, 3)), best first.

    `model` is the name of a network with classes or one that `Host.load` returned, which saves loading it again. Raises
    `MediaError` for a file that is no picture, `SightsoundError` for a network without classes or for sounds.
    """
    host = host or Host()
    loaded = load(host, model, "image", device=device)
    chosen = select_by_rules(loaded.card, SegmentRules(), host.weights)
    if isinstance(picture, str | os.PathLike):
        read, item = media.read_image(picture), files.item_of(picture)
        pixels, outcome = read.pixels, Outcome(item, "ok", facts=read.facts)
    else:
        pixels, outcome = _pixels(picture), Outcome(Item("", ""), "ok")
    _, _, scores = loaded.rows(pixels)
    assert scores is not None
    return Classified(outcome.item, outcome, loaded.card.name, chosen.top(scores[0], k, 0.0))


def classify_sound(
    sound: PathLike | NDArray[Any],
    sample_rate: int | None = None,
    *,
    model: str | Model | None = None,
    k: int = 5,
    rules: SegmentRules | None = None,
    hop: float | None = None,
    channels: Channels = "mean",
    host: Host | None = None,
    device: str = "auto",
) -> Classified:
    """What is to be heard in a sound, and from when to when: MATLAB's classifySound.

    `sound` is a file, or samples (n,) or (n, channels) at `sample_rate` Hz, floats nominally in [-1, 1] or integers.
    `model` is a sound network with classes (YAMNet) or one that `Host.load` returned. `rules` says how scores become
    segments. `hop` moves YAMNet's windows by that many seconds, a multiple of 0.01, instead of 0.48. `channels` are
    averaged, or classified `each` by itself.

    The result has the `k` best classes, the segments, and the scores of all windows. Seconds are exact: a segment
    reaches from the first sample of its first window to the last of its last, within the recording. A file shorter
    than `rules.min_duration` has no segments, but its `top` classes.

    Raises `MediaError` for what cannot be decoded or is empty, `UnknownClass` for names that no class has, and
    `SightsoundError` for values that make no sense.
    """
    rules = rules or SegmentRules()
    is_file = isinstance(sound, str | os.PathLike)
    if is_file == (sample_rate is not None):
        what = "not for files, which have their own" if is_file else "expected Hz with an array of samples"
        raise SightsoundError(f"sample_rate: {what}")
    host = host or Host()
    loaded = load(host, model, "sound", hop=hop, device=device)
    heard = Heard(select_by_rules(loaded.card, rules, host.weights), rules, channels=each_channel(channels), keep=True)
    segments: list[Segment] = []
    if is_file:
        outcome = _file(loaded, sound, heard, segments)
    else:
        assert sample_rate is not None
        outcome = _samples(loaded, np.asarray(sound), sample_rate, heard, segments)
    if not heard.windows:
        raise MediaError("sound: expected samples, got none; give at least one")
    found = sort_segments([*segments, *heard.close()])
    return Classified(outcome.item, outcome, loaded.card.name, heard.top(k), found, heard.scores(loaded.card))


def classify_stream(
    blocks: Iterable[NDArray[Any]],
    sample_rate: int,
    *,
    model: str | Model | None = None,
    rules: SegmentRules | None = None,
    hop: float | None = None,
    channels: Channels = "mean",
    host: Host | None = None,
    device: str = "auto",
) -> SoundStream:
    """What is to be heard in a sound that comes in blocks, (n,) or (n, channels) of any n: each segment as soon as no
    later block can change it. All together they are those of `classify_sound` for the same samples.

    >>> for segment in sightsound.classify_stream(microphone, 48000): print(segment.start, segment.label)

    Values and errors are those of `classify_sound`, but for a stream without samples, which has no segments.
    """
    rules, host = rules or SegmentRules(), host or Host()
    loaded = load(host, model, "sound", hop=hop, device=device)
    heard = Heard(select_by_rules(loaded.card, rules, host.weights), rules, channels=each_channel(channels), keep=False)
    return SoundStream(loaded, blocks, sample_rate, heard)


class SoundStream(Iterator[Segment]):
    """The segments of a sound as they end, by the network `model`. It keeps none of them."""

    def __init__(self, model: Model, blocks: Iterable[NDArray[Any]], sample_rate: int, heard: Heard) -> None:
        self.model = model.card.name
        self._heard = heard
        self._segments = _streamed(model, blocks, sample_rate, heard)

    def __next__(self) -> Segment:
        return next(self._segments)

    def classified(self, k: int = 5) -> Classified:
        """What was heard so far: the `k` classes of the highest mean over all windows; `segments` is empty."""
        item = Item("", "")
        return Classified(item, Outcome(item, "ok"), self.model, self._heard.top(k))


def _streamed(model: Model, blocks: Iterable[NDArray[Any]], sample_rate: int, heard: Heard) -> Iterator[Segment]:
    streams = _streams(blocks, sample_rate, heard.each)
    parts = [_windows(model, stream, i if heard.each else None, soon=True) for i, stream in enumerate(streams)]
    for together in zip(*parts):  # every channel has its windows at the same time
        for channel, (spans, scores) in enumerate(together):
            yield from heard.feed(scores, spans, channel)
    yield from heard.close()


def _streams(blocks: Iterable[NDArray[Any]], sample_rate: int, each: bool) -> list[media.Sound]:
    """One for each channel, or one for their mean; none where there is no block at all."""
    blocks = iter(blocks)
    first = next(blocks, None)
    if first is None:
        return []
    count = 1 if not each or np.ndim(first) != 2 else np.shape(first)[1]
    return [media.stream_sound(part, sample_rate) for part in itertools.tee(itertools.chain([first], blocks), count)]


def _windows(
    model: Model, sound: media.Sound, channel: int | None, *, soon: bool = False
) -> Iterator[tuple[Seconds, Floats]]:
    """Seconds (n, 2) and scores (n, labels) of the windows of a sound, batch by batch."""
    card = model.card
    assert card.sample_rate is not None
    pieces = sound.pieces(card.sample_rate, channel=channel)
    for block in framing.blocks(card, pieces, model.batch_size, soon=soon):
        windows = model.preprocess(*block)
        for a in range(0, len(windows.inputs), model.batch_size):
            part = slice(a, a + model.batch_size)
            scores = model.embed(windows.inputs[part]).scores
            assert scores is not None and windows.spans is not None
            if not np.isfinite(scores).all():
                raise PluginError(f"{card.name} gave NaN or infinity; run `sightsound check-model {card.name}`")
            yield windows.spans[part], scores


def _samples(model: Model, samples: NDArray[Any], sample_rate: int, heard: Heard, segments: list[Segment]) -> Outcome:
    """Hears an array and adds to `segments` those that end."""
    streams = _streams([samples], sample_rate, heard.each)
    for channel, stream in enumerate(streams):
        for spans, scores in _windows(model, stream, channel if heard.each else None):
            segments += heard.feed(scores, spans, channel)
    return Outcome(Item("", ""), "ok", seconds=streams[0].seconds if streams else 0.0)


def _file(model: Model, path: Any, heard: Heard, segments: list[Segment]) -> Outcome:
    """Hears a file and adds to `segments` those that end. Raises what it failed with."""
    item = files.item_of(path)
    outcome = None
    with contextlib.closing(run.run(model, [*jobs(item, heard.each)])) as batches:
        channel = 0
        for event in (event for events in batches for event in events):
            if isinstance(event, Rows):
                assert event.scores is not None and event.spans is not None
                segments += heard.feed(event.scores, event.spans, channel)
                continue
            outcome, channel = event, channel + 1
            if outcome.status != "ok":
                raise outcome.error or MediaError(f"{item}: {outcome.reason or outcome.status}; name another file")
    assert outcome is not None
    return outcome


# -- what files, streams and libraries share ---------------------------------------------------------------------------


def jobs(item: Any, each: bool) -> Iterator[run.Job]:
    """A sound to embed once, or once for each of its channels. Raises `MediaError`."""
    if not each:
        yield run.Job(item)
        return
    with media.open_sound(item.file) as sound:
        count = sound.channels
    yield from (run.Job(item, channel=channel) for channel in range(count))


def each_channel(channels: Channels) -> bool:
    """Whether channels are classified each by itself. Raises `SightsoundError` for another word."""
    if channels not in ("mean", "each"):
        raise SightsoundError(f"channels: expected 'mean' or 'each', got {channels!r}")
    return channels == "each"


def load(
    host: Host, model: str | Model | None, modality: Modality, *, hop: float | None = None, device: str = "auto"
) -> Model:
    """The model of this name, or the default one. Raises `SightsoundError` where it is of another modality."""
    if isinstance(model, Model):
        if hop is not None:
            raise SightsoundError("hop: load the model with it, as in host.load('yamnet.audioset_i8[hop=0.1]')")
        _require(model.card, modality)
        return model
    name = named(host, model, modality, hop)
    _require(host.card(name), modality)
    return host.load(name, device)


def named(host: Host, model: str | None, modality: Modality, hop: float | None = None) -> str:
    """The full name of a model, with its hop."""
    name = model or host.default(modality)
    if hop is None:
        return name
    if "[" in name:
        raise SightsoundError(f"hop: expected once, got {hop} and {name}; leave one out")
    return f"{name}[hop={hop!r}]"


def _require(card: Card, modality: Modality) -> None:
    if card.modality != modality:
        raise SightsoundError(f"{card.name}: expected a model for {modality}s, got one for {card.modality}s")


def select_by_rules(card: Card, rules: SegmentRules, weights: Store) -> ClassSelection:
    """The classes that count for a network under some rules; the ontology is fetched where the rules need it."""
    found = None
    texts = [*rules.include, *rules.exclude]
    asked = rules.specificity != "none" or rules.backoff or any(text.startswith(SUBTREE_PREFIX) for text in texts)
    if asked and has_audioset_classes(card):
        try:
            found = load_ontology(weights)
        except MissingWeights as error:
            raise MissingWeights(f"{error}; or do without it: specificity 'none', no back-off, no subtree") from error
    return select_classes(card, found, include=rules.include, exclude=rules.exclude, backoff=rules.backoff)


class Heard:
    """What the windows of one recording have told so far: mean scores, open regions and, to `keep`, all rows."""

    def __init__(
        self, chosen: ClassSelection, rules: SegmentRules, *, channels: bool = False, keep: bool = False
    ) -> None:
        self.each, self.windows = channels, 0
        self._classes, self._rules, self._keep = chosen, rules, keep
        self._segmenters: dict[int, Segmenter] = {}
        self._sum: NDArray[np.float64] | None = None
        self._rows: dict[int, list[tuple[Seconds, Floats]]] = {}

    def feed(self, scores: Floats, spans: Seconds, channel: int = 0) -> list[Segment]:
        """The next windows of a channel -> the segments that they complete, which it does not keep."""
        if channel not in self._segmenters:
            self._segmenters[channel] = Segmenter(self._classes, self._rules, channel if self.each else None)
        found = self._segmenters[channel].feed(scores, spans)
        total = scores.sum(axis=0, dtype=np.float64)
        self._sum = total if self._sum is None else self._sum + total
        self.windows += len(scores)
        if self._keep:
            self._rows.setdefault(channel, []).append((spans, scores))
        return found

    def close(self) -> list[Segment]:
        """The recording is over -> the segments that were still open."""
        return [segment for segmenter in self._segmenters.values() for segment in segmenter.close()]

    def top(self, k: int) -> tuple[Prediction, ...]:
        """The classes of the highest mean over all windows."""
        if self._sum is None:
            return ()
        return self._classes.top((self._sum / self.windows).astype(np.float32), k, self._rules.threshold)

    def scores(self, card: Card) -> WindowScores:
        """The rows that were kept, those of channel 0 first."""
        rows = [row for channel in sorted(self._rows) for row in self._rows[channel]]
        of = [channel for channel in sorted(self._rows) for _, scores in self._rows[channel] for _ in scores]
        self._rows.clear()
        scores, spans = np.concatenate([scores for _, scores in rows]), np.concatenate([spans for spans, _ in rows])
        return WindowScores(scores, spans, card.labels, card.label_ids, np.array(of) if self.each else None)


def _pixels(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    picture = np.asarray(picture)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
        raise SightsoundError(f"picture: expected uint8 RGB (h, w, 3), got {picture.dtype} {picture.shape}; convert it")
    return picture
