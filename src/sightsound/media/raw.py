"""Raw pictures: the JPEG that a camera puts into them to be looked at. The data of the sensor are not developed.

DNG, CR2, NEF, ARW and others are TIFF files, in which it is found without another package; so it is in RAF and CR3.
rawpy finds it in the rest.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sightsound.contract.errors import MediaError
from sightsound.media.cr3 import Cr3, is_cr3
from sightsound.media.tiff import Directory, Tiff

MAX_PREVIEW = 2**26
"""The largest preview that is read, in bytes. Those of 100 megapixels take 30 MB."""

RAF = b"FUJIFILMCCD-RAW "
"""How Fujifilm's RAF begins; the offset and the size of its JPEG stand at 84, big-endian."""

_RAF_PREVIEW = 84
_MAKE, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _DNG_VERSION = 271, 259, 262, 274, 50706
_STRIP_OFFSETS, _STRIP_SIZES, _JPEG_OFFSET, _JPEG_SIZE, _PANASONIC_JPEG = 273, 279, 513, 514, 0x2E
_SENSOR = (32803, 34892)  # photometric interpretations: colour filter array, linear raw
_OF_CAMERAS = (34713, 32767)  # compressions: Nikon's and Sony's
_JPEG = (6, 7)
_FRAMES = (0xC0, 0xC1, 0xC2)  # what JPEG decoders read; 0xC3 is the lossless kind that sensors are stored in
_OF_FLIPS = {3: 3, 5: 8, 6: 6}  # LibRaw's number of a rotation -> that of EXIF
_MAX_OFFSET = 2**62  # systems seek no further than twice that
_HEAD = 2**18  # bytes in which the size of a JPEG is looked for


@dataclass(frozen=True)
class Preview:
    """The picture in a raw picture.

    Attributes
    ----------
    file : io.BytesIO
        A JPEG.
    orientation : int
        What the raw picture says, as in EXIF; it counts where the JPEG says nothing.
    """

    file: io.BytesIO
    orientation: int


def find_preview(file: io.FileIO, name: str, *, sure: bool) -> Preview | None:
    """Return the largest JPEG in a raw picture.

    Parameters
    ----------
    file : io.FileIO
        The file. Its position moves.
    name : str
        The file in error messages.
    sure : bool
        Whether its first bytes say that it is a raw picture; else it may be any TIFF file.

    Returns
    -------
    Preview or None
        None for a TIFF file that is no raw picture.

    Raises
    ------
    MediaError
        If it is one, and has no such JPEG.
    """
    if _head(file).startswith(RAF):
        found = [place for place in [_raf_preview(file)] if place is not None]
        orientation = 1
    elif is_cr3(_head(file)):
        picture = Cr3(file)
        found, orientation = list(picture.jpegs()), _orientation(picture.exif)
    else:
        try:
            tiff = Tiff(file)
        except ValueError:  # BigTIFF, or no TIFF file at all
            tiff, found, orientation = None, [], 1
        if tiff is not None:
            images = list(tiff.images())
            if not sure and not _is_raw(tiff, images):
                return None
            found = [place for image in images for place in _places(tiff, image)]
            orientation = _orientation(tiff)
        elif not sure:
            return None
    sizes = {place: pixels for place in found if (pixels := _pixels(file, *place))}
    if not sizes:
        return _by_rawpy(file, name)
    offset, size = max(sizes, key=lambda place: sizes[place])
    file.seek(offset)
    return Preview(io.BytesIO(file.read(size) or b""), orientation)


def _head(file: io.FileIO) -> bytes:
    file.seek(0)
    return file.read(len(RAF)) or b""


def _orientation(tiff: Tiff | None) -> int:
    turned = tiff.numbers(tiff.first(), _ORIENTATION) if tiff is not None else ()
    return int(turned[0]) if turned and 1 <= turned[0] <= 8 else 1


def _raf_preview(file: io.FileIO) -> tuple[int, int] | None:
    file.seek(_RAF_PREVIEW)
    numbers = file.read(8) or b""
    return (int.from_bytes(numbers[:4], "big"), int.from_bytes(numbers[4:], "big")) if len(numbers) == 8 else None


def _is_raw(tiff: Tiff, images: list[Directory]) -> bool:
    """Return whether a TIFF file holds the data of a sensor."""
    if tiff.read(8, 2) == b"CR" or (images and _DNG_VERSION in images[0]):
        return True
    if not images or not tiff.text(images[0], _MAKE):
        return False
    fields = [(tiff.numbers(image, _PHOTOMETRIC), tiff.numbers(image, _COMPRESSION)) for image in images]
    return any((shown and shown[0] in _SENSOR) or (packed and packed[0] in _OF_CAMERAS) for shown, packed in fields)


def _places(tiff: Tiff, image: Directory) -> Iterator[tuple[int, int]]:
    """Yield the offsets and sizes of what may be a JPEG in an image of a TIFF file."""
    for first, second in ((_JPEG_OFFSET, _JPEG_SIZE), (_STRIP_OFFSETS, _STRIP_SIZES)):
        offsets, sizes = tiff.numbers(image, first), tiff.numbers(image, second)
        packed, shown = tiff.numbers(image, _COMPRESSION), tiff.numbers(image, _PHOTOMETRIC)
        is_strip = first == _STRIP_OFFSETS
        if is_strip and (not packed or packed[0] not in _JPEG or (shown and shown[0] in _SENSOR)):
            continue
        if len(offsets) == len(sizes) == 1:
            yield int(offsets[0]), int(sizes[0])
    entry = image.get(_PANASONIC_JPEG)
    if entry is not None and entry.size > 4:
        yield entry.offset, entry.size


def _pixels(file: io.FileIO, offset: int, size: int) -> int:
    """Return the number of pixels of the JPEG at an offset, 0 if there is none that decoders read (T.81, B.2.2)."""
    if not 4 <= size <= MAX_PREVIEW or offset > _MAX_OFFSET:
        return 0
    file.seek(offset)
    data = file.read(min(size, _HEAD)) or b""
    at = 2 if data.startswith(b"\xff\xd8") else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] in _FRAMES:
            return int.from_bytes(data[at + 5 : at + 7], "big") * int.from_bytes(data[at + 7 : at + 9], "big")
        if 0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC):
            return 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return 0


def _by_rawpy(file: io.FileIO, name: str) -> Preview:
    """Return the preview that rawpy finds."""
    try:
        rawpy: Any = importlib.import_module("rawpy")
    except ImportError as error:
        what = "a raw picture whose preview is found with rawpy alone"
        raise MediaError(f"{name}: {what}; run `pip install sightsound[raw]`, or convert it to PNG") from error
    try:
        file.seek(0)
        with rawpy.imread(file) as picture:
            thumb, turned = picture.extract_thumb(), _OF_FLIPS.get(picture.sizes.flip, 1)
            if thumb.format == rawpy.ThumbFormat.JPEG:
                return Preview(io.BytesIO(bytes(thumb.data)), turned)
            return Preview(_encoded(thumb.data), turned)
    except Exception as error:  # LibRaw's errors, of any damage
        what = f"a raw picture without a preview that can be read ({type(error).__name__})"
        raise MediaError(f"{name}: {what}; convert it to PNG, or leave it out") from error


def _encoded(pixels: Any) -> io.BytesIO:
    """Return pixels as a file without loss, so that they take the way of all images."""
    from PIL import Image

    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "PNG")
    made.seek(0)
    return made
