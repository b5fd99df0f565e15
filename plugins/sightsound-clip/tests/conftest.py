"""Hosts with small networks of seeded numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sightsound_clip
from sightsound import Host, Model, import_model
from sightsound.plugin import ModelSettings


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models, also for other processes."""
    folder = tmp_path / "models"
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(folder))
    monkeypatch.setenv("SIGHTSOUND_OFFLINE", "1")
    return folder


@pytest.fixture
def host() -> Host:
    """A host with this plugin alone."""
    host = Host(installed=False)
    host.register(sightsound_clip, "clip")
    return host


@pytest.fixture
def imported(host: Host, tmp_path: Path) -> Callable[..., Model]:
    """`imported(net)`: a network of open_clip that is written to files, imported, and loaded."""
    from seeded_clip import SMALL, saved, write_config

    def load(net: Any, config: dict[str, Any] = SMALL, *, suffix: str = ".safetensors", **preprocess: Any) -> Model:
        files = [saved(net, tmp_path / f"net{suffix}"), write_config(tmp_path / "config.json", config, **preprocess)]
        card = import_model(files, ModelSettings(name="small_clip"), replace=True, host=host)
        return host.load(card.name, device="cpu")

    return load


@pytest.fixture(scope="session")
def pictures() -> list[NDArray[np.uint8]]:
    """Pictures of several shapes, uint8 RGB: wide, tall, square, small, and of one pixel."""
    random = np.random.default_rng(3)
    shapes = [(240, 320), (300, 200), (64, 64), (20, 11), (1, 1), (33, 500)]
    return [random.integers(0, 256, (*shape, 3)).astype(np.uint8) for shape in shapes]
