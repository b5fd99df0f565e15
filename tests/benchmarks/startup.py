"""How long `sightsound --help` takes against `import click`, and a run over files that have not changed.

    python tests/benchmarks/startup.py [--rounds 15] [--library FOLDER PATH...]

Wanted: --help at most twice the import of click; `index` over unchanged files under a second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--library")
    parser.add_argument("paths", nargs="*")
    options = parser.parse_args()
    program = str(Path(sys.executable).with_name("sightsound"))
    commands = {"import click": [sys.executable, "-c", "import click"], "--help": [program, "--help"]}
    if options.library:
        commands["index unchanged"] = [program, "index", *options.paths, "--library", options.library]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - began)
    for name, values in seconds.items():
        print(f"{name:16} {statistics.median(values):.3f} s")
    print(
        f"--help / import click {statistics.median(seconds['--help']) / statistics.median(seconds['import click']):.2f}"
    )


if __name__ == "__main__":
    main()
