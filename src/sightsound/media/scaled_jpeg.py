"""JPEG at a half, a quarter or an eighth of its size: libjpeg leaves the fine frequencies of each block out.

The whole file is read and checked as for the full size. What is saved is the transform of the blocks, the conversion of
their colours, and the copies of the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile


def scale_down(image: ImageFile, shortest: int) -> None:
    """Make Pillow decode a JPEG at the smallest scale with which its shorter side keeps enough pixels.

    Parameters
    ----------
    image : PIL.ImageFile.ImageFile
        A JPEG, of which only the header was read. Its size becomes that which it will be decoded at.
    shortest : int
        The pixels that the shorter side keeps.
    """
    if min(image.size) >= 2 * shortest:
        image.draft(None, (shortest, shortest))


def needs_all_memory(image: ImageFile, scans: Sequence[int]) -> bool:
    """Return whether libjpeg holds the coefficients of the whole image, whatever size it is decoded at.

    It does so for progressive files, and where the components have scans of their own.

    Parameters
    ----------
    image : PIL.ImageFile.ImageFile
        A JPEG, of which only the header was read.
    scans : sequence of int
        The number of components in each scan of the file.
    """
    return "progressive" in image.info or any(count < len(image.getbands()) for count in scans)
