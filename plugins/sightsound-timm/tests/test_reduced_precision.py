"""Networks with their real weights in bf16 and fp16, as on a GPU: how far their rows are from float32."""

from __future__ import annotations

import numpy as np
import pytest

from on_cpu import with_reduced_precision
from sampling import sampled
from sightsound import Host
from sightsound_timm import cards

LARGEST = {
    (cards.RESNET18.name, "bf16"): 5e-4,
    (cards.RESNET18.name, "fp16"): 1e-5,
    (cards.LITE0.name, "bf16"): 1e-2,
    (cards.LITE0.name, "fp16"): 1e-4,
}
"""Of 1 - cosine to float32; on noise, which the host measures, it is larger than on pictures."""


@pytest.mark.parametrize(("name", "precision"), sampled(LARGEST, (cards.RESNET18.name, "bf16")))
def test_rows_and_scores_are_nearly_those_of_float32(tmp_path, monkeypatch, model, imagenette, name, precision):
    exact = model(name)
    weights = [Host().weights.get(file).path for file in exact.card.weights]
    monkeypatch.setenv("SIGHTSOUND_CACHE", str(tmp_path))
    host = Host(weights=weights, runtime="on_cpu")
    reduced = with_reduced_precision(host).load(f"{name}[precision={precision}]", "cpu")
    assert (exact.execution.precision, reduced.execution.precision) == ("float32", precision)
    for _, image in imagenette[:: 25 if precision == "bf16" else 60]:  # a CPU takes half a second for one in fp16
        (_, row, scores), (_, rounded, others) = (each.rows(image) for each in (exact, reduced))
        row, rounded = row[0].astype(np.float64), rounded[0].astype(np.float64)
        assert 0 < 1 - row @ rounded / np.linalg.norm(row) / np.linalg.norm(rounded) < LARGEST[name, precision]
        assert 0 < np.abs(scores - others).max() < 0.05
    assert 0 < host.precisions(name)[precision].rows < LARGEST[name, precision]
