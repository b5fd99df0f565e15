"""Files -> library: what is new or changed is embedded, what is known is left alone."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from sightsound import media
from sightsound._progress import bar
from sightsound._threads import cores
from sightsound.classify.segments import SegmentRules
from sightsound.classify.tag import Tagger
from sightsound.contract.card import Modality
from sightsound.contract.errors import MediaError, NotMedia, SightsoundError, UnknownModel
from sightsound.contract.results import Classified, Item, Outcome
from sightsound.host.host import Host
from sightsound.library import labels
from sightsound.library.library import Library
from sightsound.library.writer import Writer
from sightsound.media import files
from sightsound.pipeline import run as pipeline

COMMIT_SECONDS = 0.2
"""How much work a crash may cost, beside the items in flight."""

log = logging.getLogger(__name__)
PathLike = str | os.PathLike[str]


@dataclass
class IndexReport:
    """What one run of `index` did.

    `counts` holds, by item and model, `ok`, `failed`, `not-media`, `no-windows`, and of this run alone `unchanged`,
    `tagged` (had its vectors, has got tags) and `no-model` (no model was named for its modality). `failed` are the
    outcomes to look at, those of earlier runs included; `unmatched` the paths of a label table that are no items;
    `elapsed` in seconds.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[Outcome] = field(default_factory=list)
    flags: Counter[str] = field(default_factory=Counter)
    unmatched: list[str] = field(default_factory=list)
    windows: int = 0
    elapsed: float = 0.0


def index(
    paths: PathLike | Sequence[PathLike],
    library: PathLike | Library,
    *,
    models: Sequence[str] = (),
    host: Host | None = None,
    device: str = "auto",
    label_from: PathLike | None = None,
    retry: bool = False,
    tags: bool | SegmentRules = False,
    progress: bool | None = None,
    max_bytes: int | None = None,
) -> IndexReport:
    """Embeds the pictures and sounds under `paths` into a library, which is made where there is none.

    Without `models` pictures and sounds each go to their default model. Files whose size and time are those of the
    last run are skipped, and contents that the library has are not embedded again; `retry` takes up those that failed
    before. `label_from` is "folder", or a CSV whose `path` is relative to an indexed folder. With `tags` what is in
    them is stored beside the vectors, the segments of sounds (by these `SegmentRules`) and the best classes of pictures, for
    every model that has classes; files that have vectors but no such tags go through the network again. Progress is
    shown on a terminal unless `progress` says otherwise. What was committed stays whatever happens; call it again to
    go on.
    """
    began = time.monotonic()
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    host = host or Host()
    chosen, existing = _chosen(host, models), files.existing_paths(paths)
    tagging = Tagger(host, SegmentRules() if tags is True else tags) if tags else None
    if tagging and models and not any(tagging.can(name) for names in chosen.values() for name in names):
        raise SightsoundError(f"{', '.join(models)}: no classes to tag with; name a model that has some")
    table = None if label_from in (None, labels.FOLDER) else labels.read(label_from)
    opened = library if isinstance(library, Library) else Library(library, create=True)
    with contextlib.ExitStack() as stack:
        if opened is not library:
            stack.enter_context(opened)
        writer = stack.enter_context(opened.writing(max_bytes=max_bytes))
        run = _Run(host, opened, writer, device, retry, label_from == labels.FOLDER, chosen, tagging)
        found = files.unique_items(files.find_items(paths, opened.roots))
        with bar(len(found), "index", progress) as run.bar:
            run.go(found)
        if table is not None:
            folders = [str(path if path.is_dir() else path.parent) for path in existing]
            run.report.unmatched = labels.give(writer, table, folders, opened.roots)
    run.report.elapsed = time.monotonic() - began
    return run.report


def _chosen(host: Host, models: Sequence[str]) -> dict[Modality, list[str]]:
    """The models named, by modality; a mistake shows before anything is read or made."""
    chosen: dict[Modality, list[str]] = {}
    for name in models:
        card = host.card(name)
        if card.name not in chosen.setdefault(card.modality, []):
            chosen[card.modality].append(card.name)
    return chosen


@dataclass(frozen=True)
class _Scan:
    """A file that was looked at: its content and modality, or why it has none."""

    item: Item
    stat: tuple[int, int]
    content: bytes | None = None
    modality: Modality | None = None
    error: Exception | None = None
    known: bool = False


@dataclass
class _Run:
    host: Host
    library: Library
    writer: Writer
    device: str
    retry: bool
    label_folders: bool
    chosen: dict[Modality, list[str]]
    tagging: Tagger | None
    report: IndexReport = field(default_factory=IndexReport)
    bar: Any = None
    _committed: float = 0.0
    _defaults: dict[Modality, list[str]] = field(default_factory=dict)
    _spaces: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, deque[_Scan]] = field(default_factory=dict)
    _running: dict[str, dict[bytes, list[_Scan]]] = field(default_factory=dict)
    _again: set[Item] = field(default_factory=set)  # under way for their tags alone

    def go(self, found: list[Item | Outcome]) -> None:
        """Looks at every file, and runs the models one after the other over those that need them."""
        scans = self._scans(found)
        with contextlib.closing(scans):
            while True:
                name = next((name for name, waiting in self._waiting.items() if waiting), None)
                name = name or next(self._needed(scans), None)
                if name is None:
                    break
                self._embed(name, scans)
        self.writer.commit()

    # -- looking -------------------------------------------------------------------------------------------------

    def _scans(self, found: list[Item | Outcome]) -> Generator[_Scan]:
        """Stat, hash and modality of every file in order; files are read by threads, ahead of who asks."""
        with ThreadPoolExecutor(cores(), "sightsound-scan") as pool:
            running: deque[Future[_Scan] | _Scan] = deque()
            try:
                for item in found:
                    if isinstance(item, Outcome):
                        self._count(item)
                        continue
                    running.append(self._known(item) or pool.submit(_scan, item))
                    if len(running) > 4 * cores():
                        yield _result(running.popleft())
                while running:
                    yield _result(running.popleft())
            finally:
                pool.shutdown(cancel_futures=True)

    def _known(self, item: Item) -> _Scan | None:
        """A file that the library saw with this size and time need not be read."""
        seen = self.writer.seen(item)
        if seen is None or seen.content is None:
            return None
        try:
            stat = item.stat()
        except OSError:
            return None
        return _Scan(item, stat, seen.content, seen.modality, known=True) if stat == seen.stat else None

    def _needed(self, scans: Iterator[_Scan]) -> Iterator[str]:
        """Takes files off `scans` and settles those that need no model; yields a model's name when one waits for it."""
        for scan in scans:
            names = self._settle(scan)
            for name in names:
                self._waiting.setdefault(name, deque()).append(scan)
            yield from names

    def _settle(self, scan: _Scan) -> list[str]:
        """Notes a file; returns the models that it must still go through."""
        if scan.content is None:
            self._unread(scan)
            return []
        if not scan.known:
            self.writer.see(scan.item, scan.stat, scan.content, scan.modality)
        if self.label_folders:
            self.writer.label(self.writer.id(scan.item), labels.COLUMN, [labels.from_folder(scan.item)])
        if scan.modality is None:
            self._not_media(scan)
            return []
        names = self._models(scan.modality)
        if not names:
            self.report.counts["no-model"] += 1
            self.bar.update()
        self.bar.total += max(0, len(names) - 1)
        return [name for name in names if not self._done(scan, name)]

    def _models(self, modality: Modality) -> list[str]:
        """The models for a modality; none where others were named, or where the default one is not installed."""
        if not self.chosen and modality not in self._defaults:
            try:
                self._defaults[modality] = [self.host.default(modality)]
            except UnknownModel as error:
                log.warning("%s", error)
                self._defaults[modality] = []
        return self.chosen.get(modality, []) if self.chosen else self._defaults[modality]

    def _unread(self, scan: _Scan) -> None:
        """A file that cannot be read keeps the vectors that it has."""
        outcome = Outcome(scan.item, "failed", _reason(scan), error=scan.error)
        if self.writer.seen(scan.item) is None or not self.writer.settled(scan.item):
            self.writer.see(scan.item, scan.stat, None, None)
            self.writer.settle(outcome, 0)
        self._count(outcome)

    def _not_media(self, scan: _Scan) -> None:
        if scan.known and scan.error is None:
            self._unchanged(Outcome(scan.item, self.writer.status(scan.item, 0) or "not-media"))
            return
        outcome = Outcome(scan.item, "not-media", _reason(scan))
        self.writer.settle(outcome, 0)
        self._count(outcome)

    def _done(self, scan: _Scan, name: str) -> bool:
        """Whether this content has its outcome in the model's space; a copy of a known content gets it here."""
        space = self._space(name)
        status = self.writer.status(scan.item, space) if scan.known else None
        if status == "ok" and self._untagged(scan, name):
            return False
        if status is not None and not (self.retry and status == "failed"):
            self._unchanged(Outcome(scan.item, status, "failed before; --retry tries it again"))
            return True
        return self._copied(scan, name)

    def _space(self, name: str) -> int:
        if name not in self._spaces:
            space = self.host.space(name)
            for other in self.library.spaces:
                if other.name == space.name:
                    other.require(space, f"{self.library.path.name}, {name}")
            self._spaces[name] = self.writer.space(space)
        return self._spaces[name]

    # -- embedding -----------------------------------------------------------------------------------------------

    def _embed(self, name: str, scans: Iterator[_Scan]) -> None:
        """Runs one model over what waits for it and, meanwhile, over what turns up in `scans`."""
        model, space = self.host.load(name, self.device), self._space(name)
        tags = self.tagging.collector(model) if self.tagging else None
        with contextlib.closing(pipeline.run(model, self._jobs(name, scans))) as batches:
            for events in batches:
                for event in events:
                    if isinstance(event, Outcome):
                        self._finish(event, name, space, tags.take(event) if tags else None)
                        continue
                    if event.item not in self._again:
                        self.report.windows += len(event.embeddings)
                        self.writer.add(event, space)
                    if tags:
                        tags.feed(event)
                self._commit()

    def _commit(self) -> None:
        """One transaction a batch, but batches that follow within a moment share one: a commit writes a dozen pages."""
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.writer.commit()
            self._committed = time.monotonic()

    def _jobs(self, name: str, scans: Iterator[_Scan]) -> Iterator[pipeline.Job]:
        """A job for every content that waits for the model; further items of a content wait for the first."""
        waiting = self._waiting.setdefault(name, deque())
        running = self._running.setdefault(name, {})
        while True:
            while waiting:
                scan = waiting.popleft()
                assert scan.content is not None
                if scan.content in running:
                    running[scan.content].append(scan)
                elif not self._copied(scan, name):
                    running[scan.content] = [scan]
                    if self._untagged(scan, name):
                        self._again.add(scan.item)
                    yield pipeline.Job(scan.item, stat=scan.stat)
            if not any(needed == name for needed in self._needed(scans)):
                return

    def _copied(self, scan: _Scan, name: str) -> bool:
        """Settles an item whose content is complete in the space."""
        assert scan.content is not None
        if self._untagged(scan, name):
            return False
        outcome = self.writer.settle_copy(scan.item, scan.content, self._space(name))
        if outcome is not None:
            self._count(outcome)
        return outcome is not None

    def _untagged(self, scan: _Scan, name: str) -> bool:
        """Whether a content has all its vectors, but not the tags that are asked for."""
        assert scan.content is not None
        if self.tagging is None or not self.tagging.can(name):
            return False
        return self.writer.untagged(scan.content, self._space(name), self.tagging.text(name))

    def _finish(self, outcome: Outcome, name: str, space: int, tags: Classified | None) -> None:
        """Settles an item, and the copies of its content that turned up while it was being embedded; where it failed
        they are tried themselves, for it may have vanished or be on a bad disk. An item that has its vectors already
        and only went through the network for its tags stays as it is."""
        running = self._running[name]
        content, scans = next((c, scans) for c, scans in running.items() if scans[0].item == outcome.item)
        del running[content]
        again = scans[1:] if outcome.status == "failed" else []
        self._waiting[name].extend(again)
        only_tags = outcome.item in self._again
        self._again.discard(outcome.item)
        for scan in scans[: len(scans) - len(again)]:
            copy = replace(outcome, item=scan.item)
            if not (only_tags and self.writer.status(scan.item, space) == "ok"):
                self.writer.settle(copy, space)
            self._count(copy, "tagged" if only_tags else "")
        if tags and self.tagging and outcome.status == "ok":
            found = tags.top if outcome.seconds is None else tags.segments
            self.writer.tag(outcome.item, space, self.tagging.text(name), found)

    def _count(self, outcome: Outcome, word: str = "") -> None:
        self.report.counts[word if word and outcome.status == "ok" else outcome.status] += 1
        self.report.flags.update(outcome.flags)
        if outcome.status == "failed":
            self.report.failed.append(outcome)
        self.bar.update()

    def _unchanged(self, outcome: Outcome) -> None:
        self.report.counts["unchanged"] += 1
        if outcome.status == "failed":
            self.report.failed.append(outcome)
        self.bar.update()


def _scan(item: Item) -> _Scan:
    """Runs in a thread: what a file is, without decoding it."""
    stat = (0, 0)
    try:
        stat = item.stat()
        modality: Modality | None = None
        reason: Exception | None = None
        try:
            modality = media.identify(item.file)
        except NotMedia as error:
            reason = error
        with item.file.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        if item.stat() != stat:
            raise MediaError(f"{item}: changed while it was read; index it again")
        return _Scan(item, stat, content, modality, reason)
    except (OSError, SightsoundError) as error:
        return _Scan(item, stat, error=error)


def _result(scan: Future[_Scan] | _Scan) -> _Scan:
    return scan.result() if isinstance(scan, Future) else scan


def _reason(scan: _Scan) -> str:
    error = scan.error
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror})"
    return pipeline.reason(scan.item, error) if error else ""
