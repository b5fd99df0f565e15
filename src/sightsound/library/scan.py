"""Look at files in threads: size and time, SHA-256 of the content, modality. Nothing is decoded."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sightsound import media
from sightsound._threads import cores
from sightsound.contract.card import Modality
from sightsound.contract.errors import MediaError, NotMedia, SightsoundError
from sightsound.contract.results import Item, Outcome
from sightsound.library.store.items import KnownItem
from sightsound.media.facts.read import read_file_facts
from sightsound.media.facts.times import TimeRules
from sightsound.pipeline.outcomes import failed_outcome
from sightsound.pipeline.timing import StageTimes

log = logging.getLogger(__name__)

_FILES_PER_THREAD = 4  # files that are read ahead


@dataclass(frozen=True)
class FileScan:
    """What a file is.

    Parameters
    ----------
    item : Item
        The file.
    stat : tuple of int
        Its size in bytes and mtime_ns.
    content : bytes or None
        SHA-256 of its content; None if it cannot be read.
    modality : {"image", "sound"} or None
        None if it is neither.
    error : Exception or None
        Why it cannot be read, or is neither an image nor a sound.
    unchanged : bool
        Whether size and time are those of an earlier run, whose content and modality these are.
    facts : mapping of str to object or None
        What the file says of itself, from `read_file_facts`; None if it was not read.
    """

    item: Item
    stat: tuple[int, int]
    content: bytes | None = None
    modality: Modality | None = None
    error: Exception | None = None
    unchanged: bool = False
    facts: Mapping[str, Any] | None = None

    def failure(self) -> Outcome:
        """Return the outcome of a file that cannot be read, or is neither an image nor a sound."""
        assert self.error is not None
        if isinstance(self.error, OSError):
            return Outcome(self.item, "failed", f"cannot be read ({self.error.strerror})", error=self.error)
        return failed_outcome(self.item, self.error)


def scan_files(
    items: Iterable[Item],
    find: Callable[[Item], KnownItem | None],
    times: StageTimes | None = None,
    rules: TimeRules | None = None,
) -> Generator[FileScan]:
    """Yield what each file is, in order. Threads read the files ahead of the consumer.

    Parameters
    ----------
    items : iterable of Item
        The files.
    find : callable
        Returns what the library knows of a file. A file whose size and time have not changed is not read.
    times : StageTimes or None
        Where the time is added.
    rules : TimeRules or None
        How the times in files are read. None leaves out what files say of themselves.

    Yields
    ------
    FileScan
    """
    times = times or StageTimes()
    with ThreadPoolExecutor(cores(), "sightsound-scan") as pool:
        running: deque[Future[FileScan] | FileScan] = deque()
        try:
            for item in items:
                with times.stage("store"):
                    known = find(item)
                running.append(_unchanged(item, known) or pool.submit(_timed_scan, item, times, rules))
                if len(running) > _FILES_PER_THREAD * cores():
                    yield _result(running.popleft())
            while running:
                yield _result(running.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _unchanged(item: Item, known: KnownItem | None) -> FileScan | None:
    if known is None or known.content is None:
        return None
    try:
        stat = item.stat()
    except OSError:
        return None
    if not known.has_stat(stat):
        return None
    return FileScan(item, stat, known.content, known.modality, unchanged=True)


def _timed_scan(item: Item, times: StageTimes, rules: TimeRules | None) -> FileScan:
    """Read a file in a thread."""
    with times.thread(), times.stage("scan"):
        return _scan(item, rules)


def _scan(item: Item, rules: TimeRules | None) -> FileScan:
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
        facts = read_file_facts(item, rules) if modality and rules is not None else None
        if item.stat() != stat:
            raise MediaError(f"{item}: changed while it was read; index it again")
        return FileScan(item, stat, content, modality, reason, facts=facts)
    except Exception as error:  # decoders that look into a file may raise anything; one file does not end the run
        if not isinstance(error, OSError | SightsoundError):
            log.debug("%s cannot be examined", item, exc_info=error)
        return FileScan(item, stat, error=error)


def _result(scan: Future[FileScan] | FileScan) -> FileScan:
    return scan.result() if isinstance(scan, Future) else scan
