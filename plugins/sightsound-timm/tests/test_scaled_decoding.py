"""`[decode=scaled]` of networks with real weights: the pixels are Pillow's, the rows are near the exact ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sampling import sampled
from sightsound import Host, Model, media
from sightsound.contract.errors import UnknownModel
from sightsound_timm import cards
from sightsound_timm.frameworks import timm, torchvision

CLOSE = 0.997
"""Least cosine wanted. Measured on 100 photographs of 12 megapixels: 0.9988 (MobileNetV2), 0.9978 (Lite0) at worst."""


@pytest.fixture(scope="module")
def pictures(photos: dict[str, NDArray[np.uint8]], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photographs enlarged to 5.7 megapixels with detail of another and noise: a quarter keeps 512 pixels of 2,064."""
    random, folder, paths = np.random.default_rng(0), tmp_path_factory.mktemp("pictures"), []
    size, bicubic = (2752, 2064), Image.Resampling.BICUBIC
    for name, other in (("astronaut", "coffee"), ("chelsea", "rocket")):
        pixels = np.asarray(Image.fromarray(photos[name]).resize(size, bicubic)).astype(np.float32)
        tile = np.tile(photos[other], (8, 8, 1))[: size[1], : size[0]].astype(np.float32)
        pixels += 0.2 * (tile - tile.mean((0, 1))) + random.normal(0, 3, pixels.shape).astype(np.float32)
        paths.append(folder / f"{name}.jpg")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=92, subsampling="4:2:0")
    return paths


def reference(name: str) -> Callable[[Image.Image], Any]:
    """The framework's own transform."""
    if name == cards.MOBILENET.name:
        return torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.transforms()
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    return timm.data.create_transform(**config)


@pytest.mark.parametrize("name", sampled((cards.MOBILENET.name, cards.LITE0.name), cards.LITE0.name))
def test_rows_are_near_those_of_the_full_size(name: str, model: Callable[[str], Model], pictures: list[Path]) -> None:
    exact, scaled = model(name), model(f"{name}[decode=scaled]")
    assert scaled.shortest_side == 512
    for path in pictures:
        read = media.read_image(path, shortest=scaled.shortest_side)
        assert read.pixels.shape == (516, 688, 3)
        with Image.open(path) as image:
            image.draft("RGB", (512, 512))
            np.testing.assert_array_equal(scaled.preprocess(read.pixels).inputs[0], reference(name)(image))
        one, other = exact.rows(media.read_image(path).pixels)[1][0], scaled.rows(read.pixels)[1][0]
        cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert CLOSE < cosine < 0.999999


def test_small_pictures_have_the_rows_of_the_full_size(model: Callable[[str], Model], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1200, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg")
    exact, scaled = model(cards.LITE0.name), model(f"{cards.LITE0.name}[decode=scaled]")
    rows = [
        each.rows(media.read_image(tmp_path / "a.jpg", shortest=each.shortest_side).pixels)[1]
        for each in (exact, scaled)
    ]
    np.testing.assert_array_equal(*rows)
    assert exact.space != scaled.space


def test_layers_can_be_decoded_so(host: Host) -> None:
    card = host.card("mobilenet_v2[decode=scaled,layer=features.3]")
    assert card.name == "mobilenet_v2.tv_in1k[layer=features.3,decode=scaled]"
    assert card.constants["decode"] == {"jpeg": "scaled", "shortest": 512}


def test_transforms_that_are_left_to_timm_have_no_such_option(host: Host) -> None:
    with pytest.raises(UnknownModel, match="decode=scaled: expected a network for images whose card says"):
        host.card("coat_lite_medium_384.in1k[decode=scaled]")
