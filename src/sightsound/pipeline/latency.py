"""Measure how long models take for an item."""

from __future__ import annotations

import contextlib
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.pipeline.reader import Job, read_windows
from sightsound.pipeline.stream import embed_items

log = logging.getLogger(__name__)

Timer = Callable[[], float]
"""Measures once, and returns milliseconds."""

_MOST_ITEMS = 12
_LEAST_SECONDS = 0.1  # of one measurement of a network; a faster pass is repeated within it


def measure_latency(
    host: Host, models: Sequence[str], items: Sequence[Item], *, device: str = "auto"
) -> dict[str, float]:
    """Return the milliseconds that each model takes for an item, from file to embeddings, with all workers running.

    Parameters
    ----------
    host : Host
        Where models are looked up.
    models : sequence of str
        Names of models.
    items : sequence of Item
        Files. At most twelve are used, at equal distances.
    device : str
        Where the models run, see `Host.load`.

    Returns
    -------
    dict of str to float
        By model. One that cannot be loaded, or that fails on all items, is missing, and a warning in the log says why.
    """
    found: dict[str, float] = {}
    for name in models:
        try:
            (found[name],) = medians([items_timer(host.load(name, device), items)], 1)
        except SightsoundError as error:
            log.warning("%s: time not measured (%s)", name, error)
    return found


def items_timer(model: Model, items: Sequence[Item], most: int = _MOST_ITEMS) -> Timer:
    """Return what measures the milliseconds for an item, from file to embeddings, with all workers running.

    Parameters
    ----------
    model : Model
        The model.
    items : sequence of Item
        Files.
    most : int
        How many files are used at most, at equal distances.

    Returns
    -------
    callable
        A call of it raises `SightsoundError` if the model fails on all items.
    """
    jobs = [Job(item) for item in some_of(items, most)]

    def run() -> int:
        with embed_items(model, jobs) as embedded:
            outcomes = [each.outcome for each in embedded]
        good = sum(outcome.status == "ok" for outcome in outcomes)
        if not good:
            raise SightsoundError(outcomes[0].reason or outcomes[0].status)
        return good

    return lambda: _milliseconds(run)


def network_timer(model: Model, items: Sequence[Item]) -> Timer:
    """Return what measures the milliseconds of the network of a model for an input, with all workers running.

    The network runs on full batches, as it does on many files. Decoding and preprocessing come before and are not
    measured.

    Parameters
    ----------
    model : Model
        The model.
    items : sequence of Item
        Files whose images or windows are the inputs.

    Returns
    -------
    callable
        Its result is for one image, or one window of sound.

    Raises
    ------
    SightsoundError
        If there is no input, or the network fails.
    """
    size, workers = model.batch_size, model.workers
    some = _inputs(model, items, size * workers)
    inputs = np.resize(some, (size * workers, *some.shape[1:]))
    batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]

    def run(passes: int = 1) -> int:
        with ThreadPoolExecutor(workers, "sightsound-embed") as pool:
            for _ in pool.map(model.embed, batches * passes):
                pass
        return len(inputs) * passes

    run()  # what is built at the first call is not measured
    start = time.perf_counter()
    run()
    passes = max(1, round(_LEAST_SECONDS / max(1e-6, time.perf_counter() - start)))
    return lambda: _milliseconds(lambda: run(passes))


def medians(timers: Sequence[Timer], repeats: int) -> list[float]:
    """Return the median of what each timer measures; they take turns, so that other programs slow all alike.

    Parameters
    ----------
    timers : sequence of callable
        Those of `items_timer` and `network_timer`.
    repeats : int
        How often each is called, after a first call whose result does not count.

    Returns
    -------
    list of float
    """
    rounds = [[timer() for timer in timers] for _ in range(repeats + 1)]
    return [statistics.median(times) for times in zip(*rounds[1:])]


def some_of(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most so many items, at equal distances."""
    return [*items][:: max(1, len(items) // most)][:most]


def _inputs(model: Model, items: Sequence[Item], most: int) -> Floats:
    """Return the inputs of some items, at most so many."""
    found: list[Floats] = []
    for item in some_of(items, most):
        with contextlib.closing(read_windows(model, Job(item))) as read:
            for windows in read:
                found.append(windows.inputs.copy())
                if sum(map(len, found)) >= most:
                    return np.concatenate(found)[:most]
    if not sum(map(len, found)):
        raise SightsoundError(f"{model.card.name}: expected an input for its network, got none; use longer files")
    return np.concatenate(found)


def _milliseconds(run: Callable[[], int]) -> float:
    """Return the milliseconds for one of the things that a function does; it returns their number."""
    start = time.perf_counter()
    count = run()
    return 1000 * (time.perf_counter() - start) / count
