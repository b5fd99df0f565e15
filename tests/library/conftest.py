"""What several tests of the library need."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from sightsound import index


@pytest.fixture
def where(tiny, zoo, tmp_path):
    """The folder of a library with the files of `zoo` in the spaces of both tiny models."""
    index(zoo, tmp_path / "lib", models=("colours.tiny", "loudness.tiny"), host=tiny)
    return tmp_path / "lib"


@pytest.fixture
def old_library(tmp_path):
    """The folder of a library of format 3 with ten vectors."""
    kept = Path(__file__).parents[1] / "libraries" / "format3.sqlite.gz"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "library.sqlite").write_bytes(gzip.decompress(kept.read_bytes()))
    return tmp_path / "old"
