"""Measure one network on some files: its rows and best classes, its time, size and memory."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound._progress import bar
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.errors import PluginError, SightsoundError
from sightsound.contract.execution import Execution
from sightsound.contract.pooling import Pool, default_pool, pooled
from sightsound.contract.results import Item, Outcome
from sightsound.contract.space import Space
from sightsound.host.host import Host, using_runtime
from sightsound.host.model import Model
from sightsound.host.runtimes import BY_ITSELF
from sightsound.learn.comparison.classes import best_classes
from sightsound.pipeline.latency import items_timer, medians, network_timer
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items

_SAMPLE = 2000  # rows whose looks decide how windows are pooled
_MOST_TIMED = 32  # files in one measurement of the time from file to rows
_PASS_SECONDS = 5.0  # which one such measurement is to take at most


@dataclass(frozen=True)
class Request:
    """What to measure.

    Parameters
    ----------
    model : str
        The name of the network.
    runtime : str
        The runtime that must run it, "none" for none, "" for that of the host.
    device : str
        As in `Host.load`.
    root : str
        The folder of the files.
    paths : tuple of str
        The files, relative to it.
    repeats : int
        How often each time is measured.
    """

    model: str
    runtime: str
    device: str
    root: str
    paths: tuple[str, ...]
    repeats: int

    @property
    def name(self) -> str:
        """The name of the network, with its runtime where one is asked for."""
        return f"{self.model}@{self.runtime}" if self.runtime else self.model


@dataclass(frozen=True, eq=False)
class MeasuredModel:
    """What was measured on n files, m of which have rows.

    Parameters
    ----------
    space : Space
        The space of the rows.
    pool : {"mean", "max", "mean+max"}
        How the windows of a file became a row.
    rows : float32 array (m, features)
        A row for each file that has one.
    best : int array (m, 5) or None
        The columns of the best five classes of each, by the mean score over its windows. None without scores.
    outcomes : tuple of Outcome, length n
        What became of each file.
    execution : Execution
        How the network ran.
    network_ms, total_ms : float
        Milliseconds for a file: of the network alone, and from file to rows.
    memory : int or None
        Bytes of memory that the process needed at most. None if it was not a process of its own.
    """

    space: Space
    pool: Pool
    rows: Floats
    best: NDArray[np.intp] | None
    outcomes: tuple[Outcome, ...]
    execution: Execution
    network_ms: float
    total_ms: float
    memory: int | None = None


def measure(host: Host, request: Request, *, apart: bool = False, progress: bool | None = False) -> MeasuredModel:
    """Measure a network in this process.

    Parameters
    ----------
    host : Host
        Where it is looked up.
    request : Request
        What to measure.
    apart : bool
        Whether the process does nothing else, so that its memory is that of the network.
    progress : bool, optional
        Whether to show a progress bar. None shows it on a terminal and in a notebook.

    Returns
    -------
    MeasuredModel

    Raises
    ------
    SightsoundError
        If the network cannot be loaded, is not run by the runtime that was asked for, or has no row for any file.
    """
    model = _loaded(host, request)
    items = [Item(request.root, path) for path in request.paths]
    start = time.perf_counter()
    found = _embedded(model, items, progress)
    if not found.rows:
        first = found.outcomes[0]
        raise SightsoundError(f"no file gave a row; {first.item}: {first.reason or first.status}")
    seconds, memory = (time.perf_counter() - start) / len(items), peak_memory() if apart else None
    good = [outcome.item for outcome in found.outcomes if outcome.status == "ok"]
    most = min(_MOST_TIMED, max(1, round(_PASS_SECONDS / seconds)))
    pool, rows = found.pooled(model.card)
    timers = [network_timer(model, good), items_timer(model, good, most)]
    network_ms, total_ms = medians(timers, request.repeats)
    return MeasuredModel(
        space=model.space,
        pool=pool,
        rows=rows,
        best=np.stack(found.best) if found.best else None,
        outcomes=tuple(found.outcomes),
        execution=model.execution,
        network_ms=network_ms * found.windows / len(good),
        total_ms=total_ms,
        memory=memory,
    )


def peak_memory() -> int | None:
    """Return the bytes of memory that this process has needed at most; None where the system does not say.

    On Linux this is VmHWM of /proc/self/status: `ru_maxrss` of a process begins with that of the one that started it.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            fields = dict(line.split(":", 1) for line in status if ":" in line)
        return int(fields["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def weight_bytes(host: Host, card: Card) -> int | None:
    """Return the size of the weight files of a card on disk; 0 if it has none, None if one is not on this machine."""
    total = 0
    for file in card.weights:
        try:
            found = host.weights.find(file)
            if found is None:
                return None
            total += os.stat(found.path).st_size
        except (OSError, SightsoundError):
            return None
    return total


def _loaded(host: Host, request: Request) -> Model:
    if request.runtime:
        host = using_runtime(host, request.runtime)
    model = host.load(request.model, request.device)
    expected = ("", request.runtime) if request.runtime in BY_ITSELF else (request.runtime,)
    if request.runtime and model.execution.runtime not in expected:
        got = model.execution.runtime or "the network itself"
        raise PluginError(f"{request.name}: expected to run in {request.runtime}, got {got}; name another runtime")
    return model


@dataclass(eq=False)
class _Embedded:
    """The rows of files, while they come."""

    rows: list[Floats]
    best: list[NDArray[np.intp]]
    outcomes: list[Outcome]
    sample: list[Floats]
    windows: int = 0

    def pooled(self, card: Card) -> tuple[Pool, Floats]:
        """Return how windows are pooled by default, and the rows so."""
        rows = np.stack(self.rows)
        if card.modality == "image":
            return "mean", rows
        pool = default_pool(np.concatenate(self.sample))
        return pool, rows[:, card.dim :] if pool == "max" else rows


def _embedded(model: Model, items: Sequence[Item], progress: bool | None) -> _Embedded:
    found, sampled = _Embedded([], [], [], []), 0
    how: Pool = "mean" if model.card.modality == "image" else "mean+max"
    with embed_items(model, map(Job, items)) as embedded, bar(len(items), model.card.name, progress) as shown:
        for each in embedded:
            shown.update()
            found.outcomes.append(each.outcome)
            if each.embeddings is None:
                continue
            found.windows += len(each.embeddings)
            found.rows.append(pooled(each.embeddings, how))
            if each.scores is not None:
                found.best.append(best_classes(each.scores.mean(axis=0)))
            if sampled < _SAMPLE:
                found.sample.append(each.embeddings[: _SAMPLE - sampled])
                sampled += len(found.sample[-1])
    return found
