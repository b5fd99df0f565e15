"""What several tests of the library need."""

from __future__ import annotations

import pytest

from sightsound import index


@pytest.fixture
def where(tiny, zoo, tmp_path):
    """The folder of a library with the files of `zoo` in the spaces of both tiny models."""
    index(zoo, tmp_path / "lib", models=("colours.tiny", "loudness.tiny"), host=tiny)
    return tmp_path / "lib"
