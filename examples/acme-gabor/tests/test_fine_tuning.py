"""The filters learn the user's own classes: `module()` and `derive()` come with `TorchEmbedder`."""

import numpy as np
import pytest
import torch
from PIL import Image

from sightsound import Host, ModelSettings, SightsoundError, classify_image, export_model, finetune, import_model
from sightsound.testing import check_model
from sightsound.torch import TrainingSettings
from sightsound.torch.examples import NONE

HOW = {
    "freeze_until": 0.0,
    "settings": TrainingSettings(epochs=3, learning_rate=0.01, backbone_factor=1.0, batch_size=8),
    "augmentation": NONE,  # a picture that is turned between pixels has less fine texture
    "progress": False,
}


@pytest.fixture(scope="module")
def tuned(textures):
    return finetune(textures, "gabor.acme", "weaves", host=Host(), **HOW)


def numbers(name):
    return Host().load(name, "cpu").embedder.module().state_dict()


def test_the_filters_are_trained_and_the_classifier_is_no_worse(tuned):
    assert len(tuned.epochs) == 4 and len({each.held_out_loss for each in tuned.epochs}) == 4
    assert tuned.accuracy.value >= tuned.probe.value > 0.5
    before, after = numbers("gabor.acme"), numbers("weaves")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == ({"first.waves", "second.waves"} if tuned.best else set()), "only where it is clearly better"


def test_the_new_model_gives_the_new_classes_in_another_host(tuned, textures):
    host = Host()
    assert host.card("weaves").labels == ("curved", "straight") and not host.card("gabor.acme").labels
    files = sorted(textures.rglob("*.png"))
    right = [classify_image(file, "weaves", host=host).top[0].label == file.parent.name for file in files]
    assert np.mean(right) > 0.9
    assert host.space("weaves") != host.space("gabor.acme")
    failed = [result for result in check_model("weaves", host=host) if not result.passed]
    assert not failed


def test_a_training_that_was_stopped_goes_on_to_the_same_numbers(tuned, textures, tmp_path):
    left, at = iter(range(6)), tmp_path / "at.safetensors"
    how = {**HOW, "host": Host(), "checkpoint": at}
    assert finetune(textures, "gabor.acme", "resumed", stopped=lambda: next(left, None) is None, **how) is None
    assert at.exists() and "resumed" not in Host().cards
    assert finetune(textures, "gabor.acme", "resumed", **how) is not None
    whole, resumed = numbers("weaves"), numbers("resumed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_stage_that_is_frozen_keeps_its_filters(textures):
    how = {**HOW, "settings": TrainingSettings(epochs=1, learning_rate=0.01, backbone_factor=1.0, batch_size=8)}
    finetune(textures, "gabor.acme", "half", host=Host(), **{**how, "freeze_until": "second"})
    before, after = numbers("gabor.acme"), numbers("half")
    assert torch.equal(before["first.waves"], after["first.waves"])
    with pytest.raises(SightsoundError, match=r"expected the name of a stage \(first, second\), got 'third'"):
        finetune(textures, "gabor.acme", "none", host=Host(), **{**how, "freeze_until": "third"})


def test_it_is_exported_and_imported_again(tuned, textures, tmp_path):
    host = Host()
    (file,) = export_model("weaves", tmp_path / "weaves.safetensors", host=host)
    import_model(file, ModelSettings(name="again"), host=host)
    image = np.asarray(Image.open(textures / "curved" / "0.png").convert("RGB"))
    outputs = [host.load(name, "cpu").rows(image) for name in ("weaves", "again")]
    np.testing.assert_allclose(outputs[1][1], outputs[0][1], atol=1e-6)
    np.testing.assert_allclose(outputs[1][2], outputs[0][2], atol=1e-6)


def test_a_flat_picture_has_finite_gradients():
    module = Host().load("gabor.acme", "cpu").embedder.module()
    module(torch.zeros(1, 1, 64, 64)).sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in module.parameters())
