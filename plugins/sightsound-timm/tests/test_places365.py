"""The networks of Places365, on a file in the form in which MIT CSAIL publishes them, of seeded numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import sightsound_timm
from sightsound import Host, SightsoundError, classify_image
from sightsound.errors import MissingWeights
from sightsound.testing import check_model
from sightsound.torch import torchvision
from sightsound_timm.picture import CenterCrop
from sightsound_timm.places365 import PLACES365, scenes

NAME = "resnet18.places365"
FILE = "resnet18_places365.pth.tar"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = torchvision().models.resnet18(weights=None, num_classes=365).eval()
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return made


@pytest.fixture(scope="module")
def host(network, tmp_path_factory) -> Host:
    """A host with the file of a network that was trained in parallel, in torch's format of 2017."""
    tensors = {f"module.{k}": v for k, v in network.state_dict().items() if "num_batches_tracked" not in k}
    checkpoint = {"epoch": 90, "arch": "resnet18", "state_dict": tensors, "best_prec1": 54.2}
    path = tmp_path_factory.mktemp("weights") / FILE
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    return host_with(path)


def host_with(*files: Path) -> Host:
    host = Host(installed=False, weights=files)
    host.register(sightsound_timm, "timm")
    return host


def transform():
    """The authors' own, in torchvision's words."""
    torchvision()
    from torchvision import transforms

    return transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )


def test_there_are_365_scenes_of_different_names():
    assert len(scenes()) == len(set(scenes())) == 365
    assert scenes()[0] == "airfield" and scenes()[-1] == "zen garden" and "apartment building, outdoor" in scenes()


@pytest.mark.parametrize("size", [(640, 300), (200, 900), (256, 256), (3, 2), (1, 1)])
def test_a_picture_is_squashed_as_the_authors_do_it(size):
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    found = CenterCrop(PLACES365[0][0].constants)(np.asarray(picture))
    np.testing.assert_array_equal(found[0], transform()(picture).numpy())


def test_features_and_scores_are_those_of_torchvisions_network(host, network, photos):
    from PIL import Image

    model = host.load(NAME, device="cpu")
    for photo in photos.values():
        inputs = transform()(Image.fromarray(photo))[None]
        with torch.inference_mode():
            scores = network(inputs).softmax(1).numpy()
            features = torch.nn.Sequential(*list(network.children())[:-1])(inputs).flatten(1).numpy()
        _, found, found_scores = model.rows(photo)
        np.testing.assert_allclose(found, features, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found_scores, scores, atol=1e-5)


def test_a_scene_has_a_name(host, photos):
    (best, *_) = classify_image(photos["coffee"], NAME, host=host)
    assert best.label in scenes() and 0 < best.score <= 1 and best.id == ""


def test_the_network_keeps_to_the_contract(host):
    assert [(r.check, r.reason) for r in check_model(NAME, host=host) if not r.passed] == []


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save({"state_dict": {"module.fc.weight": torch.zeros(1000, 512)}}, tmp_path / FILE)
    with pytest.raises(SightsoundError, match=rf"{FILE}: fc.weight: expected shape \(365, 512\), got \(1000, 512\)"):
        host_with(tmp_path / FILE).load(NAME)


def test_without_the_file_the_error_says_what_to_give(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=rf"no source is known; give --weights {FILE}=PATH"):
        host_with().load(NAME)


@pytest.mark.parametrize("card", [card for card, _ in PLACES365], ids=lambda card: card.name)
def test_the_card_tells_the_networks_size(card):
    from sightsound_timm.network import BLANKS

    network = BLANKS["places365"](card.name)
    assert sum(p.numel() for p in network.parameters()) == card.params
    assert network.fc.in_features == card.dim
