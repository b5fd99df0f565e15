"""Classify whole folders of images and sounds, in bounded memory."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from sightsound import media
from sightsound._progress import bar
from sightsound.classify.class_selection import ClassSelection
from sightsound.classify.classifier import Channels, Classifier, is_each, jobs_for, select_by_rules
from sightsound.classify.model_choice import (
    models_for_words,
    name_with_hop,
    no_model_for_words,
    require_text,
    the_one_for_words,
)
from sightsound.classify.probe_model import attach_probe, probe_card
from sightsound.classify.segments import SegmentRules
from sightsound.classify.text_classes import check_classes, check_templates, text_card, text_probe
from sightsound.contract.card import Modality
from sightsound.contract.errors import MediaError, SightsoundError
from sightsound.contract.paths import PathLike, as_list
from sightsound.contract.results import Classified, Item, Outcome, Rows
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.linear.model import LinearModel
from sightsound.linear.rejection import NoneBelow, threshold
from sightsound.media import files
from sightsound.pipeline.outcomes import failed_outcome
from sightsound.pipeline.queues import ModelQueues
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_stream

log = logging.getLogger(__name__)


def tag(
    paths: PathLike | Sequence[PathLike],
    *,
    models: str | Sequence[str] = (),
    k: int = 5,
    rules: SegmentRules | None = None,
    hop: float | None = None,
    channels: Channels = "mean",
    probes: Sequence[LinearModel] = (),
    classes: Sequence[str] = (),
    templates: Sequence[str] = (),
    none_below: NoneBelow | None = None,
    host: Host | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    progress: bool | None = None,
) -> Iterator[Classified]:
    """Return what is in each image and sound of some files and folders.

    Files are classified while the result is iterated over. Sounds and images come one after the other, each in the
    order of the folders. A file that fails has its `outcome`, and the other files go on.

    Parameters
    ----------
    paths : path or sequence of paths
        Files, and folders that are searched for files.
    models : str or sequence of str
        At most one model for images and one for sounds, instead of the default ones. If only one modality is named,
        files of the other are skipped, and a warning counts them.
    k : int
        How many of the best classes of a file to return at most.
    rules : SegmentRules or None
        For sounds: which classes count, and how scores become segments. None stands for `SegmentRules()`.
    hop : float or None
        For sounds: seconds between windows, a multiple of 0.01. None stands for the model's own.
    channels : {"mean", "each"}
        For sounds: average the channels, or classify each by itself.
    probes : sequence of LinearModel
        At most one for each modality. The classes are the probe's, and the model is the one it was fitted with.
    classes : sequence of str
        Classes of your own in words, such as ["dog", "cat", "car"], in place of the model's. The models must take
        words. Where none are named they are, for each modality, the default one if it takes words, or the only one
        that does; files of a modality without one are skipped, and a warning counts them.
    templates : sequence of str
        Texts with `{}` in place of a class, such as ["a photo of a {}.", "a drawing of a {}."], whose rows are
        averaged. Empty for those of the models.
    none_below : float or "auto", optional
        With a probe: the `label` of a file whose highest probability is under this number is None, and windows under it
        make no segment. "auto" is the threshold that `fit_probe` found.
    host : Host or None
        Where models are looked up. None stands for a new host of the installed plugins.
    device : str
        Where the models run, see `Host.load`.
    batch_size : int or None
        Inputs in a batch. None stands for the model's own.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    iterator of Classified
        One for each file.

    Raises
    ------
    UnknownModel
        If no plugin has one of the models, or classes are given and no model or several take words.
    UnknownClass
        If a name in the rules stands for no class.
    SightsoundError
        If a path does not exist, a model has no classes, two are named for one modality, or `none_below` has no probe,
        or none with a threshold. All errors are raised before a file is read.

    Examples
    --------
    >>> for found in sightsound.tag("recordings"): print(found.item, found.top[0].label, len(found.segments))
    """
    host, each, words = host or Host(), is_each(channels), check_classes(classes)
    texts = check_templates(templates, words)
    if words and probes:
        raise SightsoundError("classes and probes: expected one of them; tag with each in turn")
    probe_models = [probe.require_feature_spec().space.name for probe in probes]
    chosen = _chosen_models(host, [models] if isinstance(models, str) else models, probe_models, hop)
    found = files.unique_items(files.find_items(as_list(paths)))
    if words:
        chosen = _models_for_words(host, chosen, found, hop)
    if none_below is not None and not probes:
        raise SightsoundError("none below: expected a probe, whose probabilities it is for, got none; name one")
    thresholds = {name: threshold(probe, none_below) for name, probe in zip(probe_models, probes)}
    by_model, rules = dict(zip(probe_models, probes)), rules or SegmentRules()
    named = bool(models)
    run = _TagRun(
        host, device, chosen, by_model, thresholds, words, texts, rules, k, hop, each, batch_size, named=named
    )
    if not chosen and (rules.include or rules.exclude):
        run.selection("sound")
    for modality in chosen:
        run.selection(modality)
    return run.classify(found, progress)


def _chosen_models(
    host: Host, models: Sequence[str], probe_models: Sequence[str], hop: float | None
) -> dict[Modality, str]:
    """Return the full name of the model for each modality that models or probes are named for."""
    chosen: dict[Modality, str] = {}
    if hop is not None and any(host.card(name).modality == "sound" for name in probe_models):
        raise SightsoundError(f"hop: expected none with a probe of sounds, which has its network's own, got {hop:g}")
    for name in [*models, *probe_models]:
        modality = host.card(name).modality
        if modality in chosen:
            both = f"{chosen[modality]} and {name}"
            raise SightsoundError(f"{both}: expected one model for {modality}s, got two; tag with each in turn")
        moved = hop if modality == "sound" else None
        chosen[modality] = name if name in probe_models else name_with_hop(host, name, modality, moved)
    return chosen


def _models_for_words(
    host: Host, named: dict[Modality, str], found: Sequence[Item | Outcome], hop: float | None
) -> dict[Modality, str]:
    """Return the models that were named, which must take words, or else the one of each modality that does.

    Several models of a modality without files are no error.
    """
    for name in named.values():
        require_text(host, host.card(name))
    if named:
        return named
    chosen: dict[Modality, str] = {}
    for modality in get_args(Modality):
        count = len(models_for_words(host, modality))
        if count == 1 or (count and any(_modality_of(file) == modality for file in found)):
            name = the_one_for_words(host, modality)
            chosen[modality] = name_with_hop(host, name, modality, hop if modality == "sound" else None)
    if not chosen:
        raise no_model_for_words()
    return chosen


def _modality_of(file: Item | Outcome) -> Modality | None:
    """Return the modality of a file, None if it is no image or sound that can be read."""
    try:
        return None if isinstance(file, Outcome) else media.identify(file.file)
    except MediaError:
        return None


@dataclass
class _TagRun:
    """One call of `tag`."""

    host: Host
    device: str
    models: dict[Modality, str]
    probes: Mapping[str, LinearModel]
    thresholds: Mapping[str, float | None]
    words: Sequence[str]
    templates: Sequence[str]
    rules: SegmentRules
    k: int
    hop: float | None
    each_channel: bool
    batch_size: int | None
    named: bool
    _text_probes: dict[str, LinearModel] = field(default_factory=dict)
    _failed: deque[Outcome] = field(default_factory=deque)
    _skipped: Counter[Modality] = field(default_factory=Counter)

    def classify(self, found: Sequence[Item | Outcome], progress: bool | None) -> Iterator[Classified]:
        """Yield the result of every file."""
        with bar(len(found), "tag", progress) as shown:
            for classified in self._all(found):
                shown.update()
                yield classified
        for modality, count in self._skipped.items():
            why = "takes words" if self.words and not self.named else "was named"
            files_ = f"{modality}s" if count > 1 else modality
            log.warning("%d %s skipped: no model for %ss %s", count, files_, modality, why)

    def selection(self, modality: Modality) -> tuple[str, ClassSelection]:
        """Return the name of the model for a modality and its classes that count."""
        hop = self.hop if modality == "sound" else None
        name = self.models.get(modality) or name_with_hop(self.host, None, modality, hop)
        card = self.host.card(name)
        if name in self.probes:
            card = probe_card(card, self.probes[name])
        if self.words:
            card = text_card(card, self.words)
        rules = self.rules if modality == "sound" else SegmentRules()
        return name, select_by_rules(card, rules, self.host.weights)

    def _all(self, found: Sequence[Item | Outcome]) -> Iterator[Classified]:
        queues: ModelQueues[Item | Outcome, Modality] = ModelQueues(found, self._modalities)
        while (modality := queues.next_model()) is not None:
            yield from self._take_failed()
            yield from self._of_modality(modality, queues)
        yield from self._take_failed()

    def _modalities(self, file: Item | Outcome) -> list[Modality]:
        """Return the modality of a file whose model it needs. Note a file that needs none."""
        if isinstance(file, Outcome):
            self._failed.append(file)
            return []
        try:
            modality: Modality = media.identify(file.file)
        except MediaError as error:
            self._failed.append(failed_outcome(file, error))
            return []
        if self.models and modality not in self.models:
            self._skipped[modality] += 1
            return []
        return [modality]

    def _take_failed(self) -> Iterator[Classified]:
        """Yield the files that failed before they reached a model."""
        while self._failed:
            outcome = self._failed.popleft()
            yield Classified(outcome.item, outcome)

    def _of_modality(self, modality: Modality, queues: ModelQueues[Item | Outcome, Modality]) -> Iterator[Classified]:
        """Yield the files of one modality, and those that fail meanwhile."""
        model, classifier = self._load(modality)
        counts: deque[int] = deque()  # the number of jobs (channels) of each item under way
        ended: list[Outcome] = []  # the outcomes of the present item's jobs so far
        item = classifier.start()
        with embed_stream(model, self._jobs(modality, queues, counts), batch_size=self.batch_size) as events:
            for event in events:
                if isinstance(event, Rows):
                    assert event.scores is not None
                    item.feed(event.scores, event.spans, embeddings=event.embeddings, channel=len(ended))
                    continue
                ended.append(event)
                if len(ended) == counts[0]:
                    yield item.classified(next((outcome for outcome in ended if outcome.status != "ok"), event))
                    item, ended = classifier.start(), []
                    counts.popleft()
                yield from self._take_failed()

    def _load(self, modality: Modality) -> tuple[Model, Classifier]:
        name, classes = self.selection(modality)
        model, probe = self.host.load(name, self.device), self.probes.get(name)
        if self.words:
            probe = self._text_probes[name] = self._text_probes.get(name) or text_probe(
                model, self.words, self.templates
            )
        of_items, least = None, self.thresholds.get(name)
        if probe is not None:
            model = attach_probe(model, probe, name="words" if self.words else "probe")
            if modality == "sound" and probe.require_feature_spec().level == "item":
                of_items = probe
        rules = self.rules if least is None else replace(self.rules, threshold=max(least, self.rules.threshold))
        own = not self.words and name not in self.probes
        classifier = Classifier(
            model.card, classes, rules, self.k, self.each_channel, probe=of_items, none_below=least, own=own
        )
        return model, classifier

    def _jobs(
        self, modality: Modality, queues: ModelQueues[Item | Outcome, Modality], counts: deque[int]
    ) -> Iterator[Job]:
        for item in queues.files_for(modality):
            assert isinstance(item, Item)
            try:
                jobs = [*jobs_for(item, self.each_channel and modality == "sound")]
            except MediaError as error:
                self._failed.append(failed_outcome(item, error))
                continue
            counts.append(len(jobs))
            yield from jobs
