"""Measure a network in a process of its own, so that no other network disturbs its time and memory.

The process gets the request as JSON at its standard input, and leaves the answer in a folder: `answer.json` and
`arrays.npz`. It is started anew, not forked: a fork after torch or FAISS were used hangs.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sightsound.contract.errors import SightsoundError
from sightsound.contract.execution import Execution
from sightsound.contract.results import Item, Outcome
from sightsound.contract.space import Space
from sightsound.host.host import Host
from sightsound.learn.comparison.measure import MeasuredModel, Request, measure

log = logging.getLogger(__name__)

_PROGRAM = "from sightsound.learn.comparison.process import main; main()"
_ANSWER, _ARRAYS = "answer.json", "arrays.npz"
_INTERRUPTED = 130  # the exit code after ^C


def measure_apart(settings: Mapping[str, Any], request: Request) -> MeasuredModel:
    """Measure a network in a process of its own.

    Parameters
    ----------
    settings : mapping
        Those of the host, see `Host.settings`.
    request : Request
        What to measure.

    Returns
    -------
    MeasuredModel

    Raises
    ------
    SightsoundError
        As `measure`, or if the process ends without an answer; the text has its last line.
    """
    if not sys.executable:
        raise SightsoundError(f"{request.name}: expected a Python that can be started, got none; use isolate=False")
    with tempfile.TemporaryDirectory(prefix="sightsound-") as folder:
        task = {"host": dict(settings), "request": dataclasses.asdict(request), "folder": folder}
        code, lines = _run(json.dumps(task).encode(), Path(folder))
        if code in (_INTERRUPTED, -signal.SIGINT):
            raise KeyboardInterrupt
        answer = Path(folder) / _ANSWER
        if code or not answer.is_file():
            raise SightsoundError(f"{request.name}: its process {_ending(code, lines)}")
        return _read(Path(folder), request)


def _run(task: bytes, folder: Path) -> tuple[int, list[str]]:
    """Run the program, and return its exit code and the lines that it printed to standard error.

    It has ended when this returns or raises, so that nothing writes to the folder any longer.
    """
    program = [sys.executable, "-P", "-c", _PROGRAM]  # -P: what lies in the working folder is not imported
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path)}
    with (folder / "errors.txt").open("w+b") as errors:
        running = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, env=env)
        try:
            running.communicate(task)
        finally:
            running.kill()
            running.wait()
        errors.seek(0)
        return running.returncode, errors.read().decode(errors="replace").strip().splitlines()


def main() -> None:
    """Measure what standard input asks for; the program of the process."""
    try:
        task = json.load(sys.stdin)
        folder = Path(task["folder"])
        warned = _Warnings()
        logging.getLogger("sightsound").addHandler(warned)
        logging.getLogger("sightsound").propagate = False
        request = Request(**{**task["request"], "paths": tuple(task["request"]["paths"])})
        _write(folder, _answer(folder, task["host"], request) | {"warnings": warned.texts})
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


class _Warnings(logging.Handler):
    """Keeps warnings for the process that asked."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _answer(folder: Path, settings: Mapping[str, Any], request: Request) -> dict[str, Any]:
    try:
        found = measure(Host(**settings), request, apart=True)
    except (SightsoundError, MemoryError) as error:
        return {"error": str(error) or "out of memory; close other programs"}
    arrays = {"rows": found.rows} | ({} if found.best is None else {"best": found.best})
    np.savez(folder / _ARRAYS, **arrays)  # type: ignore[arg-type]
    return {
        "space": [found.space.name, found.space.facts],
        "pool": found.pool,
        "outcomes": [[outcome.status, outcome.reason] for outcome in found.outcomes],
        "execution": dataclasses.asdict(found.execution),
        "network_ms": found.network_ms,
        "total_ms": found.total_ms,
        "memory": found.memory,
    }


def _write(folder: Path, answer: Mapping[str, Any]) -> None:
    draft = folder / "draft.json"
    draft.write_text(json.dumps(answer), encoding="ascii")
    draft.rename(folder / _ANSWER)


def _read(folder: Path, request: Request) -> MeasuredModel:
    answer = json.loads((folder / _ANSWER).read_text(encoding="ascii"))
    for text in answer["warnings"]:
        log.warning("%s: %s", request.name, text)
    if "error" in answer:
        raise SightsoundError(answer["error"])
    with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
        rows, best = arrays["rows"], arrays.get("best")
    return MeasuredModel(
        space=Space(*answer["space"]),
        pool=answer["pool"],
        rows=rows,
        best=best,
        outcomes=tuple(
            Outcome(Item(request.root, path), status, reason)
            for path, (status, reason) in zip(request.paths, answer["outcomes"])
        ),
        execution=Execution(**answer["execution"]),
        network_ms=answer["network_ms"],
        total_ms=answer["total_ms"],
        memory=answer["memory"],
    )


def _ending(code: int, lines: list[str]) -> str:
    """Return how a process ended that gave no answer."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = ", which may be for want of memory; close other programs" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"
    return f"ended with exit code {code} ({lines[-1] if lines else 'no message'}); run sightsound check-model on it"
