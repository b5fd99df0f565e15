"""Decode and preprocess items, block by block.

A reading is advanced in steps, by any thread: one thread at a time decodes its next block, while others preprocess the
blocks before it.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound.contract import decoding
from sightsound.contract.card import Card
from sightsound.contract.embedder import Windows
from sightsound.contract.errors import MediaError, SightsoundError
from sightsound.contract.results import Item, Outcome
from sightsound.host.faults import memory_error
from sightsound.host.model import Model
from sightsound.media import framing
from sightsound.pipeline.outcomes import failed_outcome
from sightsound.pipeline.timing import StageTimes

log = logging.getLogger(__name__)

SILENCE = 1e-5
"""A recording whose samples all lie within this (-100 dB of full scale) is flagged `silent`."""


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


@dataclass(frozen=True, eq=False)
class Block:
    """An image, or a part of a recording, as `Model.preprocess` takes it.

    Parameters
    ----------
    media : ndarray
        uint8 (height, width, 3), or float32 (samples,).
    start : int
        The position of the first sample; 0 for an image.
    last : bool
        Whether the item ends with it.
    """

    media: NDArray[Any]
    start: int = 0
    last: bool = True


@dataclass(eq=False)
class Prepared:
    """What became of a block.

    Parameters
    ----------
    windows : Windows or None
        Inputs of the network; None where it failed.
    peak : float
        The largest absolute sample.
    failure : Outcome or None
        Why it failed.
    """

    windows: Windows | None = None
    peak: float = 0.0
    failure: Outcome | None = None


class Reading:
    """Reads one item: `decode` gives its blocks, `preprocess` their windows, and `outcome` what became of it.

    Parameters
    ----------
    model : Model
        The model.
    job : Job
        The item.
    times : StageTimes
        Where the time is added.
    """

    def __init__(self, model: Model, job: Job, times: StageTimes) -> None:
        self.job = job
        self._model, self._times = model, times
        self._decoded = decoded(model.card, job)
        self._ending: Outcome | None = None
        self._failure: Outcome | None = None
        self._windows, self._peak, self._padded = 0, 0.0, False

    def decode(self) -> Block | None:
        """Return the next block, or None after the last. One thread at a time may call it.

        An item that cannot be read has no further block, and `outcome` tells why.
        """
        try:
            with self._times.stage("decode"):
                block = next(self._decoded)
                if block.last:
                    self._ending = self._end()
            return block
        except StopIteration as end:
            self._ending = end.value
        except Exception as error:
            self._ending = failed_job(self._model, self.job.item, error)
        return None

    def preprocess(self, block: Block) -> Prepared:
        """Return the windows of a block. Several threads may call it."""
        try:
            with self._times.stage("preprocess"):
                windows = self._model.preprocess(block.media, block.start, block.last)
                if self._model.card.modality == "image":
                    return Prepared(windows)
                if self._model.card.window is None and np.may_share_memory(windows.inputs, block.media):
                    windows = replace(windows, inputs=windows.inputs.copy())  # while it waits, the recording need not
                peak = float(np.abs(block.media).max(initial=0))
                return Prepared(_shifted(windows, self.job.start), peak)
        except Exception as error:
            return Prepared(failure=failed_job(self._model, self.job.item, error))

    def note(self, prepared: Prepared) -> None:
        """Count a block for the outcome."""
        if prepared.failure is not None:
            self._failure = prepared.failure
        elif prepared.windows is not None:
            self._windows += len(prepared.windows.inputs)
            self._peak = max(self._peak, prepared.peak)
            self._padded |= prepared.windows.padded

    def outcome(self) -> Outcome:
        """Return what became of the item, after all its blocks were noted."""
        if self._failure is not None:
            return self._failure
        assert self._ending is not None, "called before the end"
        ending, is_sound = self._ending, self._model.card.modality == "sound"
        if ending.status != "ok":
            return ending
        if not self._windows:
            reason = ("shorter than a window" if ending.seconds else "no samples") if is_sound else ""
            return replace(ending, status="no-windows", reason=reason, flags=())
        own = {"padded": self._padded, "silent": is_sound and self._peak <= SILENCE}
        return replace(ending, flags=(*(name for name, holds in own.items() if holds), *ending.flags))

    def close(self) -> None:
        """Close the file."""
        self._decoded.close()

    def _end(self) -> Outcome:
        """Finish the decoder after its last block, which is not held any longer then."""
        try:
            next(self._decoded)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        raise AssertionError("a block after the last")


def read_windows(model: Model, job: Job) -> Generator[Windows]:
    """Yield the windows of an item, as far as it can be read.

    Parameters
    ----------
    model : Model
        The model.
    job : Job
        The item.

    Yields
    ------
    Windows
    """
    reading = Reading(model, job, StageTimes())
    try:
        while (block := reading.decode()) is not None:
            windows = reading.preprocess(block).windows
            if windows is not None:
                yield windows
    finally:
        reading.close()


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


def decoded(card: Card, job: Job) -> Generator[Block, None, Outcome]:
    """Yield the blocks of an item, and return its outcome as far as decoding tells it.

    Parameters
    ----------
    card : Card
        Its modality, sampling rate, window and hop.
    job : Job
        The item.

    Yields
    ------
    Block

    Returns
    -------
    Outcome
    """
    outcome = yield from _image(card, job) if card.modality == "image" else _sound(card, job)
    if job.stat is not None and job.stat != job.item.stat():
        raise MediaError(f"{job.item}: changed while it was read; index it again")
    return outcome


def _image(card: Card, job: Job) -> Generator[Block, None, Outcome]:
    image = media.read_image(job.item.file, shortest=decoding.shortest_side(card))
    facts, block = image.facts, Block(image.pixels)
    del image
    yield block
    return Outcome(job.item, "ok", facts=facts)


def _sound(card: Card, job: Job) -> Generator[Block, None, Outcome]:
    rate = card.sample_rate
    assert rate is not None
    with media.open_sound(job.item.file) as sound:
        pieces = sound.pieces(rate, start=job.start, stop=job.stop, channel=job.channel)
        for block in framing.blocks(card, pieces):
            yield Block(*block)
        flags = {"resampled-up": sound.sample_rate < rate, "truncated": sound.truncated}
        set_flags = tuple(name for name, holds in flags.items() if holds)
        return Outcome(job.item, "ok", "", set_flags, sound.seconds, sound.facts)


def _shifted(windows: Windows, seconds: float) -> Windows:
    """Return windows whose spans are `seconds` later."""
    if not seconds or windows.spans is None:
        return windows
    return replace(windows, spans=windows.spans + seconds)
