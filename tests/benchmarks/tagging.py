"""Time of `tag` for an hour of sound against LiteRT with the int8 YAMNet, window by window.

    python tests/benchmarks/tagging.py [--hours 1] [--rounds 3]

Both read the same 16 kHz WAV, take windows of 0.975 s every 0.48 s, and count classes with a score of at least 0.35.
Each is a process of its own. Printed are seconds, times real time, peak memory, and the ratio of each round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from memory import process, recording

OURS = """
import sys
from sightsound import tag
(tags,) = tag(sys.argv[1], models="yamnet.audioset_i8", progress=False)
print(len(tags.segments))
"""
THEIRS = """
import sys
import numpy as np, soundfile
from ai_edge_litert.interpreter import Interpreter
network = Interpreter(sys.argv[2], num_threads=int(sys.argv[3]))
network.allocate_tensors()
given, = network.get_input_details()
scores = network.get_output_details()[0]["index"]
found, held = 0, np.empty(0, np.float32)
with soundfile.SoundFile(sys.argv[1]) as file:
    while len(read := file.read(16000 * 30, dtype="float32")):
        held = np.concatenate([held, read])
        while len(held) >= 15600:
            network.set_tensor(given["index"], held[:15600].reshape(given["shape"]))
            network.invoke()
            found += int((network.get_tensor(scores) >= 0.35).sum())
            held = held[7680:]
print(found)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    program = str(Path(sys.executable).with_name("sightsound"))
    weights = subprocess.check_output([program, "weights", "path", "yamnet.audioset_i8"], text=True).strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        minute = recording(Path(folder, "minute.wav"), 60)
        process("tag, a minute", OURS, minute)
        hour = recording(Path(folder, "long.wav"), round(3600 * options.hours))
        ratios: dict[str, list[float]] = {"1 thread": [], f"{cores} threads": []}
        for _ in range(options.rounds):
            ours, _ = process("tag", OURS, hour)
            for name, threads in zip(ratios, (1, cores)):
                theirs, _ = process(f"LiteRT, {name}", THEIRS, hour, weights, str(threads))
                ratios[name].append(theirs / ours)
    for name, found in ratios.items():
        each = ", ".join(f"{ratio:.2f}" for ratio in found)
        print(f"LiteRT with {name} / tag: {each}, median {statistics.median(found):.2f}")


if __name__ == "__main__":
    main()
