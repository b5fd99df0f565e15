import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared():
    """The project's shared data, beside the repository."""
    folder = Path(os.environ.get("SIGHTSOUND_SHARED", Path(__file__).resolve().parents[3] / ".." / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the project's shared data (../shared)")
    return folder
