"""Items -> windows -> batches across items -> outputs -> rows, in the order of the items.

Reader threads decode and preprocess ahead of the network; batches are filled across items in item order, so that what
a batch holds does not depend on how threads are timed; up to `model.workers` threads run the network. What waits between
them is bounded by blocks and batches, never by files.
"""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound._threads import cores
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.embedder import Windows
from sightsound.contract.errors import MediaError, NotMedia, PluginError, SightsoundError
from sightsound.contract.results import Item, Outcome, Rows, Status
from sightsound.host.model import Model
from sightsound.media import framing

log = logging.getLogger(__name__)

SILENCE = 1e-5
"""A recording whose samples all lie within this (-100 dB of full scale) is flagged `silent`."""

_AHEAD = 2  # blocks that a reader may be ahead of the network, per item
_RUNNING = 4  # batches a worker that are under way, so that workers do not wait while rows are stored
_ENDS = 64  # items that may end in one batch, so that a thousand unreadable files do not wait for a window


@dataclass(frozen=True)
class Job:
    """An item to embed, or the part of it between `start` and `stop` seconds, or one `channel` from 0 (sound only).

    `stat` is the (size, mtime_ns) that the file had when it was hashed: a file that changed since is refused.
    """

    item: Item
    start: float = 0.0
    stop: float | None = None
    stat: tuple[int, int] | None = None
    channel: int | None = None


Event = Rows | Outcome


def run(model: Model, jobs: Iterable[Job], *, batch_size: int | None = None) -> Generator[list[Event]]:
    """Embeds every job; yields, batch by batch, rows and then the outcome of each item, in the order of the jobs.

    A file that cannot be read, or an input that the network fails on, gives a `failed` outcome and the rest goes on;
    the rows of a failed item that came before are void. Closing the iterator stops the threads.
    """
    workers, readers = max(1, model.workers), cores()
    stop = threading.Event()
    batcher = _Batcher(model, batch_size or model.batch_size)
    with (
        ThreadPoolExecutor(readers, "sightsound-read") as reading,
        ThreadPoolExecutor(workers, "sightsound-embed") as embedding,
    ):
        try:
            running: deque[tuple[_Batch, Future[_Result]]] = deque()
            for batch in batcher.batches(_streams(model, jobs, reading, 4 * readers, stop)):
                running.append((batch, embedding.submit(batcher.result, batch)))
                while len(running) > _RUNNING * workers or (running and running[0][1].done()):
                    yield _events(model, *running.popleft())
            while running:
                yield _events(model, *running.popleft())
        finally:
            stop.set()
            reading.shutdown(wait=True, cancel_futures=True)
            embedding.shutdown(wait=True, cancel_futures=True)


# -- reading -----------------------------------------------------------------------------------------------------


@dataclass
class _Stream:
    """What a reader thread passes on of one item: windows, then None; `outcome` holds before the None comes."""

    job: Job
    stop: threading.Event
    windows: queue.Queue[Windows | None] = field(default_factory=lambda: queue.Queue(_AHEAD))
    outcome: Outcome | None = None

    def put(self, windows: Windows | None) -> None:
        while not self.stop.is_set():
            try:
                return self.windows.put(windows, timeout=0.1)
            except queue.Full:
                continue
        raise _Stopped

    def __iter__(self) -> Iterator[Windows]:
        return iter(self.windows.get, None)


class _Stopped(Exception):
    """The consumer has gone."""


def _streams(
    model: Model, jobs: Iterable[Job], reading: ThreadPoolExecutor, ahead: int, stop: threading.Event
) -> Iterator[_Stream]:
    """Starts the readers of the next `ahead` items and hands the streams on in order."""
    waiting: deque[_Stream] = deque()
    jobs = iter(jobs)
    while True:
        for job in itertools.islice(jobs, ahead - len(waiting)):
            waiting.append(_Stream(job, stop))
            reading.submit(_read, model, waiting[-1])
        if not waiting:
            return
        yield waiting.popleft()


def _read(model: Model, stream: _Stream) -> None:
    """Runs in a reader thread; whatever happens the stream gets an outcome and its None."""
    try:
        stream.outcome = _read_item(model, stream)
    except _Stopped:
        return
    except Exception as error:
        stream.outcome = _failed(model, stream.job.item, error)
    try:
        stream.put(None)
    except _Stopped:
        return


def _read_item(model: Model, stream: _Stream) -> Outcome:
    item, job = stream.job.item, stream.job
    outcome = _read_image(model, stream) if model.card.modality == "image" else _read_sound(model, stream)
    if job.stat is not None and job.stat != item.stat():
        raise MediaError(f"{item}: changed while it was read; index it again")
    return outcome


def _read_image(model: Model, stream: _Stream) -> Outcome:
    picture = media.read_image(stream.job.item.file)
    windows = model.preprocess(picture.pixels)
    stream.put(windows)
    status: Status = "ok" if len(windows.inputs) else "no-windows"
    return Outcome(stream.job.item, status, facts=picture.facts)


def _read_sound(model: Model, stream: _Stream) -> Outcome:
    job, rate = stream.job, model.card.sample_rate
    assert rate is not None
    count, peak, padded = 0, 0.0, False
    with media.open_sound(job.item.file) as sound:
        pieces = sound.pieces(rate, start=job.start, stop=job.stop, channel=job.channel)
        for block, start, last in framing.blocks(model.card, pieces):
            peak = max(peak, float(np.abs(block).max(initial=0)))
            windows = model.preprocess(block, start, last)
            count += len(windows.inputs)
            padded |= windows.padded
            for part in _parts(windows, model.batch_size):
                stream.put(_shifted(part, job.start))
        flags = {"padded": padded, "silent": peak <= SILENCE, "resampled-up": sound.sample_rate < rate}
        set_flags = tuple(name for name, holds in flags.items() if holds) if count else ()
        status: Status = "ok" if count else "no-windows"
        why = "" if count else "no samples" if not sound.seconds else "shorter than a window"
        return Outcome(job.item, status, why, set_flags, sound.seconds, sound.facts)


def _parts(windows: Windows, size: int) -> Iterator[Windows]:
    """Windows in handfuls, so that what waits in a stream is small whatever an embedder makes of a block."""
    size = max(64, size)
    for a in range(0, len(windows.inputs), size):
        spans = None if windows.spans is None else windows.spans[a : a + size]
        yield Windows(windows.inputs[a : a + size], spans, windows.padded)


def _shifted(windows: Windows, seconds: float) -> Windows:
    if not seconds or windows.spans is None:
        return windows
    return replace(windows, spans=windows.spans + seconds)


def _failed(model: Model, item: Item, error: Exception) -> Outcome:
    """A failed item; the traceback of what nobody foresaw goes to the log."""
    error.add_note(f"while embedding {item} with {model.card.name}")
    if not isinstance(error, SightsoundError):
        log.debug("%s failed", item, exc_info=error)
    status: Status = "not-media" if isinstance(error, NotMedia) else "failed"
    return Outcome(item, status, reason(item, error), error=error)


def reason(item: Item, error: Exception) -> str:
    """One line that says why an item failed, without the item's name in front."""
    text = str(error) if isinstance(error, SightsoundError) else f"{type(error).__name__}: {error}"
    for name in (f"{item.file}: ", f"{item}: "):
        text = text.removeprefix(name)
    return " ".join(text.split())


# -- batches -----------------------------------------------------------------------------------------------------


@dataclass
class _Part:
    """Inputs of one item in a batch; with `end`, the item ends here. `failed` is shared by all parts of an item."""

    item: Item
    inputs: Floats
    spans: Seconds | None
    failed: list[Outcome]
    end: Outcome | None = None


@dataclass
class _Batch:
    parts: list[_Part] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(part.inputs) for part in self.parts)

    def inputs(self) -> Floats | None:
        """All inputs as one array, or None where items only end here."""
        filled = [part.inputs for part in self.parts if len(part.inputs)]
        return np.concatenate(filled) if filled else None


@dataclass
class _Result:
    """Rows and scores for every input of a batch, the errors of those that have none, and bool (n,) of which rows and
    scores are finite."""

    rows: Floats | None = None
    scores: Floats | None = None
    errors: dict[int, Exception] = field(default_factory=dict)
    finite: NDArray[np.bool_] | None = None


class _Batcher:
    def __init__(self, model: Model, size: int) -> None:
        self.model = model
        self.size = size

    def batches(self, streams: Iterable[_Stream]) -> Iterator[_Batch]:
        batch = _Batch()
        for stream in streams:
            failed: list[Outcome] = []
            for windows in stream:
                a = 0
                while a < len(windows.inputs):
                    size = self.size  # a worker may halve it at any moment
                    if len(batch) >= size:  # not before, so that an item that ends here ends in its batch
                        yield batch
                        batch = _Batch()
                    b = a + size - len(batch)
                    spans = None if windows.spans is None else windows.spans[a:b]
                    batch.parts.append(_Part(stream.job.item, windows.inputs[a:b], spans, failed))
                    a = b
            empty = np.empty((0, *self.model.card.input_shape), np.float32)
            batch.parts.append(_Part(stream.job.item, empty, None, failed, stream.outcome))
            if len(batch) >= self.size or len(batch.parts) >= max(_ENDS, 2 * self.size):
                yield batch
                batch = _Batch()
        if batch.parts:
            yield batch

    def result(self, batch: _Batch) -> _Result:
        """Runs in a worker."""
        inputs = batch.inputs()
        if inputs is None:
            return _Result()
        found = self._embed(inputs)
        known = [rows for rows in (found.rows, found.scores) if rows is not None]
        if known:
            found.finite = np.logical_and.reduce([np.isfinite(rows).all(axis=1) for rows in known])
        return found

    def _embed(self, inputs: Floats) -> _Result:
        """A batch that does not fit the device, or fails, is halved down to the inputs at fault."""
        try:
            output = self.model.embed(inputs)
            return _Result(self.model.postprocess(output), output.scores)
        except Exception as error:
            if len(inputs) == 1:
                return _Result(errors={0: error})
            half = len(inputs) // 2
            if isinstance(error, MemoryError) and half < self.size:
                log.warning("out of memory with %d inputs at once; going on with %d (%s)", len(inputs), half, error)
                self.size = half
            return self._join(self._embed(inputs[:half]), self._embed(inputs[half:]), half, len(inputs))

    def _join(self, first: _Result, second: _Result, half: int, count: int) -> _Result:
        def joined(a: Floats | None, b: Floats | None) -> Floats | None:
            known = a if a is not None else b
            if known is None:
                return None
            whole = np.full((count, known.shape[1]), np.nan, np.float32)
            for part, place in ((a, slice(0, half)), (b, slice(half, count))):
                if part is not None:
                    whole[place] = part
            return whole

        errors = first.errors | {half + index: error for index, error in second.errors.items()}
        return _Result(joined(first.rows, second.rows), joined(first.scores, second.scores), errors)


def _events(model: Model, batch: _Batch, running: Future[_Result]) -> list[Event]:
    result = running.result()
    events: list[Event] = []
    at = 0
    for part in batch.parts:
        n = len(part.inputs)
        if n and not part.failed:
            error = _error(result, at, at + n)
            if error is not None:
                part.failed.append(_failed(model, part.item, error))
            else:
                events.append(_rows(part, result, at))
        at += n
        if part.end is not None:
            events.append(part.failed[0] if part.failed else part.end)
    return events


def _error(result: _Result, start: int, stop: int) -> Exception | None:
    """Why these inputs of a batch have no usable rows, or None."""
    for index in range(start, stop):
        if index in result.errors:
            return result.errors[index]
    if result.finite is None or not result.finite[start:stop].all():
        return PluginError("the network gave NaN or infinity; run `sightsound check-model` on it")
    return None


def _rows(part: _Part, result: _Result, at: int) -> Rows:
    assert result.rows is not None
    place = slice(at, at + len(part.inputs))
    return Rows(part.item, part.spans, result.rows[place], None if result.scores is None else result.scores[place])
