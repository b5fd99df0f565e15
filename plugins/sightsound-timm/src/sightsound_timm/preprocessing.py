"""The preprocessing of an image: resize, crop the centre, normalise. Bit-equal to timm and torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightsound.plugin import Floats, MediaError

PIXELS_AT_ONCE = 2**24
"""Pixels that are resized at once (64 MiB in Pillow). Larger results, of very long images, are made in strips."""

LONGEST_SIDE = 2**26
"""The longest side of an image after resizing, in pixels (one strip takes 256 MiB then)."""


class CenterCrop:
    """Turns an image into a network's input. Several threads may call it at once.

    Parameters
    ----------
    constants : mapping
        As `cards.constants` returns them. With `resize_mode` "squash" both sides become `resize`.
    """

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._resize = int(constants["resize"])
        self._squash = constants.get("resize_mode") == "squash"
        self._crop = int(constants["crop"])
        self._filter = Image.Resampling[constants["interpolation"].upper()]
        self._mean = np.array(constants["mean"], np.float32)[:, None, None]
        self._std = np.array(constants["std"], np.float32)[:, None, None]

    def __call__(self, rgb: NDArray[np.uint8]) -> Floats:
        """Return float32 (1, 3, crop, crop) for uint8 RGB (h, w, 3). Raises `MediaError` for an image too long."""
        image = Image.fromarray(rgb)
        width = height = self._resize
        if not self._squash:
            width, height = resized_size(image.width, image.height, self._resize)
        left, top = round((width - self._crop) / 2), round((height - self._crop) / 2)
        if width * height > PIXELS_AT_ONCE and min(image.size) < self._resize:
            image = self._resize_columns(self._resize_rows(image, width, left), height, top)
        else:
            image = image.resize((width, height), self._filter)
            image = image.crop((left, top, left + self._crop, top + self._crop))
        return self._normalise(np.asarray(image))

    # When Pillow enlarges, it resizes the rows first, rounds to 8 bits, and resizes the columns then. Two calls, strip
    # by strip, give the same pixels. (When it shrinks, the order depends on its version, but little memory is needed.)

    def _resize_rows(self, image: Image.Image, width: int, left: int) -> Image.Image:
        """Resize each row to `width`, and keep the columns from `left`."""
        found = Image.new("RGB", (self._crop, image.height))
        step = max(1, PIXELS_AT_ONCE // width)
        for first in range(0, image.height, step):
            rows = min(step, image.height - first)
            strip = image if rows == image.height else image.crop((0, first, image.width, first + rows))
            strip = strip.resize((width, rows), self._filter)
            found.paste(strip.crop((left, 0, left + self._crop, rows)), (0, first))
        return found

    def _resize_columns(self, image: Image.Image, height: int, top: int) -> Image.Image:
        """Resize each column to `height`, and keep the rows from `top`."""
        found = Image.new("RGB", (self._crop, self._crop))
        step = max(1, PIXELS_AT_ONCE // height)
        for first in range(0, image.width, step):
            columns = min(step, image.width - first)
            strip = image.crop((first, 0, first + columns, image.height))
            strip = strip.resize((columns, height), self._filter)
            found.paste(strip.crop((0, top, columns, top + self._crop)), (first, 0))
        return found

    def _normalise(self, pixels: NDArray[np.uint8]) -> Floats:
        """Return float32 (1, 3, h, w) for uint8 (h, w, 3), with the float32 steps of torchvision in their order."""
        values = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
        values /= np.float32(255)
        values -= self._mean
        values /= self._std
        return values[None]


def resized_size(width: int, height: int, short: int) -> tuple[int, int]:
    """Return the width and height after resizing the shorter side to `short` pixels.

    The longer side is rounded down, as in torchvision. Raises `MediaError` if it is over `LONGEST_SIDE`.
    """
    long = int(short * max(width, height) / min(width, height))
    if long > LONGEST_SIDE:
        most = LONGEST_SIDE // short
        raise MediaError(f"image of {width} x {height} pixels: expected a side at most {most} times the other; crop it")
    return (short, long) if width <= height else (long, short)
