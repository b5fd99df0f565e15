"""A process that imports sightsound once, and runs each command line that it reads in a fork of itself.

A fork costs hundredths of a second where a new interpreter costs a whole one. It is started by `attack.forks.Forks`,
with the library of `faults.c` preloaded if there is one. It reads and writes a line of JSON for each group of commands
that run at the same time.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback

from PIL import Image

from sightsound import Host
from sightsound.cli import main as command_line

IMPORTED = (
    *("numpy", "faiss", "soundfile", "soxr", "PIL.Image", "tqdm", "sightsound_tiny", "sightsound.host.host"),
    *("sightsound.cli.index", "sightsound.cli.search", "sightsound.cli.forget", "sightsound.cli.relocate"),
    *("sightsound.cli.embed", "sightsound.cli.probe", "sightsound.cli.tag", "sightsound.cli.check"),
    *("sightsound.cli.index_build", "sightsound.library.approximate.build"),
    *("sightsound.library.index", "sightsound.library.search", "sightsound.library.maintenance"),
    *("sightsound.library.check", "sightsound.media.sounds", "sightsound.media.images", "sightsound.linear.load"),
    *("sightsound.library.stats_table", "sightsound.library.hit_table", "sightsound.pipeline.embeddings"),
    *(
        "sightsound.cli.stats",
        "sightsound.formats.csv_file",
        "sightsound.formats.json_file",
        "sightsound.learn.predict",
    ),
    *("multiprocessing.synchronize", "tarfile", "safetensors.numpy"),
)


def main() -> None:
    """Serve until the input ends."""
    shim = ctypes.CDLL(sys.argv[1]) if sys.argv[1:] else None
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a command unblocks it when it is ready
    for name in IMPORTED:
        importlib.import_module(name)
    Host()  # imports the plugins
    Image.init()  # and this the readers of images
    for line in sys.stdin:
        asked = json.loads(line)
        for name in asked["imports"]:
            importlib.import_module(name)
        children = [Child(task, shim) for task in asked["tasks"]]
        print(json.dumps(ends_of(children)), flush=True)


class Child:
    """A command that runs in a fork."""

    def __init__(self, task: dict, shim: ctypes.CDLL | None) -> None:
        self.output, self.began = task["output"], time.monotonic()
        self.due = sorted([*map(tuple, task["signals"]), (task["seconds"], signal.SIGALRM)])
        self.end: dict | None = None
        self.number = os.fork()
        if self.number == 0:
            run(task, shim)

    def look(self) -> None:
        """Send the signals that are due, and note the end of the command."""
        done, status = os.waitpid(self.number, os.WNOHANG)
        if done:
            self._ended(status)
            return
        while self.due and time.monotonic() > self.began + self.due[0][0]:
            os.kill(self.number, self.due.pop(0)[1])

    def _ended(self, status: int) -> None:
        """Note the exit code (negative: the signal), the output, the number of calls, and the seconds."""
        text = ""
        if os.path.exists(self.output):  # it may have been killed before it had an output
            with open(self.output, errors="replace") as file:
                text = file.read()
            os.unlink(self.output)
        printed, ended, calls = text.rpartition("\0")
        code, seconds = os.waitstatus_to_exitcode(status), time.monotonic() - self.began
        text, count = (printed, int(calls)) if ended else (text, 0)
        self.end = {"code": code, "text": text, "calls": count, "seconds": seconds}


def ends_of(children: list[Child]) -> list[dict]:
    """Wait for all children and return their ends."""
    pause = 0.001
    while not all(child.end for child in children):
        for child in children:
            if child.end is None:
                child.look()
        time.sleep(pause)
        pause = min(2 * pause, 0.002 if any(len(child.due) > 1 for child in children) else 0.02)
    return [child.end for child in children]


def run(task: dict, shim: ctypes.CDLL | None) -> None:
    """Run the command line of a task, write the number of calls behind its output, and end the process."""
    code, stream = 130, -1
    try:
        stream = prepare(task)
        if shim and task.get("folder"):
            shim.fault_arm(task["folder"].encode(), task["mode"], ctypes.c_long(task["nth"]), task["errno"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        command_line()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    except BaseException as error:
        frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
        if command_line.__code__ in frames or not isinstance(error, KeyboardInterrupt):  # else before or after it
            code = 1
            os.write(stream, traceback.format_exc().encode(errors="backslashreplace"))
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for output in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                output.flush()
        with contextlib.suppress(OSError):
            os.write(stream, f"\0{shim.fault_calls() if shim else 0}".encode())
        os._exit(code)


def prepare(task: dict) -> int:
    """Set the streams, signals, limits and environment of a task; return a descriptor of its output."""
    stream = os.open(task["output"], os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    stream = fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, 100)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open("/dev/full", os.O_WRONLY) if number in task["full"] else stream, number)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    for number in task["closed"]:
        os.close(number)
        setattr(sys, "stdout" if number == 1 else "stderr", None)
    for name in ("SIGALRM", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(task["environment"])
    if task["work_in"]:
        os.chdir(task["work_in"])
    sys.argv = ["sightsound", *task["words"]]
    if task["memory"]:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + task["memory"], used + task["memory"]))
    return stream


if __name__ == "__main__":
    main()
