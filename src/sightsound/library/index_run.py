"""One run of `index`: which models each file must go through, and what is recorded of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sightsound.contract.card import Modality
from sightsound.contract.errors import NoDefaultModel
from sightsound.contract.results import Item, Outcome, Rows
from sightsound.host.advice import remedies
from sightsound.host.host import Host
from sightsound.library import labels
from sightsound.library.index_report import IndexReport
from sightsound.library.library import Library
from sightsound.library.scan import FileScan
from sightsound.library.store.writer import Writer
from sightsound.media.facts.read import read_file_facts
from sightsound.media.facts.times import TimeRules
from sightsound.pipeline.queues import ModelQueues
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_stream
from sightsound.pipeline.timing import StageTimes

log = logging.getLogger(__name__)

COMMIT_SECONDS = 0.2
"""A crash loses at most the work of so many seconds, beside the items that are under way."""


class IndexProgress:
    """Counts what a run did, and moves its progress bar.

    Parameters
    ----------
    report : IndexReport
        Where it is counted.
    bar : tqdm
        The progress bar, which has a step for every file and model.
    """

    def __init__(self, report: IndexReport, bar: Any) -> None:
        self.report = report
        self._bar = bar

    def add_steps(self, count: int) -> None:
        """Lengthen the bar, for a file that goes through more than one model."""
        self._bar.total += max(0, count)

    def count(self, outcome: Outcome) -> None:
        """Count an outcome of this run by its status."""
        self.report.counts[outcome.status] += 1
        self.report.flags.update(outcome.flags)
        self._step(outcome)

    def count_unchanged(self, outcome: Outcome) -> None:
        """Count an outcome of an earlier run."""
        self.report.counts["unchanged"] += 1
        self._step(outcome)

    def count_without_model(self) -> None:
        """Count a file whose modality no model was named for."""
        self.report.counts["no-model"] += 1
        self._bar.update()

    def _step(self, outcome: Outcome) -> None:
        if outcome.status == "failed":
            self.report.failed.append(outcome)
        self._bar.update()


@dataclass
class IndexTarget:
    """The library that a run writes to.

    Parameters
    ----------
    host : Host
        Where models are looked up.
    library : Library
        The library.
    writer : Writer
        Its writer.
    scores : bool or None
        Whether scores are kept, as for `index`.
    progress : IndexProgress
        Counts what is recorded.
    times : StageTimes
        Where the time of the stages is added.
    rules : TimeRules
        How the times in files are read.
    """

    host: Host
    library: Library
    writer: Writer
    scores: bool | None
    progress: IndexProgress
    times: StageTimes
    rules: TimeRules = field(default_factory=TimeRules)
    _space_ids: dict[str, int] = field(default_factory=dict)

    def space_id(self, model: str) -> int:
        """Return the number of a model's space. Raises `SpaceMismatch` if the library has another one of its name."""
        if model not in self._space_ids:
            space = self.host.space(model)
            for other in self.library.spaces:
                if other.name == space.name:
                    what = f"{self.library.path.name}, {model}"
                    other.require(space, what, remedies=remedies(self.host, other))
            self._space_ids[model] = self.writer.space_id(space)
            card = self.host.card(model)
            self.writer.keep_scores(self._space_ids[model], card.scores, None if self.scores is False else card.classes)
        return self._space_ids[model]

    def lacks_scores(self, scan: FileScan, model: str) -> bool:
        """Return whether a file's content has all its vectors, but not the scores that are asked for."""
        assert scan.content is not None
        if not self.scores or not self.host.card(model).scores:
            return False
        return self.writer.lacks_scores(scan.content, self.space_id(model))

    def facts(self, scan: FileScan) -> Mapping[str, Any]:
        """Return what a file says of itself; equal contents may have other names and sidecar files."""
        return read_file_facts(scan.item, self.rules) if scan.facts is None else scan.facts

    def copy_outcome(self, scan: FileScan, model: str) -> bool:
        """Give a file the outcome of its content if there is one; return whether there was."""
        assert scan.content is not None
        if self.lacks_scores(scan, model):
            return False
        outcome = self.writer.outcomes.copy(scan.item, scan.content, self.space_id(model), self.facts(scan))
        if outcome is not None:
            self.progress.count(outcome)
        return outcome is not None


class FileRecorder:
    """Records files in the library, and says which models each must go through.

    Parameters
    ----------
    target : IndexTarget
        The library.
    models : dict of {"image", "sound"} to sequence of str
        The models that were named. Empty for the default ones.
    retry : bool
        Whether files that failed in an earlier run are tried again.
    label_folders : bool
        Whether each file is labelled with the name of its folder.
    """

    def __init__(
        self, target: IndexTarget, models: dict[Modality, list[str]], *, retry: bool, label_folders: bool
    ) -> None:
        self._target, self._writer, self._progress = target, target.writer, target.progress
        self._named, self._retry, self._label_folders = models, retry, label_folders
        self._defaults: dict[Modality, list[str]] = {}

    def models_for(self, scan: FileScan) -> list[str]:
        """Record a file, and return the models that it must go through.

        Parameters
        ----------
        scan : FileScan
            The file.

        Returns
        -------
        list of str
            Empty where the library has all of it, or it cannot be embedded.
        """
        with self._target.times.stage("store"):
            return self._recorded(scan)

    def _recorded(self, scan: FileScan) -> list[str]:
        if scan.content is None:
            self._record_unreadable(scan)
            return []
        if not scan.unchanged:
            self._writer.items.record(scan.item, scan.stat, scan.content, scan.modality)
        if scan.modality is None:
            self._record_other(scan)
            return []
        if self._label_folders:
            folder = labels.folder_label(scan.item)
            self._writer.items.label(self._writer.items.id(scan.item), labels.COLUMN, [folder])
        models = self._models(scan.modality)
        if not models:
            self._progress.count_without_model()
        self._progress.add_steps(len(models) - 1)
        return [model for model in models if not self._is_done(scan, model)]

    def _models(self, modality: Modality) -> Sequence[str]:
        """Return the models for a modality: those named, or the default one if it is installed."""
        if self._named:
            return self._named.get(modality, [])
        if modality not in self._defaults:
            try:
                self._defaults[modality] = [self._target.host.default(modality)]
            except NoDefaultModel as error:
                log.warning("%s", error)
                self._defaults[modality] = []
        return self._defaults[modality]

    def _record_unreadable(self, scan: FileScan) -> None:
        """Record a file that cannot be read. It keeps the vectors that it has."""
        outcome = scan.failure()
        if self._writer.items.find(scan.item) is None or not self._writer.outcomes.exist(scan.item):
            self._writer.items.record(scan.item, scan.stat, None, None)
            self._writer.outcomes.record(outcome, 0)
        self._progress.count(outcome)

    def _record_other(self, scan: FileScan) -> None:
        """Record a file that is neither an image nor a sound."""
        if scan.unchanged:
            status = self._writer.outcomes.status(scan.item, 0) or "not-media"
            self._progress.count_unchanged(Outcome(scan.item, status))
            return
        outcome = scan.failure()
        self._writer.outcomes.record(outcome, 0)
        self._progress.count(outcome)

    def _is_done(self, scan: FileScan, model: str) -> bool:
        """Return whether a file has its outcome in a model's space, its own or that of an equal content."""
        status = None
        if scan.unchanged:
            status = self._writer.outcomes.status(scan.item, self._target.space_id(model))
        if status == "ok" and self._target.lacks_scores(scan, model):
            return False
        if status is not None and not (self._retry and status == "failed"):
            self._progress.count_unchanged(Outcome(scan.item, status, "failed before; --retry tries it again"))
            return True
        return self._target.copy_outcome(scan, model)


class ContentEmbedder:
    """Runs one model over the contents that need it. Files of one content go through it once.

    Parameters
    ----------
    target : IndexTarget
        The library.
    queues : ModelQueues
        The files that need models.
    model : str
        The name of the model.
    device : str
        Where it runs.
    """

    def __init__(self, target: IndexTarget, queues: ModelQueues[FileScan, str], model: str, device: str) -> None:
        self._target, self._queues, self._name, self._device = target, queues, model, device
        self._space = target.space_id(model)
        self._files: dict[bytes, list[FileScan]] = {}  # by the contents under way; the first file is the one embedded
        self._only_scores: set[Item] = set()  # files under way that have their vectors
        self._committed = 0.0

    def run(self) -> None:
        """Embed what waits for the model, and what turns up meanwhile."""
        times = self._target.times
        with times.stage("load"):
            model = self._target.host.load(self._name, self._device)
            self._target.progress.report.execution[self._name] = model.execution
        with embed_stream(model, self._jobs(), after_batch=self._commit, times=times) as events:
            for event in events:
                with times.stage("store"):
                    if isinstance(event, Rows):
                        self._target.progress.report.windows += len(event.embeddings)
                        self._target.writer.add_rows(event, self._space)
                    else:
                        self._end(event)

    def _jobs(self) -> Iterator[Job]:
        """Yield a job for every content. Further files of a content wait for the first."""
        for scan in self._queues.files_for(self._name):
            assert scan.content is not None
            if scan.content in self._files:
                self._files[scan.content].append(scan)
            elif not self._target.copy_outcome(scan, self._name):
                self._files[scan.content] = [scan]
                if self._target.lacks_scores(scan, self._name):
                    self._only_scores.add(scan.item)
                yield Job(scan.item, stat=scan.stat)

    def _end(self, outcome: Outcome) -> None:
        """Record the outcome of a content for all its files.

        Where it failed the other files are tried themselves, since the first may have vanished or be on a bad disk.
        """
        content, scans = next((c, scans) for c, scans in self._files.items() if scans[0].item == outcome.item)
        del self._files[content]
        if outcome.status == "failed":
            self._queues.put_back(self._name, scans[1:])
            scans = scans[:1]
        keep = outcome.status != "ok" and outcome.item in self._only_scores
        self._only_scores.discard(outcome.item)
        if keep:
            self._target.writer.give_up_rows(outcome.item, self._space)
        for scan in scans:
            facts = {**outcome.facts, **self._target.facts(scan)}
            self._record(replace(outcome, item=scan.item, facts=facts), keep)

    def _record(self, outcome: Outcome, keep: bool) -> None:
        """Record the outcome of a file; one that had its vectors before may keep them."""
        writer = self._target.writer
        if not (keep and writer.outcomes.status(outcome.item, self._space) == "ok"):
            writer.outcomes.record(outcome, self._space)
        self._target.progress.count(outcome)

    def _commit(self) -> None:
        """Commit after a while: a commit writes a dozen pages, so that batches in quick succession share one."""
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            with self._target.times.stage("store"):
                self._target.writer.commit()
            self._committed = time.monotonic()
