"""How long each command takes on a large library, how much memory it needs, and how much it writes.

    python tests/benchmarks/tables.py [--items 1000000] [--windows 10] [--dim 64] [--folder FOLDER]
        [--limit 20] [--only TEXT] [--keep]

The library has recordings of `--windows` random vectors each, with the scores of 20 classes, and a label for every
second one; a second library has a tenth as many items, half of which are those of the first. Each command of
`large_library.py` runs in a process of its own, and is stopped after `--limit` minutes of CPU. Printed are its seconds
of CPU and of wall, the peak of its anonymous memory in MB, and the MB that it wrote to disk. Run it where the folder is
on a local disk, and has room for about six times the vectors. The files are removed at the end; `--keep` leaves them in
the folder, and a later run takes the libraries that it finds there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from large_library import STEPS, fill, prepare

RUN = "import sys; from sightsound.cli import main; sys.exit(main())"
READY = "ready"  # a file in a folder with complete libraries
EVERY = 0.05  # seconds between two looks at the memory of a process
SHOWN = 3  # lines of the errors of a command that failed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--limit", type=float, default=20, metavar="MINUTES", help="of CPU, for each command")
    parser.add_argument("--only", default="", metavar="TEXT", help="only commands whose name has TEXT")
    parser.add_argument("--keep", action="store_true", help="leave the libraries, and take those that were left")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        name = options.folder if options.keep else stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder))
        folder = Path(name).resolve()
        if not (folder / READY).exists():
            fill_all(folder, options.items, options.windows, options.dim)
        print(f"{'command':<42} {'CPU, s':>8} {'wall, s':>8} {'MB anonymous':>13} {'MB written':>11}", flush=True)
        for step, words in STEPS.items():
            if options.only in step:
                print(f"{step:<42} {measure(folder, words.split(), round(60 * options.limit))}", flush=True)
                remove_outputs(folder)


def fill_all(folder: Path, items: int, windows: int, dim: int) -> None:
    """Make both libraries, and the files that commands read."""
    before = time.process_time()
    fill(folder, "lib", range(items), windows, dim)
    fill(folder, "other", range(items - items // 20, items + items // 20), windows, dim)
    prepare(folder, items, dim)
    (folder / READY).touch()
    print(f"filled in {time.process_time() - before:.0f} s of CPU", flush=True)


def remove_outputs(folder: Path) -> None:
    """Remove what a command wrote that no other one reads."""
    for file in [*folder.glob("out"), *folder.glob("out.*")]:
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def measure(folder: Path, words: list[str], limit: int) -> str:
    """Run a command and return a line of what it took."""
    with open(folder / "errors", "w+b") as errors:
        before = time.monotonic()
        running = subprocess.Popen(
            [sys.executable, "-c", RUN, *words],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5)),
        )
        peak = 0.0
        while True:
            pid, status, usage = os.wait4(running.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, anonymous_megabytes(running.pid))
            time.sleep(EVERY)
        running.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - before
        cpu, written = usage.ru_utime + usage.ru_stime, usage.ru_oublock * 512 / 1e6
        line = f"{cpu:8.1f} {wall:8.1f} {peak:13.0f} {written:11.0f}"
        if running.returncode == -signal.SIGXCPU:
            return f"{line}  stopped: exceeded the limit"
        if running.returncode == 1:
            return f"{line}  exit code 1"
        if running.returncode:
            errors.seek(0)
            last = errors.read().decode(errors="replace").splitlines()[-SHOWN:]
            return "\n".join([f"{line}  exit code {running.returncode}", *last])
        return line


def anonymous_megabytes(pid: int) -> float:
    """Return the anonymous memory of a process, 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return max((int(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("RssAnon")), default=0)


if __name__ == "__main__":
    main()
