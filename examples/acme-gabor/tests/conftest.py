"""Textures, and a folder of their own for models."""

from pathlib import Path

import pytest
from textures import write_texture


@pytest.fixture(scope="session")
def textures(tmp_path_factory) -> Path:
    """A folder with 16 pictures in each of `curved` and `straight`."""
    folder = tmp_path_factory.mktemp("textures")
    for kind, (name, bend) in enumerate({"straight": 0.0, "curved": 1.5}.items()):
        for i in range(16):
            write_texture(folder / name / f"{i}.png", bend, 100 * kind + i)
    return folder


@pytest.fixture(scope="session", autouse=True)
def models(tmp_path_factory):
    """A folder for fine-tuned models, in place of the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTSOUND_MODELS", str(tmp_path_factory.mktemp("models")))
        yield
