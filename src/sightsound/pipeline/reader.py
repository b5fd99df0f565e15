"""Decode and preprocess items in threads, ahead of the network.

Each item has a bounded queue. A reader thread puts the item's windows in it, and blocks while the queue is full.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from sightsound import media
from sightsound.contract.embedder import Windows
from sightsound.contract.errors import MediaError, SightsoundError
from sightsound.contract.results import Item, Outcome, Status
from sightsound.host.faults import memory_error
from sightsound.host.model import Model
from sightsound.media import framing
from sightsound.pipeline.outcomes import failed_outcome

log = logging.getLogger(__name__)

SILENCE = 1e-5
"""A recording whose samples all lie within this (-100 dB of full scale) is flagged `silent`."""

_QUEUE_SIZE = 2  # groups of windows that wait for the network, per item
_GROUP_SIZE = 64  # windows in a group at most, or one batch where that is larger


@dataclass(frozen=True)
class Job:
    """An item to embed, or a part of it.

    Parameters
    ----------
    item : Item
        The file.
    start, stop : float or None
        The part of a recording between these seconds. None stands for its end.
    stat : (int, int) or None
        The size in bytes and mtime_ns that the file had when it was hashed. A file that has changed since fails.
    channel : int or None
        One channel of a recording, counted from 0. None stands for the mean of all.
    """

    item: Item
    start: float = 0.0
    stop: float | None = None
    stat: tuple[int, int] | None = None
    channel: int | None = None


class Stopped(Exception):
    """Raised in a reader thread when the consumer has stopped."""


@dataclass
class ItemStream:
    """The windows of one job, from its reader thread to the consumer.

    Iteration gives groups of windows until the item ends. Then `outcome` is set.

    Parameters
    ----------
    job : Job
        The job.
    stop : threading.Event
        Set when the consumer stops.
    outcome : Outcome or None
        What became of the item. None while it is being read.
    error : BaseException or None
        What must end the run, as KeyboardInterrupt. Iteration raises it where the item ends.
    """

    job: Job
    stop: threading.Event
    outcome: Outcome | None = None
    error: BaseException | None = None
    _queue: queue.Queue[Windows | None] = field(default_factory=lambda: queue.Queue(_QUEUE_SIZE))

    def put(self, windows: Windows | None) -> None:
        """Add windows, or None at the end of the item; wait while the queue is full. Raises `Stopped`."""
        while not self.stop.is_set():
            try:
                return self._queue.put(windows, timeout=0.1)
            except queue.Full:
                continue
        raise Stopped

    def __iter__(self) -> Iterator[Windows]:
        yield from iter(self._queue.get, None)
        if self.error is not None:
            raise self.error


def read_ahead(
    model: Model, jobs: Iterable[Job], readers: ThreadPoolExecutor, ahead: int, stop: threading.Event
) -> Iterator[ItemStream]:
    """Read items in threads, and yield their streams in the order of the jobs.

    Parameters
    ----------
    model : Model
        Its `preprocess` runs in the reader threads.
    jobs : iterable of Job
        Taken as they are needed.
    readers : ThreadPoolExecutor
        The reader threads.
    ahead : int
        The number of items that are being read, or wait to be, at once.
    stop : threading.Event
        Setting it ends the reader threads.

    Yields
    ------
    ItemStream
    """
    waiting: deque[ItemStream] = deque()
    jobs = iter(jobs)
    while True:
        for job in itertools.islice(jobs, ahead - len(waiting)):
            waiting.append(ItemStream(job, stop))
            readers.submit(_read, model, waiting[-1])
        if not waiting:
            return
        yield waiting.popleft()


def failed_job(model: Model, item: Item, error: Exception) -> Outcome:
    """Return the outcome of an item that failed in a model, with a note on the error that names both.

    Parameters
    ----------
    model : Model
        The model.
    item : Item
        The item.
    error : Exception
        What was raised. The traceback of an error that is not sightsound's own goes to the log.

    Returns
    -------
    Outcome
    """
    error.add_note(f"while embedding {item} with {model.card.name}")
    if not isinstance(error, SightsoundError):
        log.debug("%s failed", item, exc_info=error)
    if isinstance(error, MemoryError):
        error = memory_error(model, error, "while it was read")
    return failed_outcome(item, error)


def _read(model: Model, stream: ItemStream) -> None:
    """Read one item in a reader thread. The stream gets an outcome and its end whatever happens."""
    try:
        stream.outcome = _read_item(model, stream)
    except Stopped:
        return
    except Exception as error:
        stream.outcome = failed_job(model, stream.job.item, error)
    except BaseException as error:  # the consumer would wait for ever
        stream.error = error
    try:
        stream.put(None)
    except Stopped:
        return


def _read_item(model: Model, stream: ItemStream) -> Outcome:
    item, job = stream.job.item, stream.job
    outcome = _read_image(model, stream) if model.card.modality == "image" else _read_sound(model, stream)
    if job.stat is not None and job.stat != item.stat():
        raise MediaError(f"{item}: changed while it was read; index it again")
    return outcome


def _read_image(model: Model, stream: ItemStream) -> Outcome:
    image = media.read_image(stream.job.item.file, shortest=model.shortest_side)
    windows = model.preprocess(image.pixels)
    stream.put(windows)
    status: Status = "ok" if len(windows.inputs) else "no-windows"
    return Outcome(stream.job.item, status, facts=image.facts)


def _read_sound(model: Model, stream: ItemStream) -> Outcome:
    job, rate = stream.job, model.card.sample_rate
    assert rate is not None
    count, peak, padded = 0, 0.0, False
    with media.open_sound(job.item.file) as sound:
        pieces = sound.pieces(rate, start=job.start, stop=job.stop, channel=job.channel)
        for block, start, last in framing.blocks(model.card, pieces):
            peak = max(peak, float(np.abs(block).max(initial=0)))
            windows = model.preprocess(block, start, last)
            if model.card.window is None and np.may_share_memory(windows.inputs, block):
                windows = replace(windows, inputs=windows.inputs.copy())  # while it waits, the recording need not
            count += len(windows.inputs)
            padded |= windows.padded
            for group in _groups(windows, model.batch_size):
                stream.put(_shifted(group, job.start))
        flags = {"padded": padded, "silent": peak <= SILENCE, "resampled-up": sound.sample_rate < rate}
        flags["truncated"] = sound.truncated
        set_flags = tuple(name for name, holds in flags.items() if holds) if count else ()
        status: Status = "ok" if count else "no-windows"
        reason = "" if count else "no samples" if not sound.seconds else "shorter than a window"
        return Outcome(job.item, status, reason, set_flags, sound.seconds, sound.facts)


def _groups(windows: Windows, batch_size: int) -> Iterator[Windows]:
    """Cut windows into groups, so that a queue stays small whatever an embedder makes of one block."""
    size = max(_GROUP_SIZE, batch_size)
    for a in range(0, len(windows.inputs), size):
        spans = None if windows.spans is None else windows.spans[a : a + size]
        yield Windows(windows.inputs[a : a + size], spans, windows.padded)


def _shifted(windows: Windows, seconds: float) -> Windows:
    """Return windows whose spans are `seconds` later."""
    if not seconds or windows.spans is None:
        return windows
    return replace(windows, spans=windows.spans + seconds)
