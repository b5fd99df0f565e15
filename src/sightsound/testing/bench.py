"""How fast a network is, for batches of several sizes in several threads."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from sightsound._threads import cores
from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.testing.subject import Subject

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
"""The sizes that `bench_model` measures by default."""

SECONDS = 0.5
"""How long it measures each by default."""


@dataclass(frozen=True)
class BenchRow:
    """The speed of a network for one batch size and number of workers.

    Attributes
    ----------
    batch_size : int
        Inputs in one call of `embed`.
    workers : int
        Threads that called `embed` at once.
    per_second : float
        Inputs in a second: images, or windows of sound. 0 if the network failed.
    best : bool
        Whether no other row is faster; True for one row.
    reason : str
        Why it failed, "" if it did not.
    """

    batch_size: int
    workers: int
    per_second: float
    best: bool = False
    reason: str = ""


def bench_model(
    model: str | Model,
    *,
    host: Host | None = None,
    batch_sizes: Iterable[int] = BATCH_SIZES,
    workers: Iterable[int] | None = None,
    seconds: float | None = None,
) -> list[BenchRow]:
    """Measure how many inputs in a second `embed` takes, on the items of the kit.

    The best row says what `batch_size` and `workers` of the embedder should be on this machine. Close other programs
    before.

    Parameters
    ----------
    model : str or Model
        A name, or a loaded model.
    host : Host, optional
        The host that knows the model; by default one with the installed plugins.
    batch_sizes : iterable of int
        How many inputs one call gets.
    workers : iterable of int, optional
        How many threads call `embed` at once; by default 1 to 4, and above the powers of 2 up to the number of cores.
    seconds : float, optional
        How long each row is measured, by default `SECONDS`; every thread finishes the call that it has begun.

    Returns
    -------
    list of BenchRow
        One for each batch size and number of workers, in this order.

    Raises
    ------
    SightsoundError
        If the model is unknown or cannot be loaded, or fails for every batch.
    """
    subject = Subject(model, host=host)
    if subject.fault is not None:
        raise subject.fault
    counts = list(workers) if workers is not None else worker_counts(cores())
    found = [
        _measured(subject, size, count, SECONDS if seconds is None else seconds)
        for size in batch_sizes
        for count in counts
    ]
    best = max(found, key=lambda row: row.per_second)
    if not best.per_second:
        raise SightsoundError(f"{subject.card.name}: {best.reason}; run `sightsound check-model {subject.card.name}`")
    return [replace(row, best=row is best) for row in found]


def worker_counts(most: int) -> list[int]:
    """Return the numbers of workers that are measured: 1 to 4, powers of 2, and the number of cores."""
    return sorted({*range(1, min(most, 4) + 1), *(2**power for power in range(most.bit_length())), most})


def _measured(subject: Subject, size: int, workers: int, seconds: float) -> BenchRow:
    inputs = np.resize(subject.inputs, (size, *subject.card.input_shape))
    try:
        _call_until(0, subject, inputs)  # what is built at the first call is not measured
        start = time.perf_counter()
        with ThreadPoolExecutor(workers) as pool:
            counts = pool.map(lambda _: _call_until(start + seconds, subject, inputs), range(workers))
            done = sum(counts)
    except AssertionError as error:
        return BenchRow(size, workers, 0.0, reason=str(error))
    return BenchRow(size, workers, done / (time.perf_counter() - start))


def _call_until(end: float, subject: Subject, inputs: Floats) -> int:
    """Call `embed` at least once, and until a time; return the number of inputs."""
    calls = 0
    while not calls or time.perf_counter() < end:
        subject.call("embed", inputs=inputs)
        calls += 1
    return calls * len(inputs)
