"""Any network of timm or torchvision by name; no hub is asked, the weights are small real files made here."""

from __future__ import annotations

import dataclasses
import itertools
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

import sightsound_timm
from sampling import sampled
from seeded_networks import saved, seeded
from sightsound import Card, Host, Model, SightsoundError, UnknownModel
from sightsound.torch import forward
from sightsound_timm import batchnorm, cards, torchvision_networks
from sightsound_timm.frameworks import timm, torchvision


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is looked up and no file fetched in these tests."""

    def refused(*args: object) -> None:
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


def card(name: str) -> Card:
    found = sightsound_timm.resolve_embedder(name, {})
    assert found is not None, name
    return found[0]


def loaded(name: str, path: Path) -> Model:
    host = Host(installed=False, weights=[f"{card(name).weights[0].name}={path}"])
    host.register(sightsound_timm, "timm")
    return host.load(name, device="cpu")


def noise(card: Card) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((2, *card.input_shape)).astype(np.float32)


def cosine(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize(
    ("asked", "full"),
    [
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k"),
        ("mobilenet_v2", "mobilenet_v2.tv_in1k"),
        ("mobilenet_v2.IMAGENET1K_V1", "mobilenet_v2.tv_in1k"),
        ("mobilenet_v2.IMAGENET1K_V2", "mobilenet_v2.tv2_in1k"),
        ("resnet50", "resnet50.a1_in1k"),
        ("resnet18.tv_in1k", "resnet18.tv_in1k"),
        ("resnet50.IMAGENET1K_V2", "resnet50.IMAGENET1K_V2"),
        ("squeezenet1_1", "squeezenet1_1.tv_in1k"),
        ("squeezenet", "squeezenet1_1.keras_in1k"),
        ("resnet18", "resnet18.tv_in1k"),
        pytest.param("resnet34", "resnet34.a1_in1k", marks=pytest.mark.slow),
        pytest.param("resnet50.a1_in1k", "resnet50.a1_in1k", marks=pytest.mark.slow),
    ],
)
def test_a_network_has_one_full_name_and_timm_comes_before_torchvision(asked: str, full: str) -> None:
    assert card(asked).name == full
    assert dataclasses.replace(card(full), aliases=()) == dataclasses.replace(card(asked), aliases=())
    assert asked in (full, full.partition(".")[0], *card(asked).aliases)


@pytest.mark.parametrize("name", ["yamnett", "resnet50.no_such_tag", "cat", "vgg16.IMAGENET1K_FEATURES", "ab"])
def test_a_name_that_neither_knows_is_left_to_others(name: str) -> None:
    assert sightsound_timm.resolve_embedder(name, {}) is None


def test_an_unknown_name_ends_in_a_suggestion(host: Host) -> None:
    with pytest.raises(UnknownModel, match=r"did you mean 'tf_efficientnet_lite0\.in1k'"):
        host.card("tf_efficientnet_lite0.in1")


def test_options_other_than_layers_are_refused() -> None:
    with pytest.raises(UnknownModel, match=r"^resnet18.tv_in1k\[pca\]: expected layer=NAME or layer=NAME\+NAME, then"):
        sightsound_timm.resolve_embedder("resnet18", {"pca": True})


def test_timm_weights_come_from_where_timm_publishes_them() -> None:
    (file,) = card("resnet50.a1_in1k").weights
    assert file.name == "resnet50.a1_in1k.safetensors"
    assert file.sources == (
        "hf:timm/resnet50.a1_in1k!model.safetensors",
        "https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors",
    )


def test_torchvision_weights_come_from_where_torchvision_publishes_them() -> None:
    (file,) = card("squeezenet1_1").weights
    assert file.sources == ("https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",)


def test_a_projection_is_no_classifier() -> None:
    clip = card("vit_base_patch16_clip_224.openai")
    assert (clip.dim, clip.scores, clip.labels) == (768, None, ())


def test_other_sets_of_classes_have_their_names_too() -> None:
    labels = card("vit_tiny_patch16_224.augreg_in21k").labels
    assert len(labels) == 21843
    assert "tench, Tinca tinca" in labels


@pytest.mark.parametrize(
    ("name", "suffix"),
    sampled(
        itertools.product(
            ("resnet18", "mobilenetv3_small_050", "test_vit", "resnetv2_50x1_bit"), (".safetensors", ".pth")
        ),
        ("mobilenetv3_small_050", ".safetensors"),
        ("test_vit", ".pth"),
    ),
)
def test_a_timm_network_loads_from_the_users_file(name: str, suffix: str, tmp_path: Path) -> None:
    model_card = card(name)
    net: Any = seeded(lambda: timm.create_model(model_card.name))
    model, inputs = loaded(name, saved(net, tmp_path / f"own{suffix}")), noise(model_card)
    found = model.embed(inputs)
    with torch.inference_mode():
        batch = torch.from_numpy(inputs)
        known = net.forward_head(net.forward_features(batch), pre_logits=True).numpy()
        scores = net(batch).softmax(1).numpy()
    assert found.embeddings.shape == (2, model_card.dim)
    assert cosine(found.embeddings, known).min() > 0.999999
    if model_card.scores:
        assert np.abs(found.scores - scores).max() < 1e-4


@pytest.mark.parametrize(
    "name",
    sampled(
        ("squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "googlenet"),
        *("squeezenet1_1", "shufflenet_v2_x0_5"),
    ),
)
def test_a_torchvision_network_loads_from_the_users_file(name: str, tmp_path: Path) -> None:
    model_card = card(name)
    extra = {"transform_input": True, "init_weights": True} if name == "googlenet" else {}
    net = seeded(lambda: torchvision.models.get_model(name, weights=None, **extra))
    model, inputs = loaded(name, saved(net, tmp_path / "own.pth")), noise(model_card)
    found = model.embed(inputs)
    head = net.get_submodule(torchvision_networks.head_name(net, 1000))
    seen: list[torch.Tensor] = []
    head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.inference_mode():
        scores = net(torch.from_numpy(inputs)).softmax(1).numpy()
    known = (seen[0].mean((2, 3)) if seen[0].ndim == 4 else seen[0]).numpy()
    assert found.embeddings.shape == (2, model_card.dim)
    assert cosine(found.embeddings, known).min() > 0.999999
    assert np.abs(found.scores - scores).max() < 1e-4


def test_a_file_in_timms_own_names_fills_a_network_that_else_goes_by_order(tmp_path: Path) -> None:
    net: Any = seeded(lambda: timm.create_model(cards.LITE0.name))
    found = loaded(cards.LITE0.name, saved(net, tmp_path / "own.safetensors")).embed(noise(cards.LITE0))
    with torch.inference_mode():
        scores = net(torch.from_numpy(noise(cards.LITE0))).softmax(1).numpy()
    assert np.abs(found.scores - scores).max() < 1e-4


def test_another_head_is_refused_and_the_error_names_it(tmp_path: Path) -> None:
    path = saved(timm.create_model("resnet18", num_classes=10), tmp_path / "ten.safetensors")
    with pytest.raises(SightsoundError, match=r"fc\.\w+: expected shape \(1000.*got \(10.*; give a file of resnet18"):
        loaded("resnet18", path)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "tf_efficientnet_lite0.in1k"])
def test_a_file_of_another_network_is_refused(name: str, tmp_path: Path) -> None:
    path = saved(timm.create_model("test_resnet"), tmp_path / "other.safetensors")
    with pytest.raises(SightsoundError, match=r"other\.safetensors: .*expected.*; give a file of " + name) as caught:
        loaded(name, path)
    assert "\n" not in str(caught.value)


def test_a_file_that_lacks_tensors_leaves_nothing_random(tmp_path: Path) -> None:
    net = timm.create_model("test_resnet")
    tensors = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith("layer4")}
    save_file(tensors, tmp_path / "part.safetensors")
    with pytest.raises(SightsoundError, match="expected a tensor layer4"):
        loaded("test_resnet", tmp_path / "part.safetensors")


def test_a_pickle_of_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Path("x")}, tmp_path / "evil.pth")
    with pytest.raises(SightsoundError, match="expected tensors"):
        loaded("resnet18", tmp_path / "evil.pth")


def test_networks_in_other_threads_run_while_one_is_loaded(tmp_path: Path) -> None:
    path = saved(seeded(lambda: timm.create_model("lcnet_050")), tmp_path / "lcnet.safetensors")
    other = nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval()
    failures: list[Exception] = []
    forwards, loading = 0, threading.Event()

    def run() -> None:
        nonlocal forwards
        while loading.is_set():
            try:
                forward(other, np.ones((1, 3), np.float32), torch.device("cpu"))
                forwards += 1
                time.sleep(0.001)  # and let the other thread go on
            except Exception as error:
                failures.append(error)
                return

    loading.set()
    thread = threading.Thread(target=run)
    thread.start()
    for _ in range(2):
        net: Any = loaded("lcnet_050", path).embedder
    loading.clear()
    thread.join()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in net.network.module.modules()), (
        "batch norms were folded"
    )
    assert forwards > 0 and not failures


def test_a_convolution_that_something_else_reads_too_is_not_folded() -> None:
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
            self.conv2, self.norm2 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
            self.conv3, self.norm3 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.conv(x)
            x = self.conv2(x.relu() + self.norm(x))
            kept = self.conv3(self.norm2(x))
            return self.norm3(kept), kept

    net: Any = seeded(Forked)
    batch = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = net(batch)
        after = batchnorm.fold_batch_norms(net, (3, 8, 8))(batch)
    kinds = [type(norm) for norm in (net.norm, net.norm2, net.norm3)]
    assert kinds == [nn.BatchNorm2d, nn.Identity, nn.BatchNorm2d]
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(old, new)


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("densenet121", "resnetv2_50", "regnety_002")),
        "hrnet_w18_small",
    ],
)
def test_folding_batch_norm_keeps_the_numbers(name: str) -> None:
    net: Any = seeded(lambda: timm.create_model(name))
    batch = torch.randn(2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    with torch.inference_mode():
        before = net.forward_features(batch).flatten(1).numpy()
        after = batchnorm.fold_batch_norms(net, (3, 128, 128)).forward_features(batch).flatten(1).numpy()  # type: ignore[operator]
    left = sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())
    assert left < norms
    assert cosine(before, after).min() > 0.999999
