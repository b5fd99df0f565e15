"""Fine-tuning of VGGish and YAMNet on seeded weights: both learn, and what is frozen stays bit-equal."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

import reference
from sightsound import Host, finetune, hookimpl
from sightsound.learn.training_set import training_set
from sightsound.torch import Augmentation, TrainingSettings
from sightsound.torch.training import Trained, TrainingBatch, layers_with_parameters
from sightsound_audioset import vggish, vggish_network, yamnet, yamnet_weights
from sightsound_audioset.embedder import PatchEmbedder
from sightsound_audioset.vggish_network import Vggish
from sightsound_audioset.yamnet_network import Yamnet

NARROW = dataclasses.replace(vggish.F32, name="vggish.narrow", dim=7, weights=(), options=(), aliases=())
SEEDED = dataclasses.replace(yamnet.F32, name="yamnet.seeded", weights=(), options=(), aliases=(), default_for=None)
SETTINGS = TrainingSettings(epochs=2, learning_rate=0.003, batch_size=8)


def narrow():
    return Vggish({name: torch.from_numpy(value) for name, value in reference.vggish_weights().items()})


def yamnet_layers():
    random = np.random.default_rng(0)
    for shape in yamnet_weights.shapes():
        kernel = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        yield yamnet_weights.float32_layer(kernel, random.normal(0, 0.01, shape[0]))


class Seeded:
    """A plugin with both networks on seeded weights."""

    def __init__(self):
        fixed = list(yamnet_layers())
        self.builders = {NARROW: narrow, SEEDED: lambda: Yamnet(copy.deepcopy(fixed))}

    @hookimpl
    def register_embedders(self, register):
        for card, build in self.builders.items():
            register(
                card,
                lambda device, weights, card=card, build=build: PatchEmbedder(card, build, device, cpu_batch_size=8),
            )


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    host = Host(installed=False)
    host.register(Seeded(), "seeded")
    return host


@pytest.fixture
def sounds(tmp_path):
    """Ten recordings of a second of each of two classes: a tone that is nearly hidden in noise, and noise alone."""
    random, time = np.random.default_rng(0), np.arange(16000) / 16000
    for name, loud in (("tone", 0.08), ("noise", 0.0)):
        (tmp_path / "sounds" / name).mkdir(parents=True)
        for i in range(10):
            samples = loud * np.sin(2 * np.pi * random.uniform(600, 1200) * time) + random.normal(0, 0.05, 16000)
            soundfile.write(tmp_path / "sounds" / name / f"{i}.wav", samples, 16000)
    return tmp_path / "sounds"


def changed_layers(old, new):
    """Return the layers whose numbers, or statistics if it has some, differ in a bit."""
    assert old.keys() == new.keys()
    return {key.rpartition(".")[0] for key in old if not torch.equal(old[key], new[key])}


@pytest.mark.parametrize(
    ("card", "until", "frozen"), [(NARROW, "embeddings", 6), (SEEDED, 0.5, 14)], ids=["vggish", "yamnet"]
)
def test_frozen_layers_stay_bit_equal_and_all_others_change(host, sounds, tmp_path, card, until, frozen):
    loaded = host.load(card.name, "cpu")
    given = training_set(sounds, loaded, None, balanced=True, seed=0, host=host, folder=tmp_path, progress=False)
    fit = given.fit(0, until, SETTINGS, Augmentation(), patience=9)
    states = []
    assert fit.run(lambda epoch: states.append(copy.deepcopy(fit.module.state_dict())), lambda: False)
    assert [epoch.number for epoch in fit.epochs] == [0, 1, 2] and np.isfinite([e.loss for e in fit.epochs[1:]]).all()
    owners = [name for name, _ in layers_with_parameters(fit.module)]
    if card is SEEDED:
        owners.remove("classifier")  # it makes the scores of the old classes, which are not asked for
    assert changed_layers(states[0], states[1]) == changed_layers(states[0], states[2]) == set(owners[frozen:])
    assert not changed_layers(loaded.embedder.module().state_dict(), states[0])


def test_vggish_learns_and_the_new_model_has_its_scores(host, sounds):
    done = finetune(
        sounds, NARROW.name, "mine", freeze_until="embeddings", settings=SETTINGS, host=host, progress=False
    )
    assert done is not None and (done.card.labels, done.card.dim) == (("noise", "tone"), 7)
    assert min(each.held_out_loss for each in done.epochs[1:]) < 0.8 * done.epochs[0].held_out_loss
    samples = soundfile.read(sounds / "tone" / "0.wav", dtype="float32")[0]
    embedder, module = host.load("mine").embedder, host.load("mine").embedder.module()
    patches = host.load("mine").preprocess(samples, 0, True).inputs
    with torch.no_grad():
        rows = module(torch.from_numpy(patches)).numpy()
    found = embedder.embed(patches)
    np.testing.assert_allclose(found.embeddings, rows, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.scores, embedder.linear_head(rows), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_vggish_of_its_own_size_takes_a_step():
    """With 72 million numbers, of which the last three layers are trained."""
    torch.manual_seed(0)
    tensors = {}
    for name, shape in vggish_network.SHAPES.items():
        tensors[f"{name}.weight"] = torch.randn(shape) * np.sqrt(2 / np.prod(shape[1:]))
        tensors[f"{name}.bias"] = torch.zeros(shape[0])
    module, head = Vggish(tensors).eval(), nn.Linear(128, 2)
    before = copy.deepcopy(module.state_dict())
    trained = Trained(module, head, "embeddings", dataclasses.replace(SETTINGS, learning_rate=1e-5), 2)
    batch = TrainingBatch([torch.from_numpy(reference.patches(2)) for _ in range(4)], torch.tensor([0, 1, 0, 1]))
    with trained.training():
        losses = [trained.step(module, batch, None, seed=0) for _ in range(2)]
    assert np.isfinite(losses).all() and losses[1] < losses[0]
    assert changed_layers(before, module.state_dict()) == {"embeddings.0", "embeddings.2", "embeddings.4"}
