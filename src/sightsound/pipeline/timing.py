"""What the time of the processor goes to: seconds by stage, and how much of the cores was used."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sightsound._threads import cores

STAGES = ("load", "scan", "decode", "preprocess", "network", "store")
"""The stages of a run: networks are loaded; of each file the hash and kind; pixels or samples; inputs of a network; its
output; rows in a library."""


@dataclass(frozen=True)
class Timing:
    """The time of one run.

    Parameters
    ----------
    stages : dict of str to float
        Seconds of the processor by stage, without those that had nothing to do. `network` has those of the threads of a
        runtime.
    cpu : float
        Seconds of the processor in all: those of the stages, of what lies between them, and of other threads of the
        process.
    wall : float
        Seconds.
    cores : int
        The number of cores.
    """

    stages: dict[str, float]
    cpu: float
    wall: float
    cores: int

    @property
    def utilisation(self) -> float:
        """The part of the cores that was used: `cpu` over `wall` times `cores`. What is missing was waited for."""
        return self.cpu / max(self.wall * self.cores, 1e-9)

    @property
    def work_ratio(self) -> float:
        """The part of `cpu` that the stages took. What is missing lies between them: queues, threads, Python."""
        return sum(self.stages.values()) / max(self.cpu, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Return everything as a dict of numbers."""
        stages = {name: round(seconds, 3) for name, seconds in self.stages.items()}
        ratios = {"utilisation": round(self.utilisation, 3), "work_ratio": round(self.work_ratio, 3)}
        return {"stages": stages, "cpu": round(self.cpu, 3), "wall": round(self.wall, 3), "cores": self.cores, **ratios}


class StageTimes:
    """Adds up the time of stages, in any threads, from when it is made until `timing` is called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stages = dict.fromkeys(STAGES, 0.0)
        self._threads = 0.0
        self._wall, self._cpu, self._own = time.monotonic(), time.process_time(), time.thread_time()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that this thread takes until the end of the context.

        Parameters
        ----------
        name : str
            One of `STAGES`.
        """
        began = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self._stages[name] += time.thread_time() - began

    @contextlib.contextmanager
    def thread(self) -> Iterator[None]:
        """Count the time that this thread takes until the end of the context, for all its stages and between them."""
        began = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self._threads += time.thread_time() - began

    def timing(self) -> Timing:
        """Return what was added up. Call it in the thread that made the object, when the other threads have ended."""
        cpu, wall = time.process_time() - self._cpu, time.monotonic() - self._wall
        with self._lock:
            stages = dict(self._stages)
            ours = self._threads + time.thread_time() - self._own
        if stages["network"]:
            stages["network"] += max(0.0, cpu - ours)  # the threads of a runtime, which are none of ours
        return Timing({name: seconds for name, seconds in stages.items() if seconds}, cpu, wall, cores())
