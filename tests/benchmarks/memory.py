"""Peak memory of `index` for a recording of ten hours and one of a minute, with the default sound model.

    python tests/benchmarks/memory.py [--hours 10]

Target: they differ by at most 200 MiB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10)
    hours = parser.parse_args().hours
    with tempfile.TemporaryDirectory() as folder:
        minute = peak(recording(Path(folder, "minute.wav"), 60), Path(folder, "one"))
        long = peak(recording(Path(folder, "long.wav"), round(3600 * hours)), Path(folder, "two"))
    print(f"difference {long - minute:.0f} MiB (target: at most 200)")


def recording(path: Path, seconds: int) -> Path:
    """Noise that rises and falls, 16-bit mono at 16 kHz."""
    noise = np.random.default_rng(0).standard_normal(RATE)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16", format="RF64") as file:
        for second in range(seconds):
            file.write(noise * (0.02 + 0.1 * (second % 7)))
    return path


def peak(path: Path, library: Path) -> float:
    """MiB at most resident in a process that indexes one file."""
    code = "import sightsound, sys; sightsound.index(sys.argv[1], sys.argv[2], progress=False)"
    return process(path.name, code, path, str(library))[1]


def process(name: str, code: str, file: Path, *arguments: str) -> tuple[float, float]:
    """Seconds and MiB of a Python program over one recording, in a process of its own; prints them."""
    began = time.perf_counter()
    words = [sys.executable, "-c", code, str(file), *arguments]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{name} failed")
    seconds, sound = time.perf_counter() - began, soundfile.info(file).duration
    mebibytes = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    rate = f"{seconds:6.2f} s, {sound / seconds:.0f} times real time"
    print(f"{name:20} {sound:8.0f} s of sound  {rate}  {mebibytes:.0f} MiB")
    return seconds, mebibytes


if __name__ == "__main__":
    main()
