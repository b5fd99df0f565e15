"""The shared data, photographs that come with packages, and the networks with their real weights."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import sklearn.datasets
from numpy.typing import NDArray
from PIL import Image

import sightsound_timm
from sightsound import Host, MissingWeights, Model


@pytest.fixture(scope="session")
def host() -> Host:
    """A host with this plugin alone."""
    host = Host(installed=False)
    host.register(sightsound_timm, "timm")
    return host


@pytest.fixture(scope="session")
def model(host: Host) -> Callable[[str], Model]:
    """`model(name)`: a registered network with its real weights, loaded once, on the CPU."""

    @functools.cache
    def loaded(name: str) -> Model:
        try:
            return host.load(name, device="cpu")
        except MissingWeights as error:
            pytest.skip(f"needs weights: {error}")

    return loaded


@pytest.fixture(scope="session")
def photos() -> dict[str, NDArray[np.uint8]]:
    """Photographs of scikit-image and scikit-learn, uint8 RGB."""
    found = {name: getattr(skimage.data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
    images = sklearn.datasets.load_sample_images()
    return found | dict(zip(("china", "flower"), images.images, strict=True))


@pytest.fixture(scope="session")
def imagenette(shared: Path) -> list[tuple[str, NDArray[np.uint8]]]:
    """Ten photographs of each of the ten classes (class folder, uint8 RGB), from the validation set."""
    folders = sorted((shared / "data" / "imagenette" / "val").iterdir())
    return [(folder.name, read(file)) for folder in folders for file in sorted(folder.iterdir())[:10]]


def read(file: Path) -> NDArray[np.uint8]:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
