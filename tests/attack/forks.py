"""Command lines that run in forks of one process, with faults, a limit of memory and a limit of time."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
COUNT, KILL, TEAR, FAIL, FULL = range(5)
"""The modes of `faults.c`."""


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


class Forks:
    """A process with sightsound imported, in whose forks commands run.

    `site` is a folder with the installed plugins of the tests; `shim` is the compiled `faults.c`, if faults are wanted.
    """

    def __init__(self, site: Path, shim: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks")
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        env = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
        if shim:
            env["LD_PRELOAD"] = str(shim)
        words = [sys.executable, str(HERE / "fork_server.py"), *([str(shim)] if shim else [])]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(words, env=env, text=True, **pipes)

    def run(
        self,
        words: Sequence[str | os.PathLike],
        fault: Fault | None = None,
        *,
        seconds: float = 60,
        memory: int = 0,
        imports: Sequence[str] = (),
    ) -> Ran:
        """Run a command line and return its end.

        `memory` is how many bytes it may use more than at its start; 0 for no limit. After `seconds` it is ended by
        SIGALRM. `imports` are modules that the process imports before, once.
        """
        task: dict = {"words": [os.fspath(word) for word in words], "seconds": seconds, "memory": memory}
        task["imports"] = list(imports)
        task["output"] = str(Path(self._folder.name, "output"))
        if fault:
            folder = str(fault.folder)
            task |= {"folder": folder, "mode": fault.mode, "nth": fault.nth, "errno": fault.errno}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that forks has ended")
        return Ran(**json.loads(line))

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
