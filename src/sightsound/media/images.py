"""Images by Pillow: any format, mode and orientation becomes uint8 RGB. No colour profile is applied."""

from __future__ import annotations

import importlib
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sightsound._memory import keep_memory
from sightsound.contract.errors import MediaError, NotMedia
from sightsound.contract.paths import PathLike, printable
from sightsound.media.image_limits import COUNT_FRAMES, DECODING_BYTES, MAX_SCANS, DecodingMemory, scan_sizes
from sightsound.media.kinds import HEAD_BYTES, Kind, kind_of
from sightsound.media.raw import find_preview
from sightsound.media.safe_open import error_line, open_file, read_head
from sightsound.media.scaled_jpeg import needs_all_memory, scale_down

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Pixels = NDArray[np.uint8]

MAX_PIXELS = 64_000_000
"""Larger images are refused before they are decoded: one of 169 megapixels takes 2 GiB in Pillow."""

STRIP_PIXELS = 2**18
"""Pixels that are converted at a time, so that there is only one whole copy of the image besides Pillow's own. So many
stay in the cache of a core on their way through Pillow's copies, which takes a third of the time of 2**22."""

LARGE = 2**23
"""Pixels from which on glibc would not keep the memory of an image for the next one by itself, see `keep_memory`."""

_MEMORY = DecodingMemory(DECODING_BYTES)


@dataclass(frozen=True)
class DecodedImage:
    """An image.

    Attributes
    ----------
    pixels : ndarray
        uint8 RGB (height, width, 3), C-contiguous, upright. A JPEG that was decoded at a part of its size is smaller
        than the facts say.
    facts : mapping
        Metadata: `format`, `width` and `height` (of the file, upright), `mode` (as stored, Pillow's name), `frames` (1
        if they cannot be counted, at most `MAX_FRAMES`).
    """

    pixels: Pixels
    facts: Mapping[str, Any]


def read_image(path: PathLike, *, max_pixels: int = MAX_PIXELS, shortest: int | None = None) -> DecodedImage:
    """Read the first frame of an image as uint8 RGB, upright.

    HEIC takes pillow-heif. Of a raw picture the largest JPEG in it is read, see `sightsound.media.raw`.

    Transparent pixels are blended with white. 16-bit grey is divided by 257 and rounded; of 16-bit colour Pillow
    returns the upper bytes. 32-bit and float grey have no standard range: see `_black_and_white`. CMYK is converted as
    by Pillow, without profiles. A damaged EXIF block means no rotation.

    Parameters
    ----------
    path : path-like
        An ordinary file.
    max_pixels : int
        Larger images are refused, by the size that the file states.
    shortest : int or None
        A JPEG is decoded at the smallest of a half, a quarter and an eighth of its size with which its shorter side
        keeps at least so many pixels, if there is one. None stands for the full size, which other formats always have.

    Returns
    -------
    DecodedImage
        The pixels and the metadata.

    Raises
    ------
    NotMedia
        If the file is not an image of a known kind.
    MediaError
        If the file cannot be opened, is damaged or cut off, is larger than `max_pixels`, or is a JPEG of more than
        `MAX_SCANS` scans.
    """
    with open_file(path) as file:
        kind = kind_of(read_head(file, printable(path), HEAD_BYTES))
        if kind is None or kind.modality != "image":
            what = f"{kind.name} is not an image" if kind else "not an image by its first bytes"
            next_step = "name an image" if kind and kind.modality == "sound" else "convert it to PNG"
            raise NotMedia(f"{printable(path)}: {what}; {next_step}, or leave it out")
        try:
            return _decode(file, kind, printable(path), max_pixels, shortest)
        except MediaError:
            raise
        except Exception as error:  # Pillow's plugins raise anything, from SyntaxError to struct.error
            bomb = type(error).__name__.startswith("DecompressionBomb")
            what = (
                f"cannot read image ({kind.name}), {'far too many pixels' if bomb else error_line(error).rstrip('.')}"
            )
            raise MediaError(f"{printable(path)}: {what}; save it anew, or leave it out") from error


def can_decode(file: io.FileIO, kind: Kind) -> bool:
    """Return whether Pillow finds a valid header in the file."""
    try:
        _icon_size(file) if kind.name == "ICO" else _open(file, kind)
    except Exception:  # Pillow's plugins raise anything
        return False
    return True


def _decode(file: io.FileIO, kind: Kind, name: str, max_pixels: int, shortest: int | None) -> DecodedImage:
    """Decode an image; of a raw picture the preview."""
    preview = find_preview(file, name, sure=kind.name == "raw") if kind.name in ("TIFF", "raw") else None
    if preview is None:
        return _decode_file(file, kind, name, max_pixels, shortest)
    inner = kind_of(preview.file.getvalue()[:HEAD_BYTES])
    if inner is None or inner.name not in ("JPEG", "PNG"):
        raise MediaError(f"{name}: a raw picture with a damaged preview; convert it to PNG, or leave it out")
    image = _decode_file(preview.file, inner, name, max_pixels, shortest, preview.orientation)
    return DecodedImage(image.pixels, {**image.facts, "format": "raw"})


def _decode_file(
    file: io.FileIO | io.BytesIO,
    kind: Kind,
    name: str,
    max_pixels: int,
    shortest: int | None,
    turned: int = 1,
) -> DecodedImage:
    """Decode an image; `turned` is the orientation where it has none."""
    scans = scan_sizes(_buffered(file)) if kind.name == "JPEG" else []
    _check_scans(len(scans), name)
    image = None if kind.name == "ICO" else _open(file, kind, name)  # an icon is decoded by Pillow when it is opened
    size = _icon_size(file) if image is None else image.size
    _check_size(size, name, max_pixels)
    if size[0] * size[1] >= LARGE:
        keep_memory()
    held = size
    if image is not None and kind.name == "JPEG" and shortest is not None:
        scale_down(image, shortest)
        held = size if needs_all_memory(image, scans) else image.size
    scaled = image is not None and image.size != size
    with _MEMORY.reserved(kind.name, held[0] * held[1]):
        image = image or _open(file, kind, name)
        key, mode = _transparent_colour(image), image.mode
        image.load()
        _check_size(image.size, name, max_pixels)  # again, whatever a decoder made of the header
        orientation = _orientation(image, turned)
        pixels = _upright(_rgb(image, key), orientation)
    height, width, _ = pixels.shape
    if scaled:
        width, height = size if orientation < 5 else size[::-1]
    frames = _frames(file, image)
    facts = {"format": image.format, "width": width, "height": height, "mode": mode, "frames": frames}
    return DecodedImage(pixels, facts)


def _check_scans(count: int, name: str) -> None:
    if count > MAX_SCANS:
        what = f"a JPEG of {count} scans, at most {MAX_SCANS} are read"
        raise MediaError(f"{name}: {what}; save it anew, or leave it out")


def _icon_size(file: io.FileIO | io.BytesIO) -> tuple[int, int]:
    """Return the size of the image in an icon, which may be larger than the directory of the icon says."""
    from PIL import BmpImagePlugin, IcoImagePlugin, PngImagePlugin

    file.seek(0)
    buffered = _buffered(file)
    offset = IcoImagePlugin.IcoFile(buffered).entry[0].offset  # the largest, which Pillow reads
    buffered.seek(offset)
    is_png = buffered.read(8) == b"\x89PNG\r\n\x1a\n"
    buffered.seek(offset)
    if is_png:
        return PngImagePlugin.PngImageFile(buffered).size
    width, height = BmpImagePlugin.DibImageFile(buffered).size
    return width, height // 2  # colours and mask, one above the other


def _open(file: io.FileIO | io.BytesIO, kind: Kind, name: str = "") -> ImageFile:
    """Return Pillow's image with only the header read.

    The plugin is chosen by name. `Image.open` would try all plugins; it would also warn above 89 megapixels and fail
    above 179, by settings that are global to the process. Our own limit is checked right after this.
    """
    from PIL import (  # noqa: F401 - each registers itself
        AvifImagePlugin,
        BmpImagePlugin,
        GifImagePlugin,
        IcoImagePlugin,
        Image,
        Jpeg2KImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        PpmImagePlugin,
        QoiImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    file.seek(0)
    buffered = _buffered(file)
    if kind.name == "HEIC":
        opened: ImageFile = _heif_plugin(name)(buffered, "")
        return opened
    factory, accept = Image.OPEN[kind.name]
    answer = accept(buffered.peek(16)[:16]) if accept else True
    if not answer or isinstance(answer, str):
        raise OSError(answer or "not recognised by Pillow")
    return factory(buffered, "")


def _heif_plugin(name: str) -> Any:
    """Return the plugin of pillow-heif, which turns an image upright by itself."""
    try:
        return importlib.import_module("pillow_heif").HeifImageFile
    except ImportError as error:
        what = "HEIC is read with pillow-heif; run `pip install sightsound[heic]`, or convert it to PNG"
        raise MediaError(f"{name}: {what}") from error


def _buffered(file: io.FileIO | io.BytesIO) -> io.BufferedReader:
    """Return a buffered reader that does not close the file."""
    if isinstance(file, io.BytesIO):
        return io.BufferedReader(io.BytesIO(file.getvalue()))
    return io.BufferedReader(_Borrowed(file.fileno(), closefd=False))


class _Borrowed(io.FileIO):
    """A file whose descriptor is closed elsewhere."""


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        what = f"{width} x {height} pixels, at most {max_pixels / 1e6:g} megapixels are read"
        raise MediaError(f"{name}: {what}; make it smaller, or leave it out")


def _rgb(image: Image, key: tuple[int, ...] | None) -> Pixels:
    """Return uint8 (h, w, 3) for an image of any mode; a large one is converted strip by strip."""
    white = _black_and_white(image) if image.mode in ("I", "F") else (0.0, 65535.0)
    if image.width * image.height <= STRIP_PIXELS:
        return _strip(image, key, white)
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    top = 0
    for strip in _strips(image):
        pixels[top : top + strip.height] = _strip(strip, key, white)
        top += strip.height
    return pixels


def _strips(image: Image) -> Iterator[Image]:
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def _strip(strip: Image, key: tuple[int, ...] | None, white: tuple[float, float]) -> Pixels:
    if strip.mode.startswith("I") or strip.mode == "F":
        values = np.asarray(strip)
        grey = _grey(values, white)
        if key:
            grey[values == key[0]] = 255
        return np.broadcast_to(grey[..., None], (*grey.shape, 3))
    if key:
        pixels = np.array(strip.convert("RGB"))
        pixels[(pixels == key).all(axis=2)] = 255
        return pixels
    if strip.has_transparency_data:
        return _on_white(strip.convert("RGBA"))
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def _on_white(strip: Image) -> Pixels:
    from PIL import Image

    ground = Image.new("RGB", strip.size, "white")
    ground.paste(strip, mask=strip)
    return np.asarray(ground)


def _grey(values: NDArray[Any], white: tuple[float, float]) -> Pixels:
    """Return 0 to 255, rounded, for values in the range (black, white); NaN becomes black."""
    black, top = white
    if values.dtype.kind == "u":  # 16 bit, in integers: / 257
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    scaled = (values.astype(np.float64) - black) * 255 / (top - black)
    grey: Pixels = np.rint(np.nan_to_num(scaled, nan=0, posinf=255, neginf=0).clip(0, 255)).astype(np.uint8)
    return grey


def _black_and_white(image: Image) -> tuple[float, float]:
    """Return the values of black and white for 32-bit integers and floats, which have no standard range.

    Black is 0 and white the first of 1 (floats only), 255 (floats only) and 65535 that no value exceeds. If a value is
    larger or negative, black and white are the smallest and largest finite value.
    """
    low, high = math.inf, -math.inf
    for strip in _strips(image):
        values = np.asarray(strip).astype(np.float64)
        finite = values[np.isfinite(values)]
        low, high = min(low, finite.min(initial=low)), max(high, finite.max(initial=high))
    for top in (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,):
        if low >= 0 and high <= top:
            return 0.0, top
    return float(low), float(high if high > low else low + 1)


def _transparent_colour(image: ImageFile) -> tuple[int, ...] | None:
    """Return the colour of a PNG (tRNS) that means transparent, on the scale of the decoded values, or None.

    It must be asked before decoding. The file states it at its own bit depth, which Pillow does not convert. 16-bit
    colours are compared by their upper bytes, which is all that Pillow keeps.
    """
    key = image.info.get("transparency")
    if image.format != "PNG" or image.mode in ("P", "PA") or isinstance(key, bytes) or key is None:
        return None
    raw = image.tile[0].args if image.tile else ""
    if isinstance(key, tuple):
        return tuple(value >> 8 for value in key) if raw == "RGB;16B" else key
    if image.mode.startswith("I"):
        return (key,)
    return (key * {"1": 255, "L;2": 85, "L;4": 17}.get(str(raw), 1),) * 3


def _orientation(image: Image, otherwise: int) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if the block is damaged, and `otherwise` if it says nothing.

    It must be asked after decoding: a PNG may have it after the pixels, and Pillow rotates a TIFF by itself.
    """
    try:
        value = image.getexif().get(0x0112, otherwise)
    except Exception:  # a damaged EXIF block raises anything
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the orientation (EXIF 2.32, tag 0x0112: the positions of row 0 and column 0)."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.require(pixels, requirements=["C", "W"])


def _frames(file: io.FileIO | io.BytesIO, image: ImageFile) -> int:
    """Return the number of frames; counting moves the position in the file."""
    try:
        if count := COUNT_FRAMES.get(image.format or ""):
            return count(_buffered(file))
        return int(getattr(image, "n_frames", 1))
    except Exception:  # a later frame is damaged; only the first is used
        return 1
