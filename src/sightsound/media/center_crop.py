"""The preprocessing of an image: resize, crop the centre, normalise. Bit-equal to timm and torchvision."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import MediaError

if TYPE_CHECKING:
    from PIL import Image

PIXELS_AT_ONCE = 2**24
"""Pixels that are resized at once (64 MiB in Pillow). Larger results, of very long images, are made in strips."""

LONGEST_SIDE = 2**26
"""The longest side of an image after resizing, in pixels (one strip takes 256 MiB then)."""


class CenterCrop:
    """Turns an image into a network's input; several threads may call it at once.

    Parameters
    ----------
    constants : mapping
        `resize`: pixels that the shorter side is resized to. `crop`: the side of the square that is cut from the
        centre. `interpolation`: a filter of Pillow. `mean`, `std`: a number for each channel, for values from 0 to 1.
        These are optional: `resize_mode` "squash", with which both sides become `resize`, or height and width if that
        is a pair, as `crop` then; `scale`, by which values are divided (255); `channels`, "rgb", "bgr" or "gray";
        `layout`, "nchw" or "nhwc".
    """

    def __init__(self, constants: Mapping[str, Any]) -> None:
        self._pillow: Any = importlib.import_module("PIL.Image")
        self._resize, self._crop = _pair(constants["resize"]), _pair(constants["crop"])
        self._squash = constants.get("resize_mode") == "squash"
        self._filter = self._pillow.Resampling[constants["interpolation"].upper()]
        self._mean = np.array(constants["mean"], np.float32)[:, None, None]
        self._std = np.array(constants["std"], np.float32)[:, None, None]
        self._scale = np.float32(constants.get("scale", 255))
        self._channels = constants.get("channels", "rgb")
        self._last = constants.get("layout", "nchw") == "nhwc"

    def __call__(self, rgb: NDArray[np.uint8]) -> Floats:
        """Return float32 (1, 3, crop, crop) for uint8 RGB (h, w, 3), or (1, crop, crop, 3) as `layout` says.

        Raises `MediaError` for an image too long.
        """
        image = self._pillow.fromarray(rgb)
        height, width = self._resize
        if not self._squash:
            width, height = resized_size(image.width, image.height, height)
        left, top = round((width - self._crop[1]) / 2), round((height - self._crop[0]) / 2)
        if width * height > PIXELS_AT_ONCE and min(image.size) < min(self._resize):
            image = self._resize_columns(self._resize_rows(image, width, left), height, top)
        else:
            image = image.resize((width, height), self._filter)
            image = image.crop((left, top, left + self._crop[1], top + self._crop[0]))
        return self._normalise(image)

    # When Pillow enlarges, it resizes the rows first, rounds to 8 bits, and resizes the columns then. Two calls, strip
    # by strip, give the same pixels. (When it shrinks, the order depends on its version, but little memory is needed.)

    def _resize_rows(self, image: Image.Image, width: int, left: int) -> Image.Image:
        """Resize each row to `width`, and keep the columns from `left`."""
        found: Image.Image = self._pillow.new("RGB", (self._crop[1], image.height))
        step = max(1, PIXELS_AT_ONCE // width)
        for first in range(0, image.height, step):
            rows = min(step, image.height - first)
            strip = image if rows == image.height else image.crop((0, first, image.width, first + rows))
            strip = strip.resize((width, rows), self._filter)
            found.paste(strip.crop((left, 0, left + self._crop[1], rows)), (0, first))
        return found

    def _resize_columns(self, image: Image.Image, height: int, top: int) -> Image.Image:
        """Resize each column to `height`, and keep the rows from `top`."""
        found: Image.Image = self._pillow.new("RGB", (self._crop[1], self._crop[0]))
        step = max(1, PIXELS_AT_ONCE // height)
        for first in range(0, image.width, step):
            columns = min(step, image.width - first)
            strip = image.crop((first, 0, first + columns, image.height))
            strip = strip.resize((columns, height), self._filter)
            found.paste(strip.crop((0, top, columns, top + self._crop[0])), (first, 0))
        return found

    def _normalise(self, image: Image.Image) -> Floats:
        """Return the input for an image, with the float32 steps of torchvision in their order."""
        if self._channels == "gray":
            image = image.convert("L")
        pixels = np.asarray(image)[..., None] if self._channels == "gray" else np.asarray(image)
        if self._channels == "bgr":
            pixels = pixels[..., ::-1]
        values = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)
        values /= self._scale
        values -= self._mean
        values /= self._std
        return np.ascontiguousarray(values.transpose(1, 2, 0))[None] if self._last else values[None]


def _pair(sides: Any) -> tuple[int, int]:
    """Return height and width of one number or a pair."""
    return (int(sides), int(sides)) if isinstance(sides, int | float) else (int(sides[0]), int(sides[1]))


def resized_size(width: int, height: int, short: int) -> tuple[int, int]:
    """Return the width and height after resizing the shorter side to `short` pixels.

    The longer side is rounded down, as in torchvision. Raises `MediaError` if it is over `LONGEST_SIDE`.
    """
    long = int(short * max(width, height) / min(width, height))
    if long > LONGEST_SIDE:
        most = LONGEST_SIDE // short
        raise MediaError(f"image of {width} x {height} pixels: expected a side at most {most} times the other; crop it")
    return (short, long) if width <= height else (long, short)
