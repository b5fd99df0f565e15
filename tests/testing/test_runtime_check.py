"""The check of runtimes: what the comparison at the first compilation cannot find, the kit finds."""

import dataclasses
import time

import numpy as np
import pytest

from faulty_embedders import CorrectSound
from kit_runs import failures, results
from sightsound.plugin import Compiled, Execution, Output, hookimpl


class Twin:
    """A runtime that lets the network run itself, and its plugin."""

    name, version = "twin", "1"

    @hookimpl
    def register_runtimes(self, register):
        register(self)

    def fits(self, card, device):
        return True

    def compile(self, embedder, **settings):
        self.network = embedder
        return Compiled(self.embed, Execution(workers=4))

    def embed(self, inputs):
        return self.network.embed(inputs)


class CoarseInLargeBatches(Twin):
    """As bf16 for batches over eight."""

    def embed(self, inputs):
        output = super().embed(inputs)
        return dataclasses.replace(output, embeddings=np.round(output.embeddings, 1)) if len(inputs) > 8 else output


class OneRequest(Twin):
    """Threads share the memory for the inputs."""

    def embed(self, inputs):
        self.inputs = inputs
        time.sleep(0.005)
        n = len(inputs)
        output = super().embed(np.resize(self.inputs, inputs.shape))
        return Output(output.embeddings[:n], output.scores[:n])


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SIGHTSOUND_RUNTIME", raising=False)


def test_a_runtime_that_keeps_the_numbers_passes_every_check():
    found = results(CorrectSound, Twin())
    assert found["runtime_keeps_the_numbers"].status == "passed"
    assert found["execution_is_valid"].reason.startswith("twin, cpu, float32, 4 workers")
    assert [name for name, each in found.items() if not each.passed] == []


def test_without_a_runtime_there_is_nothing_to_compare():
    found = results(CorrectSound)["runtime_keeps_the_numbers"]
    assert (found.status, found.reason) == ("skipped", "no runtime runs this network")


def test_other_numbers_in_large_batches_are_found():
    found = failures(CorrectSound, CoarseInLargeBatches())
    assert list(found) == ["runtime_keeps_the_numbers"]
    assert "runtime twin, inputs 0 to 24, 1 at once: expected the numbers" in found["runtime_keeps_the_numbers"]
    assert "a batch of fixed size" in found["runtime_keeps_the_numbers"]


def test_one_request_for_all_threads_is_found():
    found = failures(CorrectSound, OneRequest())
    assert set(found) <= {"runtime_keeps_the_numbers", "safe_in_threads"}
    assert "one request for all threads" in found["runtime_keeps_the_numbers"]
    assert "4 at once" in found["runtime_keeps_the_numbers"]
