"""Hosts with weight-free embedders, media files, and libraries that several tests need."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import made
from distributions import DISTS
from sightsound import ClassList, Host, index


@pytest.fixture(scope="session", autouse=True)
def own_data(tmp_path_factory) -> Iterator[None]:
    """A folder for the key with which indexes are signed, in place of the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with only `colours.tiny` and `loudness.tiny`."""
    monkeypatch.syspath_prepend(DISTS / "tiny")
    import sightsound_tiny

    host = Host(installed=False)
    host.register(sightsound_tiny, "tiny")
    return host


@pytest.fixture
def warm(tiny: Host) -> str:
    """The name of a classifier of three colours; its scores are the means of the channels, divided by their sum."""

    def embed(inner, inputs):
        output = inner.embed(inputs)
        means = inputs.mean(axis=(1, 2))
        return dataclasses.replace(output, scores=(means / means.sum(axis=1, keepdims=True)).astype(np.float32))

    facts = {"classes": ClassList("warm", ("red", "green", "blue"), ("r", "g", "b")), "scores": "softmax"}
    return made.register_variant(tiny, "warm.tiny", facts=facts, embed=embed)


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A folder with three images and two recordings."""
    folder = tmp_path / "zoo"
    for i in range(3):
        made.write_image(folder / "cats" / f"{i}.png", i)
    for i in range(2):
        made.write_sound(folder / "dogs" / f"{i}.wav", i, seconds=2)
    return folder


@pytest.fixture
def few_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a `LinearProbe` try every fourth of its usual strengths, all of which the tests of `linear` try."""
    from sightsound.linear import probe

    monkeypatch.setattr(probe, "DEFAULT_CS", probe.DEFAULT_CS[::4])


COLOURS = ("red", "green", "blue")


@pytest.fixture
def shades(tmp_path: Path) -> Path:
    """A folder with twelve images in each of `red`, `green` and `blue`."""
    for colour, name in enumerate(COLOURS):
        for i in range(12):
            made.write_shade(tmp_path / "shades" / name / f"{i}.png", colour, 12 * colour + i)
    return tmp_path / "shades"


@pytest.fixture
def coloured(tiny: Host, shades: Path, tmp_path: Path) -> Path:
    """A library of `shades` in the spaces `colours.tiny` and `tints.tiny`, labelled by folder."""
    made.register_tints(tiny)
    index(shades, tmp_path / "coloured", models=["colours.tiny", "tints.tiny"], host=tiny, label_from="folder")
    return tmp_path / "coloured"


@pytest.fixture
def rhythms(tiny: Host, tmp_path: Path) -> Path:
    """A library of ten recordings of 4 s in each of `first` and `second`, in the space `loudness.tiny`."""
    for kind, name in enumerate(("first", "second")):
        for i in range(10):
            made.write_rhythm(tmp_path / "rhythms" / name / f"{i}.wav", kind, 10 * kind + i)
    index(tmp_path / "rhythms", tmp_path / "sounds", models=["loudness.tiny"], host=tiny, label_from="folder")
    return tmp_path / "sounds"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """A folder with a red, a blue and a broken image."""
    made.write_shade(tmp_path / "new" / "a.png", 0, 200, noise=9)
    made.write_shade(tmp_path / "new" / "b.png", 2, 201, noise=9)
    (tmp_path / "new" / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return tmp_path / "new"
