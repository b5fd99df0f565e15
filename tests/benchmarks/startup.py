"""Start-up time: `import sightsound`, `--help` and `plugins` against `import click`, `tag` of a file, unchanged files.

    python tests/benchmarks/startup.py [--rounds 15] [--tag FILE]... [--library FOLDER PATH...]

Goals: `--help` takes at most twice as long as `import click`, `tag` of a recording or a picture 0.7 s once its network
is compiled, `index` of unchanged files less than a second.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tag", action="append", default=[], metavar="FILE")
    parser.add_argument("--library")
    parser.add_argument("paths", nargs="*")
    options = parser.parse_args()
    commands = {"import click": "import click", "import sightsound": "import sightsound"}
    commands |= {"--help": program("--help"), "plugins": program("plugins")}
    commands |= {f"tag {os.path.basename(file)}": program("tag", file) for file in options.tag}
    if options.library:
        commands["index unchanged"] = program("index", *options.paths, "--library", options.library)
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, code in commands.items():
            measured[name].append(run(code))
    medians = {name: [statistics.median(times) for times in zip(*rounds)] for name, rounds in measured.items()}
    for name, (wall, cpu) in medians.items():
        print(f"{name:18} {wall:.3f} s, CPU {cpu:.3f} s")
    print(f"--help / import click: CPU {medians['--help'][1] / medians['import click'][1]:.2f}")


def program(*words: str) -> str:
    return f"from sightsound.cli import main; main({list(words)!r})"


def run(code: str) -> tuple[float, float]:
    """The seconds that a new interpreter takes for this code: wall clock, and CPU time of user and system."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{code}: exit code {process.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
