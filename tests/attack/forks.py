"""Command lines that run in forks of one process, with faults, a limit of memory and a limit of time."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COUNT, KILL, TEAR, FAIL, FULL = range(5)
"""The modes of `faults.c`."""
Words = Sequence[str | os.PathLike]


@dataclass(frozen=True)
class Ran:
    """The end of a command: its exit code (negative: the signal), what it printed, its calls that change files."""

    code: int
    text: str
    calls: int
    seconds: float


@dataclass(frozen=True)
class Fault:
    """What goes wrong below a folder: the mode, at which call, and with which errno."""

    folder: Path
    mode: int = COUNT
    nth: int = 0
    errno: int = 0


@dataclass(frozen=True)
class Task:
    """A command line and how it runs.

    `memory` is how many bytes it may use more than at its start; 0 for no limit. After `seconds` it is ended by
    SIGALRM. `signals` are (seconds, signal). `closed` and `full` are the standard streams (1, 2) that are closed, or on
    a full disk.
    """

    words: Words
    fault: Fault | None = None
    seconds: float = 60
    memory: int = 0
    signals: Sequence[tuple[float, int]] = ()
    closed: Sequence[int] = ()
    full: Sequence[int] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    work_in: Path | None = None

    def plain(self) -> dict:
        """Return the task as JSON has it."""
        values = {**vars(self), "words": [os.fspath(word) for word in self.words], "work_in": str(self.work_in or "")}
        fault = values.pop("fault")
        return values | ({**vars(fault), "folder": str(fault.folder)} if fault else {})


class Forks:
    """A process with sightsound imported, in whose forks commands run.

    `site` is a folder with the installed plugins of the tests; `shim` is the compiled `faults.c`, if faults are wanted.
    """

    def __init__(self, site: Path, shim: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks")
        # Few arenas: each thread's own would reserve 128 MB of the address space that `memory` limits.
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        env = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
        if shim:
            env["LD_PRELOAD"] = str(shim)
        words = [sys.executable, str(HERE / "fork_server.py"), *([str(shim)] if shim else [])]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(words, env=env, text=True, **pipes)

    def run(self, words: Words, fault: Fault | None = None, *, imports: Sequence[str] = (), **how: Any) -> Ran:
        """Run a command line and return its end; `how` are more fields of `Task`.

        `imports` are modules that the process imports before, once.
        """
        return self.run_together([Task(words, fault, **how)], imports)[0]

    def run_together(self, tasks: Sequence[Task], imports: Sequence[str] = ()) -> list[Ran]:
        """Run command lines at the same time and return their ends."""
        folder = self._folder.name
        asked = [{**task.plain(), "output": str(Path(folder, f"output{i}"))} for i, task in enumerate(tasks)]
        self._process.stdin.write(json.dumps({"tasks": asked, "imports": list(imports)}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that forks has ended")
        return [Ran(**end) for end in json.loads(line)]

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@functools.cache
def why_no_faults() -> str:
    """Return why faults cannot be injected here, or an empty text."""
    if sys.platform != "linux":
        return "faults are injected with LD_PRELOAD and /proc, which takes Linux"
    if not shutil.which("cc"):
        return "faults.c needs a C compiler (cc)"
    return ""


def built_shim(folder: Path) -> Path:
    """Compile `faults.c` into a folder."""
    shim = folder / "faults.so"
    words = ["cc", "-shared", "-fPIC", "-O1", "-o", str(shim), str(HERE / "faults.c"), "-ldl"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return shim
