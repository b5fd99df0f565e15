"""What several tests need: the shared data, distributions installed for real, and hosts with weight-free embedders."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import made
from sightsound import Host, index

ROOT = Path(__file__).resolve().parents[1]
DISTS = ROOT / "tests" / "dists"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the project; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SIGHTSOUND_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the project's shared data (../shared)")
    return folder


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`install("tiny", "whiten")` -> a folder for PYTHONPATH with these packages of tests/dists, installed by pip."""
    done: dict[tuple[str, ...], Path] = {}

    def copied(package: Path) -> str:
        """Built in a copy, for setuptools leaves what it builds beside the source."""
        copy = tmp_path_factory.mktemp("source") / package.name
        shutil.copytree(package, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        return str(copy)

    def run(*names: str | Path) -> Path:
        key = tuple(map(str, names))
        if key not in done:
            target = tmp_path_factory.mktemp("site")
            folders = [copied(name if isinstance(name, Path) else DISTS / name) for name in names]
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
            subprocess.run([*command, "--target", str(target), *folders], check=True, capture_output=True)
            done[key] = target
        return done[key]

    return run


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host with `colours.tiny` and `loudness.tiny` alone."""
    monkeypatch.syspath_prepend(DISTS / "tiny")
    import sightsound_tiny

    host = Host(installed=False)
    host.register(sightsound_tiny, "tiny")
    return host


@pytest.fixture
def warm(tiny: Host) -> str:
    """The name of a classifier of three colours, whose scores are the means of their channels."""

    def embed(inner, inputs):
        output = inner.embed(inputs)
        means = inputs.mean(axis=(1, 2))
        return dataclasses.replace(output, scores=(means / means.sum(axis=1, keepdims=True)).astype(np.float32))

    facts = {"labels": ("red", "green", "blue"), "label_ids": ("r", "g", "b"), "scores": "softmax"}
    return made.stand(tiny, "warm.tiny", facts=facts, embed=embed)


@pytest.fixture
def command(install: Callable[..., Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`command("index", folder, ...)` runs the real command line in a process of its own, with the packages of
    `plugins` (from tests/dists) installed beside what is; returns it finished."""

    def run(
        *arguments: str | os.PathLike[str],
        plugins: tuple[str | Path, ...] = ("tiny",),
        timeout: float = 120,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        paths = [str(install(*plugins)), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
        words = [sys.executable, "-c", "from sightsound.cli import main; main()", *map(os.fspath, arguments)]
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=timeout, check=False)

    return run


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A folder with three pictures and two recordings."""
    folder = tmp_path / "zoo"
    for i in range(3):
        made.picture(folder / "cats" / f"{i}.png", i)
    for i in range(2):
        made.sound(folder / "dogs" / f"{i}.wav", i, seconds=2)
    return folder


COLOURS = ("red", "green", "blue")


@pytest.fixture
def shades(tmp_path: Path) -> Path:
    """A folder with twelve pictures in each of `red`, `green` and `blue`."""
    for colour, name in enumerate(COLOURS):
        for i in range(12):
            made.shade(tmp_path / "shades" / name / f"{i}.png", colour, 12 * colour + i)
    return tmp_path / "shades"


@pytest.fixture
def coloured(tiny: Host, shades: Path, tmp_path: Path) -> Path:
    """A library of `shades` in the spaces `colours.tiny` and `tints.tiny`, labelled by folder."""
    made.tints(tiny)
    index(shades, tmp_path / "coloured", models=["colours.tiny", "tints.tiny"], host=tiny, label_from="folder")
    return tmp_path / "coloured"


@pytest.fixture
def rhythms(tiny: Host, tmp_path: Path) -> Path:
    """A library of ten recordings of 4 s in each of `first` and `second`, in the space `loudness.tiny`."""
    for kind, name in enumerate(("first", "second")):
        for i in range(10):
            made.rhythm(tmp_path / "rhythms" / name / f"{i}.wav", kind, 10 * kind + i)
    index(tmp_path / "rhythms", tmp_path / "sounds", models=["loudness.tiny"], host=tiny, label_from="folder")
    return tmp_path / "sounds"
