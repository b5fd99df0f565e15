"""The networks of Places365, on a file in the form in which MIT CSAIL publishes them, of seeded numbers."""

from __future__ import annotations

import pickle
import socket
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

import sightsound_timm
from sightsound import Host, MissingWeights, SightsoundError, classify_image
from sightsound.plugin import CenterCrop
from sightsound.testing import check_model
from sightsound.weights.store import Store
from sightsound_timm.builders import BUILDERS
from sightsound_timm.depth import depth_of
from sightsound_timm.frameworks import torchvision
from sightsound_timm.places365 import PLACES365, scenes

NAME = "resnet18.places365"
FILE = "resnet18_places365.pth.tar"
CARDS = {card.name.partition(".")[0]: card for card, _ in PLACES365}


class Pickler(pickle._Pickler):
    """Pickles as Python 2.7 and torch 0.2 did on a GPU: byte strings, dictionaries as lists, an older tensor."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_str(self, text):
        data = ("cuda:0" if text == "cpu" else text).encode()
        self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        self.memoize(text)

    dispatch[str] = save_str

    def reducer_override(self, value):
        if isinstance(value, OrderedDict):
            return OrderedDict, ([[key, tensor] for key, tensor in value.items()],)
        if isinstance(value, torch.Tensor):
            return torch._utils._rebuild_tensor, (value._typed_storage(), 0, tuple(value.shape), value.stride())
        return NotImplemented


class Python2:
    """What `torch.save` takes for the module `pickle`."""

    Pickler = Pickler

    @staticmethod
    def dump(value, file, protocol):
        Pickler(file, protocol).dump(value)


def published(made: torch.nn.Module, path: Path, **more) -> Path:
    """A checkpoint of a network that was trained in parallel, in the format of 2017."""
    named = made.state_dict().items()
    tensors = OrderedDict((f"module.{k}", v) for k, v in named if "num_batches_tracked" not in k)
    checkpoint = {"epoch": 90, "arch": "resnet18", "state_dict": tensors, "best_prec1": 54.2, **more}
    torch.save(checkpoint, path, Python2, pickle_protocol=2, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope="module", params=["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)])
def arch(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(arch):
    torch.manual_seed(0)
    made = torchvision.models.get_model(arch, weights=None, num_classes=365).eval()
    for layer in made.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return made


@pytest.fixture(scope="module")
def host(network, arch, tmp_path_factory) -> Host:
    return host_with(published(network, tmp_path_factory.mktemp("weights") / f"{arch}_places365.pth.tar"))


def host_with(*files: Path) -> Host:
    host = Host(installed=False, weights=files)
    host.register(sightsound_timm, "timm")
    return host


def transform():
    """The authors' own, in torchvision's words."""
    transforms = torchvision.transforms
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
def test_an_image_is_squashed_as_the_authors_do_it(size):
    from PIL import Image

    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    found = CenterCrop(PLACES365[0][0].constants)(np.asarray(picture))
    np.testing.assert_array_equal(found[0], transform()(picture).numpy())


def test_the_files_are_of_python_2(tmp_path):
    """So that the tests below say something of the published ones."""
    raw = published(torch.nn.Linear(2, 2), tmp_path / FILE).read_bytes()
    assert b"_rebuild_tensor\n" in raw and b"cuda:0" in raw and b"U\x0dmodule.weight" in raw


def test_a_long_image_has_a_row_too(arch):
    """Squashed it takes no more memory than another."""
    squashed = CenterCrop(CARDS[arch].constants)
    assert squashed(np.zeros((1, 300_000, 3), np.uint8)).shape == (1, 3, 224, 224)


def test_features_and_scores_are_those_of_torchvisions_network(host, network, arch, photos):
    from PIL import Image

    model = host.load(f"{arch}.places365", device="cpu")
    for photo in photos.values():
        inputs = transform()(Image.fromarray(photo))[None]
        with torch.inference_mode():
            scores = network(inputs).softmax(1).numpy()
            features = torch.nn.Sequential(*list(network.children())[:-1])(inputs).flatten(1).numpy()
        _, found, found_scores = model.rows(photo)
        assert np.abs(found - features).max() < 1e-5 * np.abs(features).max()
        np.testing.assert_allclose(found_scores, scores, atol=1e-5)


def test_a_scene_has_a_name(host, arch, photos):
    best = classify_image(photos["coffee"], f"{arch}.places365", host=host).top[0]
    assert best.label in scenes() and 0 < best.score <= 1 and best.id == ""


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["resnet18"], indirect=True)
def test_the_network_keeps_to_the_contract(host):
    assert [(r.check, r.reason) for r in check_model(NAME, host=host) if not r.passed] == []


def test_a_file_of_another_network_is_refused(tmp_path):
    torch.save({"state_dict": {"module.fc.weight": torch.zeros(1000, 512)}}, tmp_path / FILE)
    with pytest.raises(SightsoundError, match=rf"{FILE}: fc.weight: expected shape \(365, 512\), got \(1000, 512\)"):
        host_with(tmp_path / FILE).load(NAME)


def test_a_deeper_network_of_the_same_scenes_is_refused_in_one_line(tmp_path):
    path = published(torchvision.models.resnet34(num_classes=365), tmp_path / FILE)
    with pytest.raises(SightsoundError, match=r"expected no tensor layer1\.2\.conv1\.weight; give a file of resnet18"):
        host_with(path).load(NAME)


def test_a_file_that_brings_more_than_tensors_is_refused(tmp_path):
    path = published(torch.nn.Linear(2, 2), tmp_path / FILE, arch=Path("x"))
    with pytest.raises(SightsoundError, match="expected tensors"):
        host_with(path).load(NAME)


def test_without_the_file_the_error_says_where_it_is_and_what_to_give(monkeypatch, tmp_path):
    def unreachable(*args, **kwargs):
        raise socket.gaierror("no network here")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    host = host_with()
    host.weights = Store(folders=(), cache=tmp_path, offline=False)
    assert host.weights.state(host.card(NAME).weights[0]) == "fetchable"
    with pytest.raises(MissingWeights, match=rf"; https://places2\.csail.*/{FILE}: .*give --weights {FILE}=PATH"):
        host.load(NAME)


@pytest.mark.parametrize("card", [card for card, _ in PLACES365], ids=lambda card: card.name)
def test_the_card_tells_the_networks_size(card):
    network = BUILDERS["places365"].blank(card.name)
    assert sum(p.numel() for p in network.parameters()) == card.params
    assert network.fc.in_features == card.dim
    assert card.depth == depth_of(lambda: BUILDERS["places365"].blank(card.name), card.input_shape)
    assert card.depth == int(card.name.partition(".")[0].removeprefix("resnet"))
