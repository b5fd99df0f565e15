"""Networks of several frameworks in one process: none keeps another from being loaded."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

TOGETHER = """
import os
import sys
import numpy as np
import tensorflow as tf
from sightsound import Host, ModelSettings, import_model

class Means(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    def __call__(self, images):
        return tf.reduce_mean(images, [1, 2])

folder = sys.argv[1]
tf.saved_model.save(Means(), f"{folder}/means")
"""
LOAD = """
import sys
import numpy as np
from sightsound import Host, ModelSettings, import_model

folder, host = sys.argv[1], Host()
image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
import_model(f"{folder}/means", ModelSettings(name="means", size=(8, 8)), trust=True, host=host)
assert host.load("means").rows(image)[1].shape == (1, 3)
assert "tensorflow" in sys.modules
with open(f"{folder}/net.json", "w") as file:
    file.write(MADE)
import_model(f"{folder}/net.json", ModelSettings(name="dense", size=(8, 8)), host=host)
assert host.load("dense").rows(image)[1].shape == (1, 4)
"""
KERAS = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4)])
print(network.to_json())
"""
NEEDED = ("keras", "tensorflow", "tensorflow_hub", "sightsound_keras", "sightsound_tfhub")


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, NEEDED)), reason="needs sightsound-keras, sightsound-tfhub and TensorFlow"
)
def test_a_network_of_keras_is_loaded_after_one_of_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)

    def run(program):
        words = [sys.executable, "-c", program, str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1:]

    run(TOGETHER)
    (architecture,) = run(KERAS)
    run(f"MADE = {architecture!r}\n{LOAD}")
