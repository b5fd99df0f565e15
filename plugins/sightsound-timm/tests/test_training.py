"""`module` and `derive` of the image networks: what is trained is what embeds, and it runs with other numbers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightsound import ClassList
from sightsound_timm.builders import BUILDERS
from sightsound_timm.embedder import ImageEmbedder
from sightsound_timm.zoo import find_card

NAMES = ("lcnet_050", "mobilenet_v2.tv_in1k", "squeezenet1_1.tv_in1k")
"""Batch norms with activations of timm, batch norms of torchvision, and a head that is a convolution."""


@pytest.fixture(scope="module", params=NAMES)
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ImageEmbedder:
    """A network with random numbers, statistics of batch norms included."""
    found = find_card(request.param)
    assert found is not None
    card, builder = found
    torch.manual_seed(0)
    blank = BUILDERS[builder].blank(card.name)
    for module in blank.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]
    file = tmp_path_factory.mktemp("weights") / "net.pth"
    torch.save(blank.state_dict(), file)
    return ImageEmbedder(card, builder, file, "cpu")


@pytest.fixture(scope="module")
def inputs(embedder: ImageEmbedder) -> Any:
    return np.random.default_rng(0).normal(size=(2, *embedder.card.input_shape)).astype(np.float32)


def test_the_module_is_unfolded_and_gives_the_rows_and_the_scores(embedder: ImageEmbedder, inputs: Any) -> None:
    module, found = embedder.module(), embedder.embed(inputs)
    rows, scores = module(torch.from_numpy(inputs))
    scale = float(np.abs(found.embeddings).max())
    np.testing.assert_allclose(rows.detach(), found.embeddings, rtol=1e-4, atol=1e-5 * scale)
    np.testing.assert_allclose(scores.detach(), found.scores, rtol=1e-3, atol=1e-6)
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    folded = [layer for layer in embedder.network.module.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(folded) < len(norms) or not norms
    assert all(parameter.requires_grad for parameter in module.parameters()) and not module.training


def test_a_derived_network_with_the_state_of_its_parent_has_its_rows(embedder: ImageEmbedder, inputs: Any) -> None:
    derived = embedder.derive(embedder.card, embedder.module().state_dict())
    found, expected = derived.embed(inputs), embedder.embed(inputs)
    assert np.array_equal(found.embeddings, expected.embeddings) and np.array_equal(found.scores, expected.scores)  # type: ignore[arg-type]


def test_a_derived_network_has_its_own_numbers_and_head(embedder: ImageEmbedder, inputs: Any) -> None:
    trained = embedder.module()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.1)
    classes = ClassList("pets", ("cat", "dog", "fish"))
    card = dataclasses.replace(embedder.card, name="net.pets", classes=classes, scores="sigmoid")
    head = np.random.default_rng(1).normal(size=(3, card.dim)).astype(np.float32), np.zeros(3, np.float32)
    derived = embedder.derive(card, trained.state_dict(), head)
    found = derived.embed(inputs)
    with torch.no_grad():
        rows = trained(torch.from_numpy(inputs))[0]
        scores = (rows @ torch.from_numpy(head[0]).T).sigmoid()
    np.testing.assert_allclose(found.embeddings, rows, rtol=1e-4, atol=1e-5 * float(rows.abs().max()))
    np.testing.assert_allclose(found.scores, scores, rtol=1e-3, atol=1e-4)  # type: ignore[arg-type]
    assert not np.allclose(found.embeddings, embedder.embed(inputs).embeddings, rtol=1e-3)
    assert embedder.embed(inputs).scores is not None and embedder.card.name != "net.pets"


def test_the_network_is_not_built_before_it_is_needed(embedder: ImageEmbedder) -> None:
    lazy = embedder.derive(embedder.card, {})
    lazy.preprocess(np.zeros((30, 40, 3), np.uint8), 0, True)
    assert "network" not in vars(lazy)
    with pytest.raises(RuntimeError, match="Missing key"):
        lazy.prepare()
