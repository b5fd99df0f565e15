"""A network that is derived from one with rows of a layer has the scores of its head."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from faulty_embedders import IMAGE  # noqa: E402
from faulty_networks import CorrectNetwork, Small  # noqa: E402
from sightsound.plugin import ClassList  # noqa: E402
from sightsound.torch.layers import choose, survey  # noqa: E402


def test_a_head_for_rows_of_a_layer_gives_scores():
    plan = choose(IMAGE.name, {"layer": "first"}, survey(Small, IMAGE.input_shape))
    embedder = CorrectNetwork()
    embedder.card, embedder._plan = plan.card(IMAGE), plan
    inputs = np.random.default_rng(0).normal(size=(3, *IMAGE.input_shape)).astype(np.float32)
    plain = embedder.embed(inputs)
    assert (plain.embeddings.shape, plain.scores) == ((3, 16), None)

    head = np.eye(2, 16, dtype=np.float32), np.array([0, 1], np.float32)
    card = dataclasses.replace(embedder.card, classes=ClassList("own", ("one", "two")), scores="softmax")
    derived = embedder.derive(card, embedder.module().state_dict(), head).embed(inputs)
    np.testing.assert_allclose(derived.embeddings, plain.embeddings, atol=1e-6)
    logits = np.exp(plain.embeddings @ head[0].T + head[1])
    np.testing.assert_allclose(derived.scores, logits / logits.sum(axis=1, keepdims=True), atol=1e-6)
