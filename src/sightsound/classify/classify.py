"""Classify one image, one sound, or a stream of sound."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound.classify.classifier import Channels, Classifier, ItemClassifier, is_each, jobs_for, select_by_rules
from sightsound.classify.model_choice import load_for
from sightsound.classify.segments import SegmentRules
from sightsound.classify.text_classes import check_classes, check_templates
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import MediaError, PluginError, SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Classified, Item, Outcome, Rows, Segment
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.media import files, framing
from sightsound.pipeline.stream import embed_stream


def classify_image(
    image: PathLike | NDArray[np.uint8],
    model: str | Model | None = None,
    k: int = 5,
    *,
    classes: Sequence[str] = (),
    templates: Sequence[str] = (),
    host: Host | None = None,
    device: str = "auto",
) -> Classified:
    """Return the most likely classes of an image.

    Parameters
    ----------
    image : path or ndarray of uint8, shape (h, w, 3)
        A file, or RGB pixels.
    model : str, Model or None
        The name of a model with classes, or one that `Host.load` returned, which saves loading it again. None stands
        for the default model for images.
    k : int
        How many classes to return at most.
    classes : sequence of str
        Classes of your own in words, such as ["dog", "cat"], in place of the model's. The model must take words;
        without a name it is the only one that does, see `tag`.
    templates : sequence of str
        Texts with `{}` in place of a class, whose rows are averaged. Empty for those of the model.
    host : Host or None
        Where models are looked up. None stands for a new host of the installed plugins.
    device : str
        Where the model runs, see `Host.load`.

    Returns
    -------
    Classified
        Its `top` has the classes, best first.

    Raises
    ------
    MediaError
        If the file is no image.
    UnknownModel
        If no plugin has the model, or classes are given and no model or several take words.
    SightsoundError
        If the model has no classes or is for sounds, or the array is not uint8 RGB.
    """
    host = host or Host()
    texts = check_templates(templates, check_classes(classes))
    loaded = load_for(host, model, "image", device=device, classes=classes, templates=texts)
    rules = SegmentRules()
    classifier = Classifier(loaded.card, select_by_rules(loaded.card, rules, host.weights), rules, k, own=not classes)
    if isinstance(image, str | os.PathLike):
        read = media.read_image(image, shortest=loaded.shortest_side)
        pixels, outcome = read.pixels, Outcome(files.item_of(image), "ok", facts=read.facts)
    else:
        pixels, outcome = _checked_pixels(image), Outcome(Item("", ""), "ok")
    _, _, scores = loaded.rows(pixels)
    assert scores is not None
    item = classifier.start()
    item.feed(scores, None)
    return item.classified(outcome)


def classify_sound(
    sound: PathLike | NDArray[Any],
    sample_rate: int | None = None,
    *,
    model: str | Model | None = None,
    k: int = 5,
    classes: Sequence[str] = (),
    templates: Sequence[str] = (),
    rules: SegmentRules | None = None,
    hop: float | None = None,
    channels: Channels = "mean",
    host: Host | None = None,
    device: str = "auto",
) -> Classified:
    """Return which classes are heard in a sound, and from when to when.

    The name and the rules are those of MATLAB's classifySound. `SegmentRules` says where this one differs.

    Times are exact: a segment reaches from the first sample of its first window to the last sample of its last
    window, within the recording. A sound shorter than `rules.min_duration` has no segments, but its best classes.

    Parameters
    ----------
    sound : path or ndarray of shape (n,) or (n, channels)
        A file, or samples: floats nominally from -1 to 1, or int16 or int32.
    sample_rate : int or None
        The rate of the samples in Hz. None for a file, which has its own.
    model : str, Model or None
        The name of a sound model with classes, or one that `Host.load` returned, which saves loading it again. None
        stands for the default model for sounds.
    k : int
        How many of the best classes to return at most.
    classes : sequence of str
        Classes of your own in words, as for `classify_image`.
    templates : sequence of str
        As for `classify_image`.
    rules : SegmentRules or None
        Which classes count, and how scores become segments. None stands for `SegmentRules()`.
    hop : float or None
        Seconds between windows, a multiple of 0.01. None stands for the model's own (YAMNet: 0.48).
    channels : {"mean", "each"}
        Average the channels, or classify each by itself.
    host : Host or None
        Where models are looked up. None stands for a new host of the installed plugins.
    device : str
        Where the model runs, see `Host.load`.

    Returns
    -------
    Classified
        Its `top` has the classes of the highest mean score, `segments` those that were heard with their seconds, and
        `windows` the scores of all windows.

    Raises
    ------
    MediaError
        If the sound cannot be decoded or has no samples.
    UnknownClass
        If a name in the rules stands for no class.
    SightsoundError
        If the model has no classes or is for images, or an argument has no sensible value.

    Examples
    --------
    >>> for segment in sightsound.classify_sound("dog.wav").segments: print(segment.start, segment.label)
    """
    rules, host = rules or SegmentRules(), host or Host()
    is_file = isinstance(sound, str | os.PathLike)
    if is_file == (sample_rate is not None):
        what = "not for files, which have their own" if is_file else "expected Hz with an array of samples"
        raise SightsoundError(f"sample_rate: {what}")
    texts = check_templates(templates, check_classes(classes))
    loaded = load_for(host, model, "sound", hop=hop, device=device, classes=classes, templates=texts)
    selected = select_by_rules(loaded.card, rules, host.weights)
    recording = Classifier(
        loaded.card, selected, rules, k, is_each(channels), keep_windows=True, own=not classes
    ).start()
    if is_file:
        outcome = _feed_file(loaded, sound, recording, is_each(channels))
    else:
        assert sample_rate is not None
        outcome = _feed_samples(loaded, np.asarray(sound), sample_rate, recording, is_each(channels))
    if not recording.windows:
        raise MediaError("sound: expected samples, got none; give at least one")
    return recording.classified(outcome)


def classify_stream(
    blocks: Iterable[NDArray[Any]],
    sample_rate: int,
    *,
    model: str | Model | None = None,
    classes: Sequence[str] = (),
    templates: Sequence[str] = (),
    rules: SegmentRules | None = None,
    hop: float | None = None,
    channels: Channels = "mean",
    host: Host | None = None,
    device: str = "auto",
) -> SoundStream:
    """Return the segments of a sound that comes in blocks, each as soon as no later block can change it.

    Together they are the segments that `classify_sound` returns for the same samples. The blocks are taken while the
    result is iterated over.

    Parameters
    ----------
    blocks : iterable of ndarray, each of shape (n,) or (n, channels)
        Samples as for `classify_sound`. A block may have any length.
    sample_rate : int
        The rate of the samples in Hz.
    model : str, Model or None
        As for `classify_sound`.
    classes : sequence of str
        As for `classify_sound`.
    templates : sequence of str
        As for `classify_sound`.
    rules : SegmentRules or None
        As for `classify_sound`.
    hop : float or None
        As for `classify_sound`.
    channels : {"mean", "each"}
        As for `classify_sound`.
    host : Host or None
        As for `classify_sound`.
    device : str
        As for `classify_sound`.

    Returns
    -------
    SoundStream
        An iterator over segments. A stream without samples has none.

    Raises
    ------
    UnknownClass
        If a name in the rules stands for no class.
    SightsoundError
        If the model has no classes or is for images, or an argument has no sensible value.

    Examples
    --------
    >>> for segment in sightsound.classify_stream(microphone, 48000): print(segment.start, segment.label)
    """
    rules, host = rules or SegmentRules(), host or Host()
    texts = check_templates(templates, check_classes(classes))
    loaded = load_for(host, model, "sound", hop=hop, device=device, classes=classes, templates=texts)
    selected = select_by_rules(loaded.card, rules, host.weights)
    return SoundStream(
        loaded,
        blocks,
        sample_rate,
        Classifier(loaded.card, selected, rules, each_channel=is_each(channels), own=not classes),
    )


class SoundStream(Iterator[Segment]):
    """An iterator over the segments of a sound that comes in blocks.

    It keeps none of them.

    Parameters
    ----------
    model : Model
        A sound model with classes.
    blocks : iterable of ndarray, each of shape (n,) or (n, channels)
        Samples.
    sample_rate : int
        The rate of the samples in Hz.
    classifier : Classifier
        How scores become segments.
    """

    def __init__(self, model: Model, blocks: Iterable[NDArray[Any]], sample_rate: int, classifier: Classifier) -> None:
        self.model = model.card.name
        self._classifier = classifier
        self._recording = classifier.start()
        self._segments = self._classify(model, blocks, sample_rate)

    def __next__(self) -> Segment:
        return next(self._segments)

    def classified(self, k: int = 5) -> Classified:
        """Return the best classes of what was heard so far.

        Parameters
        ----------
        k : int
            How many classes to return at most.

        Returns
        -------
        Classified
            Its `top` has the classes of the highest mean score over all windows so far. `segments` is empty.
        """
        item = Item("", "")
        return Classified(item, Outcome(item, "ok"), self.model, self._recording.top(k))

    def _classify(self, model: Model, blocks: Iterable[NDArray[Any]], sample_rate: int) -> Iterator[Segment]:
        each = self._classifier.each_channel
        sounds = _streamed_sounds(blocks, sample_rate, each)
        scored = [_scored(model, sound, i if each else None, soon=True) for i, sound in enumerate(sounds)]
        for channels in zip(*scored):  # every channel has its windows at the same time
            for channel, (spans, scores) in enumerate(channels):
                self._recording.feed(scores, spans, channel=channel)
                yield from self._recording.take_segments()
        self._recording.end()
        yield from self._recording.take_segments()


def _feed_samples(
    model: Model, samples: NDArray[Any], sample_rate: int, recording: ItemClassifier, each_channel: bool
) -> Outcome:
    sounds = _streamed_sounds([samples], sample_rate, each_channel)
    for channel, sound in enumerate(sounds):
        for spans, scores in _scored(model, sound, channel if each_channel else None):
            recording.feed(scores, spans, channel=channel)
    return Outcome(Item("", ""), "ok", seconds=sounds[0].seconds if sounds else 0.0)


def _feed_file(model: Model, path: Any, recording: ItemClassifier, each_channel: bool) -> Outcome:
    """Feed the rows of a file as they come, channel by channel. Raises what it failed with."""
    item, channel, outcome = files.item_of(path), 0, None
    with embed_stream(model, [*jobs_for(item, each_channel)]) as events:
        for event in events:
            if isinstance(event, Rows):
                assert event.scores is not None
                recording.feed(event.scores, event.spans, channel=channel)
                continue
            outcome, channel = event, channel + 1
            if outcome.status != "ok":
                raise outcome.error or MediaError(f"{item}: {outcome.reason or outcome.status}; name another file")
    assert outcome is not None
    return outcome


def _streamed_sounds(blocks: Iterable[NDArray[Any]], sample_rate: int, each_channel: bool) -> list[media.Sound]:
    """Return a sound for each channel, or one for their mean; none where there is no block at all."""
    blocks = iter(blocks)
    first = next(blocks, None)
    if first is None:
        return []
    count = 1 if not each_channel or np.ndim(first) != 2 else np.shape(first)[1]
    copies = itertools.tee(itertools.chain([first], blocks), count)
    return [media.stream_sound(copy, sample_rate) for copy in copies]


def _scored(
    model: Model, sound: media.Sound, channel: int | None, *, soon: bool = False
) -> Iterator[tuple[Seconds, Floats]]:
    """Yield seconds (n, 2) and scores (n, labels) of the windows of a sound, batch by batch."""
    card = model.card
    assert card.sample_rate is not None
    pieces = sound.pieces(card.sample_rate, channel=channel)
    for block in framing.blocks(card, pieces, model.batch_size, soon=soon):
        windows = model.preprocess(*block)
        for start in range(0, len(windows.inputs), model.batch_size):
            part = slice(start, start + model.batch_size)
            scores = model.embed(windows.inputs[part]).scores
            assert scores is not None and windows.spans is not None
            if not np.isfinite(scores).all():
                raise PluginError(f"{card.name} gave NaN or infinity; run `sightsound check-model {card.name}`")
            yield windows.spans[part], scores


def _checked_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise SightsoundError(f"image: expected uint8 RGB (h, w, 3), got {pixels.dtype} {pixels.shape}; convert it")
    return pixels
