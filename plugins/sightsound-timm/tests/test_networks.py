"""The registered networks: their cards against the frameworks and the published table, and each of them run."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from published import DIFFERENT, TABLE, Published
from sampling import sampled
from seeded_networks import seeded
from sightsound import Card, Host
from sightsound_timm import networks, zoo
from sightsound_timm.builders import BUILDERS
from sightsound_timm.depth import depth_of, longest_path
from sightsound_timm.frameworks import timm, torchvision

REGISTERED = {card.name: (card, builder) for card, builder in networks.REGISTERED}
ON_META = (
    *("alexnet.tv_in1k", "densenet201.tv_in1k", "efficientnet_b0.ra_in1k", "googlenet.tv_in1k"),
    *("inception_v3.tv_in1k", "legacy_xception.tf_in1k", "mobilenet_v2.tv_in1k", "resnet18.tv_in1k"),
    *("shufflenet_v2_x1_0.tv_in1k", "squeezenet1_1.keras_in1k"),
)
SAMPLE = (*ON_META, "resnet34.tv_in1k", "resnet18.places365")
"""The networks whose cards the quick tests look at; the slow ones look at all."""

USUAL = [name for name, (card, _) in REGISTERED.items() if not card.weights[0].sha256 and "places365" not in name]


def built(card: Card, builder: str, device: str) -> nn.Module:
    """The network with seeded numbers, which its own loader read, giving features beside its scores."""
    torch.manual_seed(0)
    build = BUILDERS[builder]
    if device == "meta":
        with torch.device("meta"):
            return build.with_features(build.blank(card.name), len(card.labels)).eval()
    tensors = seeded(lambda: build.blank(card.name)).state_dict()
    return build.with_features(build.filled(card.name, tensors), len(card.labels)).eval()


# -- the cards -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sampled(USUAL, *SAMPLE))
def test_a_card_in_the_table_is_what_its_framework_says(name: str) -> None:
    card, builder = REGISTERED[name]
    if builder == "timm":
        told = zoo.timm_card(name)
    else:
        found = torchvision.models.get_model_weights(name.partition(".")[0]).DEFAULT
        weights = next(each for each in type(found) if each.name == "IMAGENET1K_V1")
        told = zoo.torchvision_card(name, name.partition(".")[0], weights)
    assert dataclasses.replace(card, aliases=()) == told
    assert card.aliases[0] == name.partition(".")[0]
    assert card.depth and card.top1 and card.top1_source and card.license and card.weights[0].sources


@pytest.mark.parametrize(
    "name", sampled((name for name in REGISTERED if name not in USUAL or name.endswith(".tv_in1k")), *SAMPLE)
)
def test_depth_and_parameters_are_those_of_the_network_that_is_built(name: str) -> None:
    card, builder = REGISTERED[name]
    build = BUILDERS[builder]
    assert card.depth == depth_of(lambda: build.blank(name), card.input_shape)
    with torch.device("meta"):
        network = build.blank(name, **({"aux_logits": False} if name.startswith("googlenet") else {}))
    assert card.params == sum(parameter.numel() for parameter in network.parameters())


def test_the_accuracies_of_timm_are_read() -> None:
    assert len(zoo.timm_top1()) > 1000 and all(0 < top1 < 100 for top1 in zoo.timm_top1().values())
    assert all(timm.is_model(name) for name in list(zoo.timm_top1())[::100])
    assert (zoo.timm_card("resnet34.a1_in1k").top1, zoo.timm_card("vit_base_patch16_clip_224.openai").top1) == (
        zoo.timm_top1()["resnet34.a1_in1k"],
        None,
    )


# -- depth ---------------------------------------------------------------------------------------------------------


class Branches(nn.Module):
    """Paths of three, of two and of no layer; a product of activations; an output beside the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.long = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1, groups=4))
        self.short = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.long(x) + self.short(x) + x.mean(1, keepdim=True)
        tokens = maps.flatten(2).transpose(1, 2)
        attended = (tokens @ tokens.transpose(1, 2)).softmax(2) @ tokens
        return maps, self.head(attended.mean(1))


def test_depth_is_the_longest_path_of_convolutional_and_linear_layers() -> None:
    assert depth_of(Branches, (3, 8, 8)) == 3
    assert longest_path(Branches()(torch.zeros(1, 3, 8, 8))[0]) == 2
    assert depth_of(nn.ReLU, (3, 8, 8)) == 0
    assert depth_of(lambda: nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8, bias=False)), (3, 8, 8)) == 2


def test_the_depth_of_a_network_that_does_not_run_without_numbers_is_not_known() -> None:
    class NeedsNumbers(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * float(x.detach().sum())

    assert depth_of(NeedsNumbers, (3, 8, 8)) is None


# -- the published table -------------------------------------------------------------------------------------------


def differences(card: Card, published: Published) -> set[str]:
    """Which numbers of a card are not those of the table."""
    assert card.params is not None
    size = (card.weights[0].size or 4 * card.params) / 2**20
    digits = len(f"{published.params}".partition(".")[2])
    same = {
        "depth": card.depth == published.depth or published.depth is None,
        "params": round(card.params / 1e6, digits) == published.params
        or abs(card.params / 1e6 - published.params) <= 0.005 * published.params,
        "size": abs(size - published.size) <= 0.05 * published.size,
        "side": card.input_shape[-1] == published.side,
    }
    return {name for name, equal in same.items() if not equal}


def test_each_difference_from_the_published_table_is_explained(host: Host) -> None:
    found = {(name, field) for name, row in TABLE.items() for field in differences(host.card(name), row)}
    assert found == set(DIFFERENT)
    assert all(len(reason) > 20 for reason in DIFFERENT.values())


# -- every network runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_META)
def test_shapes_without_numbers(name: str) -> None:
    card, builder = REGISTERED[name]
    with torch.inference_mode():
        features, scores = built(card, builder, "meta")(torch.zeros(1, *card.input_shape, device="meta"))
    assert (features.shape, scores.shape) == ((1, card.dim), (1, len(card.labels)))


@pytest.mark.slow
@pytest.mark.parametrize("name", REGISTERED)
def test_every_network_gives_embeddings_and_scores(name: str) -> None:
    card, builder = REGISTERED[name]
    noise: Any = np.random.default_rng(0).standard_normal((1, *card.input_shape)).astype(np.float32)
    with torch.inference_mode():
        features, scores = built(card, builder, "cpu")(torch.from_numpy(noise))
    assert (features.shape, scores.shape) == ((1, card.dim), (1, len(card.labels)))
    assert torch.isfinite(features).all() and features.std() > 0
    assert torch.isclose(scores.sum(), torch.tensor(1.0), atol=1e-4) and (scores >= 0).all()
