"""Seconds of audio per second of processor time: reading, mixing, resampling, and the front end of YAMNet.

    python tests/benchmarks/sound_reading.py [--seconds 300] [--rounds 3] [--clips FOLDER]

Each round runs these one after the other, on one thread, over a recording that the program makes in each format:

    decode   opening the file and decoding it, without mixing
    hand     soundfile reads the whole file, NumPy averages the channels, soxr resamples to 16 kHz
    read     `media.open_sound(file).pieces(16000)`: the same numbers, in pieces (Opus: nearly)
    front    `read`, cut into blocks, and the log-mel windows of YAMNet

`--clips` does the same over all sounds of a folder. Printed is the best round of each, and how many times the speed of
`hand` that of `read` is (target: 1). Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sightsound import media
from sightsound.media import framing
from sightsound_audioset import log_mel, yamnet

RATE = 16_000
FORMATS = {
    "WAV": ("WAV", "PCM_16", 44_100),
    "WAV, 24 bits": ("WAV", "PCM_24", 44_100),
    "FLAC": ("FLAC", "PCM_16", 44_100),
    "Ogg Vorbis": ("OGG", "VORBIS", 44_100),
    "MP3": ("MP3", "MPEG_LAYER_III", 44_100),
    "Opus": ("OGG", "OPUS", 48_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=Path)
    options = parser.parse_args()
    print(f"{'seconds of audio per second':28}" + "".join(f"{name:>9}" for name in STEPS) + "  read / hand")
    if options.clips:
        measure(str(options.clips), sounds(options.clips), options.rounds)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, form in FORMATS.items():
            for channels in (1, 2):
                path = Path(folder, f"{channels}-{name}")
                write(path, options.seconds, channels, *form)
                measure(f"{name}, {'mono' if channels == 1 else 'stereo'}", [path], options.rounds)


def write(path: Path, seconds: int, channels: int, form: str, subtype: str, rate: int) -> None:
    """Tones in noise that rise and fall, a second at a time: some encoders fail on very long arrays."""
    rng = np.random.default_rng(0)
    with (
        open(path, "wb") as target,
        soundfile.SoundFile(target, "w", rate, channels, subtype=subtype, format=form) as file,
    ):
        for second in range(seconds):
            times = np.arange(rate) / rate
            tones = sum(np.sin(2 * np.pi * 220 * 1.1 ** (second % 12) * k * times) / k for k in range(1, 8))
            noise = rng.standard_normal((rate, channels)) * (0.01 + 0.02 * (second % 5))
            file.write(0.1 * tones[:, np.newaxis] + noise)


def sounds(folder: Path) -> list[Path]:
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with contextlib.suppress(media.NotMedia):
            if media.identify(path) == "sound":
                found.append(path)
    return found or sys.exit(f"{folder}: no sounds")


def measure(name: str, paths: list[Path], rounds: int) -> None:
    audio = sum(soundfile.info(path).duration for path in paths)
    best = dict.fromkeys(STEPS, float("inf"))
    for _ in range(rounds):
        for key, step in STEPS.items():
            best[key] = min(best[key], seconds(lambda step=step: [step(path) for path in paths]))
    rates = "".join(f"{audio / value:9.0f}" for value in best.values())
    print(f"{name[-28:]:28}{rates}{best['hand'] / best['read']:13.2f}", flush=True)


def seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def decode(path: Path) -> None:
    with media.open_sound(path) as sound:
        for _ in sound.frames(1.0):
            pass


def hand(path: Path) -> None:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    soxr.resample(samples.mean(axis=1), rate, RATE)


def read(path: Path) -> None:
    with media.open_sound(path) as sound:
        for _ in sound.pieces(RATE):
            pass


def front(path: Path) -> None:
    with media.open_sound(path) as sound:
        for block in framing.blocks(yamnet.I8, sound.pieces(RATE)):
            log_mel.windows(yamnet.I8, *block)


STEPS = {"decode": decode, "hand": hand, "read": read, "front": front}


if __name__ == "__main__":
    main()
