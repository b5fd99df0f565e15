"""What Python's lock costs: files in one process on all cores, against a process for each core.

    python tests/benchmarks/processes.py MODEL FOLDER [--rounds 3]

The processes share the files, and begin at once when all have loaded the network and embedded two files. Printed are
the seconds until the last one ends, and how many times as long the single process takes.

Python's lock costs 1.12 for short recordings and 1.09 for pictures, on two cores. sightsound uses threads all the same:
each further process would hold a network of its own and take half a second to start, and what a program registered in
its host would not be there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ENDS = (".ogg", ".wav", ".flac", ".jpeg", ".jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", type=int, nargs=2, metavar=("NUMBER", "OF"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.rglob("*") if path.suffix.lower() in ENDS)
    if options.part:
        number, of = options.part
        if of > 1:
            os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})
        embed(options.model, paths[number::of])
        return
    cores = len(os.sched_getaffinity(0))
    rounds = [(seconds(1), seconds(cores)) for _ in range(options.rounds)]
    one, each = (statistics.median(column) for column in zip(*rounds))
    ratios = [a / b for a, b in rounds]
    print(f"{len(paths)} files, {cores} cores: one process {one:.2f} s, a process for each core {each:.2f} s")
    print(f"one / each: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def seconds(processes: int) -> float:
    """Run the files in so many processes."""
    words = [sys.executable, *sys.argv]
    running = [
        subprocess.Popen(
            [*words, "--part", str(number), str(processes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for number in range(processes)
    ]
    outputs = [process.stdout for process in running if process.stdout]
    assert [output.readline() for output in outputs] == processes * ["ready\n"], "a process failed"
    began = time.perf_counter()
    for process in running:
        print("go", file=process.stdin, flush=True)
    assert [output.readline() for output in outputs] == processes * ["done\n"], "a process failed"
    took = time.perf_counter() - began
    for process in running:
        process.communicate()
    return took


def embed(model: str, paths: list[Path]) -> None:
    """Load the network, wait for a line, and index the files."""
    from sightsound import Host, index

    host = Host()
    with tempfile.TemporaryDirectory() as place:
        index(paths[:2], f"{place}/two", models=[model], host=host, progress=False)
        print("ready", flush=True)
        sys.stdin.readline()
        index(paths, f"{place}/library", models=[model], host=host, progress=False)
        print("done", flush=True)


if __name__ == "__main__":
    main()
