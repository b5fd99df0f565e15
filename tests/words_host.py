"""What tests of words share: a host with networks that take words, and files with one colour or one loudness."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from distributions import DISTS
from made import RATE
from sightsound import Host

RED, GREEN, BLUE = (200, 20, 20), (20, 200, 20), (20, 20, 200)


def words_host(monkeypatch: pytest.MonkeyPatch, *others: str) -> Host:
    """Return a host with `colourwords.words` and `soundwords.words`, and the plugins `others` of tests/dists."""
    host = Host(installed=False)
    for name in ("words", *others):
        monkeypatch.syspath_prepend(DISTS / name)
        host.register(__import__(f"sightsound_{name}"), name)
    import sightsound_words

    sightsound_words.built.clear()
    sightsound_words.texts_seen.clear()
    return host


def write_colour(path: Path, colour: tuple[int, int, int]) -> Path:
    """Write a PNG of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), colour).save(os.fspath(path), "PNG")
    return path


def write_levels(path: Path, *levels: float) -> Path:
    """Write a WAV with a square wave of each level for two seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.tile([1.0, -1.0], RATE)
    soundfile.write(os.fspath(path), np.concatenate([level * wave for level in levels]).astype(np.float32), RATE)
    return path


def write_zoo(folder: Path) -> Path:
    """Write a red, a green and a blue image, and a loud and a quiet recording."""
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        write_colour(folder / f"{name}.png", colour)
    write_levels(folder / "loud.wav", 0.9)
    write_levels(folder / "quiet.wav", 0.1)
    return folder
