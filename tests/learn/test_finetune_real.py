"""Fine-tuning of a network with its real weights, through the command line: the new model is the same everywhere."""

from __future__ import annotations

import copy
import json

import pytest

import made
from sightsound import Host, MissingWeights, classify_image

pytestmark = pytest.mark.usefixtures("few_strengths")

PARENT = "mobilenet_v2.tv_in1k"
DEPTH = 0.9


@pytest.fixture
def run(command, tmp_path, monkeypatch):
    pytest.importorskip("sightsound_timm", reason="needs the networks of sightsound-timm")
    pytest.importorskip("torch", reason="needs PyTorch to train")
    monkeypatch.setenv("SIGHTSOUND_MODELS", str(tmp_path / "models"))
    try:
        Host().load(PARENT, device="cpu")
    except MissingWeights as error:
        pytest.skip(f"needs the weights of {PARENT}: {error}")
    return lambda *words, **how: command(*words, plugins=(), **how)


@pytest.fixture
def twenty(tmp_path):
    """Ten pictures of each of two classes."""
    for colour, name in enumerate(("red", "green")):
        for i in range(10):
            made.write_shade(tmp_path / "twenty" / name / f"{i}.png", colour, 10 * colour + i, noise=100)
    return tmp_path / "twenty"


def finetune(run, folder):
    given = ("--data", folder, "--model", PARENT, "--out", "mine", "--epochs", "2", "--freeze-until", str(DEPTH))
    done = run("finetune", *given, "--rate", "0.0003", "--device", "cpu", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.slow
def test_twenty_pictures_leave_the_frozen_layers_bit_equal(run, twenty, tmp_path):
    import torch

    from sightsound.learn.training_set import training_set
    from sightsound.torch import Augmentation, TrainingSettings
    from sightsound.torch.training import frozen_layers, layers_with_parameters

    host, states = Host(), []
    loaded = host.load(PARENT, device="cpu")
    given = training_set(twenty, loaded, None, balanced=True, seed=0, host=host, folder=tmp_path, progress=False)
    fit = given.fit(0, DEPTH, TrainingSettings(epochs=2), Augmentation(), patience=2)
    assert fit.run(lambda epoch: states.append(copy.deepcopy(fit.module.state_dict())), lambda: False)
    assert (len(fit.train), len(fit.held_out), len(states)) == (16, 4, 3)
    frozen = {name for name, _ in frozen_layers(fit.module, DEPTH)}
    owners = [name for name, _ in layers_with_parameters(fit.module)]
    assert len(owners) == 105 and len(frozen) == 94, "convolutions, batch norms, and the classifier of ImageNet"
    old, new = states[0], states[-1]
    changed = {key.rpartition(".")[0] for key in old if not torch.equal(old[key], new[key])}
    assert changed | {owners[-1]} == set(owners) - frozen
    statistics = [key for key in old if "running" in key]
    assert statistics and all(torch.equal(old[key], new[key]) for key in statistics)


@pytest.mark.slow
def test_a_fresh_process_gives_the_scores_of_this_one(run, twenty):
    finetune(run, twenty)
    host = Host()
    assert host.space("mine") != host.space(PARENT)
    done = run("tag", twenty, "--model", "mine", "--device", "cpu", "--json", process=True)
    assert (done.returncode, done.stderr) == (0, "")
    tagged = json.loads(done.stdout)
    assert len(tagged) == 20
    for each in tagged:
        here = classify_image(twenty / each["path"], "mine", host=host, device="cpu")
        expected = {prediction.label: prediction.score for prediction in here.top}
        assert {found["label"]: found["score"] for found in each["top"]} == pytest.approx(expected, abs=1e-6)
