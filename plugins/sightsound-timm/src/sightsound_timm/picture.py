"""A picture becomes a network's input: resize, cut out the middle, normalise. Bit-equal to timm and torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import MediaError

AT_ONCE = 2**24
"""Pixels that are resized at once (64 MiB in Pillow). More, of very long pictures, are done strip by strip."""

LONGEST = 2**26
"""The longest side, in pixels after resizing, that a picture may have (one strip then takes 256 MiB)."""


class CenterCrop:
    """`constants` as `cards.constants` gives them. Calls may come from several threads at once."""

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._resize = int(constants["resize"])
        self._squash = constants.get("resize_mode") == "squash"
        self._crop = int(constants["crop"])
        self._filter = Image.Resampling[constants["interpolation"].upper()]
        self._mean = np.array(constants["mean"], np.float32)[:, None, None]
        self._std = np.array(constants["std"], np.float32)[:, None, None]

    def __call__(self, rgb: NDArray[np.uint8]) -> Floats:
        """uint8 RGB (h, w, 3) -> float32 (1, 3, crop, crop). Raises `MediaError` for a picture that is too long."""
        picture = Image.fromarray(rgb)
        width = height = self._resize
        if not self._squash:
            width, height = scaled(picture.width, picture.height, self._resize)
        left, top = round((width - self._crop) / 2), round((height - self._crop) / 2)
        if width * height > AT_ONCE and min(picture.size) < self._resize:
            picture = self._down(self._across(picture, width, left), height, top)
        else:
            picture = picture.resize((width, height), self._filter)
            picture = picture.crop((left, top, left + self._crop, top + self._crop))
        return self._normalised(np.asarray(picture))

    # Pillow enlarges along the rows first, rounds to 8 bits, then down the columns: done in two calls, strip by strip,
    # the pixels are the same. (Where it shrinks, the order depends on its version, but then little memory is needed.)

    def _across(self, picture: Image.Image, width: int, left: int) -> Image.Image:
        """Resized along the rows to `width`, then cut to the columns from `left`."""
        found = Image.new("RGB", (self._crop, picture.height))
        step = max(1, AT_ONCE // width)
        for first in range(0, picture.height, step):
            rows = min(step, picture.height - first)
            strip = picture if rows == picture.height else picture.crop((0, first, picture.width, first + rows))
            strip = strip.resize((width, rows), self._filter)
            found.paste(strip.crop((left, 0, left + self._crop, rows)), (0, first))
        return found

    def _down(self, picture: Image.Image, height: int, top: int) -> Image.Image:
        """Resized down the columns to `height`, then cut to the rows from `top`."""
        found = Image.new("RGB", (self._crop, self._crop))
        step = max(1, AT_ONCE // height)
        for first in range(0, picture.width, step):
            columns = min(step, picture.width - first)
            strip = picture.crop((first, 0, first + columns, picture.height))
            strip = strip.resize((columns, height), self._filter)
            found.paste(strip.crop((0, top, columns, top + self._crop)), (first, 0))
        return found

    def _normalised(self, pixels: NDArray[np.uint8]) -> Floats:
        """uint8 (h, w, 3) -> float32 (1, 3, h, w), in the order of float32 steps that torchvision takes."""
        values = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
        values /= np.float32(255)
        values -= self._mean
        values /= self._std
        return values[None]


def scaled(width: int, height: int, short: int) -> tuple[int, int]:
    """Width and height after the shorter side became `short`; the longer is rounded down, as in torchvision."""
    long = int(short * max(width, height) / min(width, height))
    if long > LONGEST:
        raise MediaError(
            f"picture of {width} x {height} pixels: expected a side at most {LONGEST // short} times the other; crop it"
        )
    return (short, long) if width <= height else (long, short)
