"""Preprocessing, bit for bit, against timm's and torchvision's own transforms on the same pixels."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import sightsound_timm
from sightsound import MediaError
from sightsound.media import center_crop
from sightsound.plugin import CenterCrop
from sightsound_timm import cards, embedder
from sightsound_timm.frameworks import timm, torchvision

Pixels = NDArray[np.uint8]
CARDS = {card.name: card for card, _ in cards.AT_HAND if card != cards.SQUEEZENET}
SIZES = [(1, 1), (2, 3), (1, 300), (300, 1), (224, 224), (256, 256), (257, 255), (292, 293), (700, 1003), (855, 382)]


def reference(name: str) -> Callable[[Pixels], Any]:
    """uint8 RGB -> tensor, as timm or torchvision do it."""
    if name == cards.MOBILENET.name:
        transform = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
    else:
        told = timm.get_pretrained_cfg(name).to_dict()
        config = timm.data.resolve_data_config(pretrained_cfg=told)
        transform = timm.data.create_transform(**config)
    return lambda rgb: transform(Image.fromarray(rgb)).numpy()[None]


def assert_equal(name: str, rgb: Pixels) -> None:
    ours, theirs = CenterCrop(CARDS[name].constants)(rgb), reference(name)(rgb)
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.shape == theirs.shape == (1, *CARDS[name].input_shape)
    assert (ours == theirs).all(), f"{rgb.shape}: differs by up to {abs(ours - theirs).max()}"


@pytest.mark.parametrize("name", CARDS)
def test_photographs_are_prepared_exactly_as_by_timm_or_torchvision(name: str, photos: dict[str, Pixels]) -> None:
    for rgb in photos.values():
        assert_equal(name, rgb)


@pytest.mark.parametrize("name", CARDS)
def test_imagenette_is_prepared_exactly_as_by_timm_or_torchvision(
    name: str, imagenette: list[tuple[str, Pixels]]
) -> None:
    for _, rgb in imagenette[::4]:
        assert_equal(name, rgb)


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_odd_sizes_are_prepared_exactly_as_by_timm_or_torchvision(name: str, size: tuple[int, int]) -> None:
    assert_equal(name, np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(3, 5000), pytest.param((5000, 3), marks=pytest.mark.slow)], ids=str)
def test_a_very_long_image_is_prepared_exactly_too(size: tuple[int, int]) -> None:
    assert_equal(cards.LITE0.name, np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.mark.parametrize("strip", [300, 5000])
def test_strips_of_any_size_give_the_same_pixels(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(center_crop, "PIXELS_AT_ONCE", strip)
    for size in [(40, 61), (61, 40), (255, 255), (17, 700), (700, 17)]:
        assert_equal(cards.LITE0.name, np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(1, 300_000), (300_000, 1)], ids=str)
def test_an_image_that_is_nearly_a_line_is_refused_in_one_line(size: tuple[int, int]) -> None:
    with pytest.raises(MediaError, match=r"^image of \d+ x \d+ pixels: expected a side at most 262144 times"):
        CenterCrop(cards.LITE0.constants)(np.zeros((*size, 3), np.uint8))


def test_threads_prepare_the_same(photos: dict[str, Pixels]) -> None:
    prepare = CenterCrop(cards.LITE0.constants)
    alone = [prepare(rgb) for rgb in photos.values()]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(prepare, list(photos.values()) * 5))
    assert all((one == alone[i % len(alone)]).all() for i, one in enumerate(together))


@pytest.mark.parametrize("mode", ["squash", "border"])
def test_other_crops_are_left_to_timm(mode: str, photos: dict[str, Pixels]) -> None:
    names = timm.list_pretrained("*tiny*") + timm.list_pretrained()
    name = next(name for name in names if timm.get_pretrained_cfg(name).crop_mode == mode)
    card, _ = sightsound_timm.resolve_embedder(name, {})
    assert card.constants["crop_mode"] == mode
    prepare = embedder.timm_transform(card.constants)
    for rgb in photos.values():
        ours, theirs = prepare(rgb), reference(name)(rgb)
        assert (ours == theirs).all()
        assert ours.shape == (1, *card.input_shape)
