"""Keras with its backend torch, a host with this plugin alone, and networks with seeded numbers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import sightsound_keras
from sightsound import Host, ModelSettings, import_model

Image = NDArray[np.uint8]

os.environ.setdefault("KERAS_BACKEND", "torch")  # TensorFlow imports Keras too, perhaps for a test before these


@pytest.fixture(scope="session")
def keras() -> Any:
    """Keras on torch, as the plugin imports it."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("needs Keras")
    from sightsound_keras.backend import import_keras

    return import_keras()


@pytest.fixture(scope="session")
def host() -> Host:
    """A host with this plugin alone."""
    return plain_host()


@pytest.fixture
def importing(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`importing(*files, **settings)` imports a network as `mine` and returns the loaded model."""
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))

    def run(*files: Path, **settings: Any) -> Any:
        host = plain_host()
        host.reload_models()
        import_model(list(files), ModelSettings(name="mine", **settings), replace=True, host=host)
        return host.load("mine", "cpu")

    return run


@pytest.fixture(scope="session")
def seeded(keras: Any) -> Callable[..., Any]:
    """`seeded(network)` gives a network of Keras random numbers with which its rows differ, and returns it.

    Batch norms get the statistics of noise, so that values neither vanish nor explode.
    """

    def fill(network: Any, seed: int = 0) -> Any:
        random = np.random.default_rng(seed)
        for variable in network.weights:
            shape, name = tuple(variable.shape), variable.name
            if "variance" in name or "gamma" in name:
                values = random.uniform(0.5, 1.5, shape)
            else:
                inputs = np.prod(shape[:-2] if "depthwise" in name else shape[:-1])
                values = random.normal(0, (2 / inputs) ** 0.5 if len(shape) > 1 else 0.1, shape)
            variable.assign(values.astype(variable.dtype))
        norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        for layer in norms:
            layer.momentum = 0.0
        if norms:
            high = 255.0 if any(isinstance(layer, keras.layers.Rescaling) for layer in network.layers) else 1.0
            network(random.uniform(0, high, (4, *network.input_shape[1:])).astype(np.float32), training=True)
        return network

    return fill


@pytest.fixture(scope="session")
def tiny(keras: Any, seeded: Callable[..., Any]) -> Any:
    """A network of 16 x 16 pixels and three classes, with a named layer of features."""
    layers = keras.layers
    given = keras.Input((16, 16, 3))
    found = layers.Conv2D(8, 3, strides=2, use_bias=False, name="conv")(given)
    found = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(found))
    found = layers.SeparableConv2D(12, 3, activation="relu", name="separable")(found)
    found = layers.GlobalAveragePooling2D(name="features")(found)
    found = layers.Dense(3, activation="softmax", name="classes")(layers.Dropout(0.3)(found))
    return seeded(keras.Model(given, found, name="tiny"))


@pytest.fixture(scope="session")
def images() -> list[Image]:
    """Pictures of smooth shapes, uint8 RGB of 40 x 30 pixels."""
    random = np.random.default_rng(0)
    waves = np.stack(np.meshgrid(np.linspace(0, 6, 40), np.linspace(0, 6, 30)), axis=-1)
    found = []
    for _ in range(3):
        values = np.sin(waves @ random.normal(size=(2, 3)) + random.uniform(0, 6, 3))
        found.append((127.5 + 127 * values).astype(np.uint8))
    return found


def plain_host() -> Host:
    """A new host with this plugin alone."""
    host = Host(installed=False)
    host.register(sightsound_keras, "keras")
    return host
