"""`module` and `derive` of the sound networks: what is trained is what embeds, and it runs with other numbers."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

import reference
from sightsound import ClassList
from sightsound_audioset import yamnet, yamnet_weights
from sightsound_audioset.embedder import PatchEmbedder
from sightsound_audioset.yamnet_network import Yamnet

CLASSES = ClassList("two", ("dog", "cat"))


@pytest.fixture(scope="module")
def embedder():
    """YAMNet in float32 with seeded weights."""
    random = np.random.default_rng(0)

    def layers():
        for shape in yamnet_weights.shapes():
            kernel = random.normal(0, 0.5 / np.sqrt(np.prod(shape[1:])), shape)
            yield yamnet_weights.float32_layer(kernel, random.normal(0, 0.01, shape[0]))

    fixed = list(layers())
    return PatchEmbedder(yamnet.F32, lambda: Yamnet(copy.deepcopy(fixed)), "cpu", cpu_batch_size=16)


def test_the_module_gives_the_rows_and_gradients_reach_every_layer(embedder):
    patches = reference.patches(3)
    module = embedder.module()
    rows, scores = module(torch.from_numpy(patches))
    found = embedder.embed(patches)
    np.testing.assert_allclose(rows.detach(), found.embeddings, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores.detach(), found.scores, rtol=1e-5, atol=1e-6)
    (rows.square().mean() + scores.square().mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in module.parameters())


def test_training_a_module_changes_neither_the_embedder_nor_the_next_module(embedder):
    patches = reference.patches(1)
    before = embedder.embed(patches).embeddings.copy()
    trained = embedder.module()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.5)
    assert np.array_equal(embedder.embed(patches).embeddings, before)
    np.testing.assert_allclose(embedder.module()(torch.from_numpy(patches))[0].detach(), before, rtol=1e-5, atol=1e-6)


def test_a_derived_network_has_its_state_and_its_head(embedder):
    patches = reference.patches(3)
    same = embedder.derive(embedder.card, embedder.module().state_dict())
    assert np.array_equal(same.embed(patches).embeddings, embedder.embed(patches).embeddings)
    assert np.array_equal(same.embed(patches).scores, embedder.embed(patches).scores)

    trained = embedder.module()
    with torch.no_grad():
        trained.get_parameter("body.0.weight").mul_(2)
    weight = np.random.default_rng(1).normal(size=(2, 1024)).astype(np.float32)
    card = dataclasses.replace(embedder.card, name="yamnet.two", classes=CLASSES, scores="softmax")
    other = embedder.derive(card, trained.state_dict(), (weight, np.array([0, 1], np.float32))).embed(patches)
    with torch.no_grad():
        expected = trained(torch.from_numpy(patches))[0]
        scores = (expected @ torch.from_numpy(weight).T + torch.tensor([0.0, 1.0])).softmax(1)
    np.testing.assert_allclose(other.embeddings, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(other.scores, scores, rtol=1e-4, atol=1e-6)


def test_a_head_of_other_classes_than_the_card_is_refused(embedder):
    card = dataclasses.replace(embedder.card, name="yamnet.two", classes=CLASSES, scores="softmax")
    with pytest.raises(Exception, match="head: expected 2 classes as on the card, got 3"):
        embedder.derive(card, {}, (np.zeros((3, 1024), np.float32), np.zeros(3, np.float32)))


def test_the_int8_network_is_trained_through_its_rounding(tflite_file):
    whole = yamnet.load_i8("cpu", {yamnet.TFLITE.name: tflite_file})
    patches = reference.patches(2)
    rows, _ = whole.module()(torch.from_numpy(patches))
    np.testing.assert_allclose(rows.detach(), whole.embed(patches).embeddings, rtol=1e-5, atol=1e-5)
    module = whole.module()
    module(torch.from_numpy(patches))[0].square().mean().backward()
    assert module.get_parameter("body.0.weight").grad.abs().sum() > 0
    trained = module.state_dict()
    trained["body.52.weight"] = trained["body.52.weight"] + 0.25
    derived = whole.derive(whole.card, trained)
    assert not np.array_equal(derived.embed(patches).embeddings, whole.embed(patches).embeddings)
