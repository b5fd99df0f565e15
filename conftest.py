"""What the tests of sightsound and of the plugins share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the project, or the one that SIGHTSOUND_SHARED names; tests skip if it is absent."""
    folder = Path(os.environ.get("SIGHTSOUND_SHARED", Path(__file__).resolve().parents[1] / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the project's shared data (../shared)")
    return folder
