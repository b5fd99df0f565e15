"""Reduced precision comes with `TorchEmbedder`: nothing in this package is written for it."""

import numpy as np
import pytest
from textures import picture, wave

from sightsound import Host, hookimpl
from sightsound.host.torch_runtime import TorchRuntime


class OnCpu(TorchRuntime):
    """What a GPU gets, on a CPU."""

    name = "on_cpu"
    precisions = ("bf16", "fp16")

    def fits(self, card, device):
        return True

    @hookimpl
    def register_runtimes(self, register):
        register(self)


@pytest.mark.parametrize(("precision", "largest"), [("bf16", 1e-3), ("fp16", 1e-5)])
def test_rows_at_reduced_precision_are_nearly_those_of_float32(tmp_path, monkeypatch, precision, largest):
    monkeypatch.setenv("SIGHTSOUND_CACHE", str(tmp_path))
    host = Host(runtime="on_cpu")
    host.register(OnCpu(), "on-cpu")
    exact = Host(runtime="none").load("gabor.acme", "cpu")
    reduced = host.load(f"gabor.acme[precision={precision}]", "cpu")
    assert reduced.execution.precision == precision and reduced.space != exact.space
    a, b = (model.rows(picture(0.5 * wave(6, 30)))[1][0].astype(np.float64) for model in (exact, reduced))
    assert 0 < 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) < largest
    assert 0 < host.precisions("gabor.acme")[precision].rows < largest
