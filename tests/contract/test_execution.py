"""How a network is run: validated numbers, and a text for people."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sightsound import Execution, PluginError


def test_an_embedder_without_attributes_runs_by_the_defaults():
    assert Execution.of(object()) == Execution(batch_size=8, workers=1, threads=1, device="cpu", precision="float32")


def test_attributes_of_an_embedder_are_taken():
    embedder = SimpleNamespace(batch_size=np.int64(4), workers=2, device="cuda:0", precision="int8", other=3)
    found = Execution.of(embedder)
    assert (found.batch_size, found.workers, found.device, found.precision) == (4, 2, "cuda:0", "int8")
    assert type(found.batch_size) is int
    assert str(found) == "cuda:0, int8, 2 workers of 1 thread, batches of 4"
    assert str(Execution(runtime="numpy")) == "numpy, cpu, float32, 1 worker of 1 thread, batches of 8"


@pytest.mark.parametrize("name", ["batch_size", "workers", "threads"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", None, True])
def test_a_number_that_is_no_whole_number_from_1_is_refused(name, value):
    with pytest.raises(PluginError, match=f"{name}: expected a whole number from 1, got"):
        Execution(**{name: value})


@pytest.mark.parametrize("name", ["device", "precision"])
@pytest.mark.parametrize("value", ["", None, 3])
def test_a_device_and_a_precision_are_texts(name, value):
    with pytest.raises(PluginError, match=f"{name}: expected a text"):
        Execution(**{name: value})
