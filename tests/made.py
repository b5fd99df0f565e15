"""Media files, embedders and processes that several tests make."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from sightsound import Host
from sightsound.plugin import hookimpl

RATE = 1600
"""Sample rate of `loudness.tiny` in Hz. Its windows last a second and begin every half second."""


def write_image(path: Path, seed: int = 0) -> Path:
    """Write a PNG of 24 x 20 random pixels; equal seeds give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).save(os.fspath(path), "PNG")
    return path


def write_shade(path: Path, colour: int, seed: int = 0, noise: float = 60) -> Path:
    """Write a PNG of 24 x 20 noisy pixels that are rather red (0), green (1) or blue (2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    tint = np.where(np.arange(3) == colour, 150, 110) + random.normal(0, noise / 3, 3)
    pixels = (tint + random.normal(0, noise, (20, 24, 3))).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(os.fspath(path), "PNG")
    return path


def write_rhythm(path: Path, kind: int, seed: int = 0, seconds: int = 4) -> Path:
    """Write a WAV (float) at `RATE` of noise that is loud in the first (0) or second (1) half of every half second, so
    that all windows of `loudness.tiny` are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    steps = np.repeat(np.tile([0.9, 0.3] if kind == 0 else [0.3, 0.9], 2 * seconds), RATE // 4)
    samples = steps * random.uniform(-1, 1, len(steps)) * random.uniform(0.5, 1)
    soundfile.write(os.fspath(path), samples.astype(np.float32), RATE, "FLOAT", format="WAV")
    return path


def write_sound(path: Path, seed: int = 0, seconds: float = 1.0, rate: int = RATE) -> Path:
    """Write a WAV (float) of noise whose loudness changes every tenth of a second; equal arguments give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    steps = np.repeat(random.random(int(seconds * 10) + 1), rate // 10)[: round(seconds * rate)]
    samples = steps * random.uniform(-1, 1, len(steps))
    with path.open("wb") as file:
        soundfile.write(file, samples.astype(np.float32), rate, "FLOAT", format="WAV")
    return path


def loud_and_silent(*seconds: float) -> np.ndarray:
    """Return samples at `RATE`: noise at a level of 0.9 for the first of the seconds, silence for the next, and on."""
    random = np.random.default_rng(0)
    parts = [random.choice([-1.0, 1.0], round(s * RATE)) * (0.0 if i % 2 else 0.9) for i, s in enumerate(seconds)]
    return np.concatenate(parts).astype(np.float32)


class Variant:
    """An embedder like `inner` with another card. Functions in `stages` replace its stages: `preprocess(inner, media,
    start, last)`, `embed(inner, inputs)` and `postprocess(inner, output)`."""

    def __init__(
        self,
        inner: Any,
        card: Any,
        stages: dict[str, Callable[..., Any]],
        batch_size: int,
        workers: int,
        device: str = "cpu",
    ):
        self.inner, self.card, self.stages = inner, card, stages
        self.batch_size, self.workers, self.device = batch_size, workers, device

    def preprocess(self, media, start, last):
        return self._stage("preprocess", media, start, last)

    def embed(self, inputs):
        return self._stage("embed", inputs)

    def postprocess(self, output):
        return self._stage("postprocess", output)

    def _stage(self, name, *values):
        if name in self.stages:
            return self.stages[name](self.inner, *values)
        return getattr(self.inner, name)(*values)


def register_variant(
    host: Host,
    name: str,
    like: str = "colours.tiny",
    *,
    batch_size: int = 4,
    workers: int = 2,
    device: str = "cpu",
    facts=None,
    **stages,
) -> str:
    """Register a `Variant` for the model `like`; `facts` are fields of its card that differ. Return its name."""
    inner = host.load(like).embedder
    card = dataclasses.replace(inner.card, name=name, **(facts or {}))

    class Plugin:
        @hookimpl
        def register_embedders(self, register):
            register(card, lambda _, weights: Variant(inner, card, stages, batch_size, workers, device))

    host.register(Plugin(), name.partition(".")[0])
    return name


def register_tints(host: Host, name: str = "tints.tiny", **options) -> str:
    """Register a second network for images: 12 numbers, the mean colours of a 2 x 2 grid minus 0.5."""

    def postprocess(inner, output):
        grid = output.embeddings.reshape(-1, 2, 2, 2, 2, 3).mean(axis=(2, 4))
        return (grid.reshape(-1, 12) - 0.5).astype(np.float32)

    return register_variant(host, name, facts={"dim": 12}, postprocess=postprocess, **options)


def start_command(site: Path, *arguments: Any, pipe: bool = False, **environment: str) -> subprocess.Popen[str]:
    """Start the command line with the packages in `site`, and with a `pipe` to its standard input if asked for."""
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
    # the children of a shell in the background ignore ^C unless they set a handler
    code = "from signal import *; signal(SIGINT, default_int_handler); from sightsound.cli import main; main()"
    words = [sys.executable, "-c", code, *map(os.fspath, arguments)]
    outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, env=env, stdin=subprocess.PIPE if pipe else None, text=True, **outputs)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Become an ordinary user for a while, since root may read and write everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
