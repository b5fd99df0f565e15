"""A process that imports sightsound once, and runs each command line that it reads in a fork of itself.

A fork costs hundredths of a second where a new interpreter costs a whole one. It is started by `attack.forks.Forks`,
with the library of `faults.c` preloaded if there is one. It reads and writes a line of JSON for each command.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback

from sightsound.cli import main as command_line

IMPORTED = (
    *("numpy", "faiss", "soundfile", "soxr", "PIL.Image", "tqdm", "sightsound_tiny", "sightsound.host.host"),
    *("sightsound.cli.index", "sightsound.cli.search", "sightsound.cli.forget", "sightsound.cli.relocate"),
    *("sightsound.cli.embed", "sightsound.cli.probe", "sightsound.cli.tag", "sightsound.cli.check"),
    *("sightsound.library.index", "sightsound.library.search", "sightsound.library.maintenance"),
    *("sightsound.library.check", "sightsound.media.sounds", "sightsound.media.images", "sightsound.linear.load"),
)


def main() -> None:
    """Serve until the input ends."""
    shim = ctypes.CDLL(sys.argv[1]) if sys.argv[1:] else None
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        task = json.loads(line)
        for name in task.get("imports", ()):
            importlib.import_module(name)
        print(json.dumps(served(task, shim)), flush=True)


def served(task: dict, shim: ctypes.CDLL | None) -> dict:
    """Run a task in a fork and return its exit code (negative: the signal), its output, calls and seconds."""
    output, began = task["output"], time.monotonic()
    child = os.fork()
    if child == 0:
        run(task, shim)
    status = waited(child, task["seconds"])
    with open(output, errors="replace") as file:
        text, ended, calls = file.read().rpartition("\0")
    code, seconds = os.waitstatus_to_exitcode(status), time.monotonic() - began
    return {"code": code, "text": text if ended else calls, "calls": int(calls) if ended else 0, "seconds": seconds}


def waited(child: int, seconds: float) -> int:
    """Wait for a child; end it with SIGALRM if it takes too long."""
    end, pause = time.monotonic() + seconds, 0.001
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > end:
            os.kill(child, signal.SIGALRM)
            return os.waitpid(child, 0)[1]
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def run(task: dict, shim: ctypes.CDLL | None) -> None:
    """Run the command line of a task, write the number of calls behind its output, and end the process."""
    stream = os.open(task["output"], os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(stream, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.argv = ["sightsound", *task["words"]]
    if task.get("memory"):
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + task["memory"], used + task["memory"]))
    if shim and task.get("folder"):
        shim.fault_arm(task["folder"].encode(), task["mode"], ctypes.c_long(task["nth"]), task["errno"])
    code = 1
    try:
        command_line()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os.write(stream, f"\0{shim.fault_calls() if shim else 0}".encode())
        os._exit(code)


if __name__ == "__main__":
    main()
