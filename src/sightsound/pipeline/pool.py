"""One pool of threads that decode, preprocess, and run the network.

A thread that is free runs the network if a batch waits for it, else it decodes the next block. So no core waits while
there is work, whatever takes longer. There is one thread more than cores, since a thread waits at times without using
its core: for Python's lock, or for the threads of a runtime. On two cores this raises the part of them that is used
from 0.79 to 0.88 (YAMNet in OpenVINO); with one core there is one thread.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sightsound._threads import cores
from sightsound.contract.results import Outcome
from sightsound.host.model import Model
from sightsound.pipeline.batches import Batch, Batcher, Filler
from sightsound.pipeline.reader import Job, Prepared, Reading
from sightsound.pipeline.timing import StageTimes

_ITEMS_PER_CORE = 8  # items that are read or wait to be, so that a thread need not wait for the consumer
_BLOCKS = 1  # blocks of an item that wait for a batch, beside those that threads work on
_DONE_INPUTS = 256  # inputs whose rows wait for the consumer while it stores others, at least


@dataclass(eq=False)
class _Slot:
    """A block that a thread preprocesses, and what became of it."""

    prepared: Prepared | None = None


@dataclass(eq=False)
class _Place:
    """An item in the order of the jobs, and its blocks that are not in a batch yet."""

    reading: Reading
    slots: deque[_Slot] = field(default_factory=deque)
    failures: list[Outcome] = field(default_factory=list)
    is_begun: bool = False
    is_decoding: bool = False
    is_decoded: bool = False
    error: BaseException | None = None

    @property
    def is_open(self) -> bool:
        """Whether a thread works on it, or will go on with it."""
        return self.is_begun and not (self.is_decoded and all(slot.prepared for slot in self.slots))


class Pool:
    """Runs jobs through a model in threads.

    Parameters
    ----------
    model : Model
        The model.
    jobs : iterable of Job
        Taken as they are needed, in the thread that iterates over `batches`.
    size : int
        The number of inputs in a batch.
    times : StageTimes
        Where the time of the stages is added.
    """

    def __init__(self, model: Model, jobs: Iterable[Job], size: int, times: StageTimes) -> None:
        self._model, self._times = model, times
        self._batcher = Batcher(model, size)
        self._filler = Filler(lambda: self._batcher.size)
        self._jobs, self._has_jobs = iter(jobs), True
        self._cores, self._readers = cores(), cores() + (cores() > 1)
        # A GPU works while its thread waits, so there is a thread for each core besides.
        self._threads = max(self._readers, model.workers) + (0 if model.device == "cpu" else model.workers)
        self._most_batches = max(4 * model.workers, _DONE_INPUTS // size)
        lock = threading.Lock()
        self._work, self._news = threading.Condition(lock), threading.Condition(lock)
        self._places = deque[_Place]()  # in order; each leaves when it is in batches
        self._waiting = deque[Batch]()  # for the network
        self._batches = deque[Batch]()  # in order; each leaves when the consumer takes it
        self._embedding = self._idle = 0
        self._is_stopped = False

    def batches(self) -> Generator[Batch]:
        """Yield the batches with their results, in order. The threads end when the generator does.

        Yields
        ------
        Batch
        """
        with ThreadPoolExecutor(self._threads, "sightsound-work") as threads:
            try:
                for _ in range(self._threads):
                    threads.submit(self._run)
                yield from self._consumed()
            finally:
                with self._work:
                    self._is_stopped = True
                    self._work.notify_all()
                threads.shutdown(wait=True)
                for place in self._places:
                    place.reading.close()

    def _consumed(self) -> Generator[Batch]:
        while True:
            with self._news:
                while not (self._wants_jobs() or (self._batches and self._batches[0].is_done)):
                    if not (self._has_jobs or self._places or self._batches):
                        return
                    self._news.wait()
                wanted = _ITEMS_PER_CORE * self._cores - len(self._places) if self._wants_jobs() else 0
                batch = None if wanted else self._batches.popleft()
                self._fill()
            if batch is None:
                self._take_jobs(wanted)
            elif batch.error is not None:
                raise batch.error
            else:
                yield batch

    def _wants_jobs(self) -> bool:
        return self._has_jobs and len(self._places) <= _ITEMS_PER_CORE * self._cores // 2

    def _take_jobs(self, wanted: int) -> None:
        jobs = list(itertools.islice(self._jobs, wanted))
        with self._work:
            self._places.extend(_Place(Reading(self._model, job, self._times)) for job in jobs)
            self._has_jobs = len(jobs) == wanted
            self._fill()

    # -- in the threads ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Work until the run is stopped."""
        with self._times.thread():
            while (task := self._next_task()) is not None:
                task()

    def _next_task(self) -> Callable[[], None] | None:
        """Return what is to be done next; wait for it. None when the run is stopped."""
        with self._work:
            while not self._is_stopped:
                task = self._task()
                if task is not None:
                    if self._idle:
                        self._work.notify()
                    return task
                self._idle += 1
                self._work.wait()
                self._idle -= 1
        return None

    def _task(self) -> Callable[[], None] | None:
        if self._waiting and self._embedding < self._model.workers:
            batch = self._waiting.popleft()
            self._embedding += 1
            self._fill()
            return lambda: self._embed(batch)
        place = self._next_place()
        if place is None:
            return None
        place.is_begun = place.is_decoding = True
        return lambda: self._read(place)

    def _next_place(self) -> _Place | None:
        """Return the first item whose next block may be decoded."""
        opened = sum(place.is_open for place in self._places)
        for place in self._places:
            if place.is_decoded or place.is_decoding:
                continue
            if place.is_begun:
                if len(place.slots) < self._readers + _BLOCKS:
                    return place
            elif opened < self._readers:
                return place
        return None

    def _read(self, place: _Place) -> None:
        """Decode the next block of an item, and preprocess it, while another thread may decode the one after it."""
        slot = _Slot()
        try:
            block = place.reading.decode()
            with self._work:
                place.is_decoding = False
                place.is_decoded |= block is None or block.last
                if block is not None:
                    place.slots.append(slot)
                self._fill()
            if block is not None:
                slot.prepared = place.reading.preprocess(block)
        except BaseException as error:  # the consumer would wait for ever
            place.error, slot.prepared = error, Prepared()
        with self._work:
            self._fill()

    def _embed(self, batch: Batch) -> None:
        """Run the network on a batch."""
        try:
            with self._times.stage("network"):
                batch.result = self._batcher.run(batch)
        except BaseException as error:  # the consumer would wait for ever
            batch.error = error
        with self._work:
            self._embedding -= 1
            self._fill()

    # -- with the lock -------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Move windows into batches in the order of the items, as far as there is room, and wake who waits for that."""
        while self._places and len(self._waiting) < self._model.workers and len(self._batches) < self._most_batches:
            place = self._places[0]
            if place.error is not None:
                self._batches.append(Batch(error=place.error))
                self._places.clear()
                self._has_jobs = False
            elif place.slots and place.slots[0].prepared:
                self._take(place, place.slots.popleft().prepared)
            elif place.is_decoded and not place.slots:
                self._places.popleft()
                self._queue(self._filler.end(place.reading.outcome(), place.failures))
            else:
                break
        if not (self._places or self._has_jobs):
            self._queue(self._filler.rest())
        if self._wants_jobs() or (self._batches and self._batches[0].is_done):
            self._news.notify()
        if self._idle:
            self._work.notify()  # it wakes the next one, if there is more to do

    def _take(self, place: _Place, prepared: Prepared | None) -> None:
        assert prepared is not None
        place.reading.note(prepared)
        if prepared.failure is not None:
            place.slots.clear()
            place.is_decoded = True
        elif prepared.windows is not None:
            self._queue(self._filler.add(place.reading.job.item, prepared.windows, place.failures))

    def _queue(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._batches.append(batch)
            self._waiting.append(batch)
