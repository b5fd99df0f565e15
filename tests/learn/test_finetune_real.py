"""Fine-tuning of a network with its real weights, through the command line: the new model is the same everywhere."""

from __future__ import annotations

import json

import pytest

import made
from sightsound import Host, MissingWeights, classify_image

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


def test_twenty_pictures_leave_the_frozen_layers_bit_equal(run, twenty):
    import torch

    from sightsound.torch.training import frozen_layers, layers_with_parameters

    found = finetune(run, twenty)
    assert (found["items"], found["held_out"], len(found["epochs"])) == (16, 4, 3)
    assert found["best"] > 0, "the network has learnt something"
    before, after = (Host().load(name, device="cpu").embedder.module() for name in (PARENT, "mine"))
    frozen = {name for name, _ in frozen_layers(before, DEPTH)}
    owners = [name for name, _ in layers_with_parameters(before)]
    assert len(owners) == 105 and len(frozen) == 94, "convolutions, batch norms, and the classifier of ImageNet"
    old, new = before.state_dict(), after.state_dict()
    assert old.keys() == new.keys()
    changed = {key.rpartition(".")[0] for key in old if not torch.equal(old[key], new[key])}
    assert changed == set(owners) - frozen, "the new head is in the place of that classifier"
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
