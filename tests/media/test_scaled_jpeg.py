"""JPEG decoded at a part of its size: judged by Pillow's own scaling, by the full size, and by the same faults."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from sightsound import MediaError
from sightsound.media import images, read_image
from sightsound.media.image_limits import DecodingMemory


def picture(height: int, width: int, mode: str = "RGB") -> Image.Image:
    """Smooth waves with some noise, so that a smaller picture is alike."""
    random = np.random.default_rng(height * width)
    down, across = np.mgrid[:height, :width].astype(np.float32)
    waves = [np.sin(down / (9 + 4 * i)) * np.cos(across / (13 + 3 * i)) for i in range(len(mode))]
    values = 128 + 90 * np.stack(waves, axis=2) + random.normal(0, 8, (height, width, len(mode)))
    bands = values.clip(0, 255).astype(np.uint8)
    return Image.merge(mode, [Image.fromarray(bands[..., i]) for i in range(len(mode))])


def saved(path: Path, image: Image.Image, format: str = "JPEG", orientation: int = 1, **options: object) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, format, exif=exif, **options)
    return path


def drafted(path: Path, divisor: int) -> np.ndarray:
    """What Pillow makes of a file at a part of its size, upright."""
    with Image.open(path) as image:
        image.draft(None, (image.width // divisor, image.height // divisor))
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize(
    ("height", "width", "shortest", "divisor"),
    [
        (256, 400, 32, 8),
        (255, 400, 32, 4),  # an eighth would have 31 whole pixels
        (400, 128, 32, 4),
        (127, 300, 32, 2),
        (64, 64, 32, 2),
        (63, 300, 32, 1),
        (20, 30, 32, 1),
        (256, 256, 1, 8),
    ],
)
def test_the_shorter_side_keeps_the_pixels_that_are_wanted(
    tmp_path: Path, height: int, width: int, shortest: int, divisor: int
) -> None:
    path = saved(tmp_path / "a.jpg", picture(height, width))
    found = read_image(path, shortest=shortest)
    assert found.pixels.shape == (-(-height // divisor), -(-width // divisor), 3)
    assert min(found.pixels.shape[:2]) >= min(shortest, height, width)
    np.testing.assert_array_equal(found.pixels, drafted(path, divisor))
    assert found.pixels.flags.c_contiguous and found.pixels.flags.writeable
    assert found.facts == read_image(path).facts


def test_the_scaled_picture_is_that_of_the_full_one(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", picture(512, 640), quality=92)
    full = Image.fromarray(read_image(path).pixels)
    for shortest, divisor in ((256, 2), (128, 4), (64, 8)):
        found = read_image(path, shortest=shortest).pixels.astype(float)
        expected = np.asarray(full.reduce(divisor), float)
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < 3  # of 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_and_facts_are_those_of_the_file(tmp_path: Path, orientation: int) -> None:
    path = saved(tmp_path / "a.jpg", picture(121, 203), orientation=orientation)
    found = read_image(path, shortest=30)
    np.testing.assert_array_equal(found.pixels, drafted(path, 4))
    assert found.pixels.shape[:2] == ((31, 51) if orientation < 5 else (51, 31))
    assert (found.facts["height"], found.facts["width"]) == ((121, 203) if orientation < 5 else (203, 121))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_grey_cmyk_and_progressive_files_are_scaled(tmp_path: Path, mode: str, progressive: bool) -> None:
    path = saved(tmp_path / "a.jpg", picture(200, 160, mode), progressive=progressive)
    found, full = read_image(path, shortest=20), read_image(path)
    np.testing.assert_array_equal(found.pixels, drafted(path, 8))
    assert found.pixels.shape == (25, 20, 3)
    assert found.facts == full.facts and found.facts["mode"] == mode
    reduced = np.asarray(Image.fromarray(full.pixels).reduce(8), float)
    assert np.abs(found.pixels - reduced).mean() < 6


def test_of_several_frames_the_first_is_scaled(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (80, 64), "red"), Image.new("RGB", (80, 64), "green")
    first.save(tmp_path / "a", "MPO", save_all=True, append_images=[second])
    found = read_image(tmp_path / "a", shortest=16)
    assert found.pixels.shape == (16, 20, 3)
    assert np.abs(found.pixels.astype(int) - [255, 0, 0]).max() <= 4
    assert found.facts == read_image(tmp_path / "a").facts and found.facts["frames"] == 2


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000", "ICO"])
def test_other_formats_are_decoded_as_always(tmp_path: Path, format: str) -> None:
    picture(200, 200).save(tmp_path / "a", format)
    found, full = read_image(tmp_path / "a", shortest=10), read_image(tmp_path / "a")
    np.testing.assert_array_equal(found.pixels, full.pixels)
    assert found.facts == full.facts


def test_a_tiff_of_jpeg_tiles_is_decoded_as_always(tmp_path: Path) -> None:
    picture(200, 200).save(tmp_path / "a.tif", "TIFF", compression="jpeg")
    assert read_image(tmp_path / "a.tif", shortest=10).pixels.shape == (200, 200, 3)


# -- faults ------------------------------------------------------------------------------------------------------------


def fault(path: Path, **options: object) -> str:
    try:
        read_image(path, **options)
    except MediaError as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("progressive", [False, True])
def test_what_is_cut_or_damaged_fails_as_at_the_full_size(tmp_path: Path, progressive: bool) -> None:
    """Cut in steps of the whole length, and with noise over a part of the data."""
    whole = saved(tmp_path / "a.jpg", picture(160, 160), progressive=progressive).read_bytes()
    path, failures = tmp_path / "b.jpg", 0
    for length in np.linspace(3, len(whole) - 2, 40).astype(int):
        path.write_bytes(whole[:length])
        expected = fault(path)
        assert fault(path, shortest=20) == expected
        failures += bool(expected)
    assert failures == 40
    random = np.random.default_rng(1)
    failures = 0
    for seed in range(40):
        damaged = bytearray(whole)
        for at in random.integers(2, len(whole), 1 + seed % 5):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        expected = fault(path)
        assert fault(path, shortest=20) == expected
        failures += bool(expected)
    assert 0 < failures < 40


def test_the_limit_counts_the_pixels_of_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", picture(160, 200))
    assert read_image(path, shortest=20, max_pixels=32_000).pixels.shape == (20, 25, 3)
    with pytest.raises(MediaError, match="200 x 160 pixels, at most 0.031999 megapixels are read"):
        read_image(path, shortest=20, max_pixels=31_999)


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    content = saved(tmp_path / "a.jpg", picture(160, 160), progressive=True).read_bytes()
    last = content[content.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(content[:-2] + last * 200 + content[-2:])
    with pytest.raises(MediaError, match=r"a JPEG of 2\d\d scans, at most 100 are read"):
        read_image(tmp_path / "a.jpg", shortest=20)


class Reservations(DecodingMemory):
    """Remembers the pixels that were asked for."""

    def __init__(self) -> None:
        super().__init__(10**9)
        self.pixels: list[int] = []

    def reserved(self, kind, pixels):
        self.pixels.append(pixels)
        return super().reserved(kind, pixels)


def with_own_scans(image: Image.Image) -> bytes:
    """A baseline JPEG whose components have scans of their own, of three grey files (ITU-T T.81, B.2)."""
    quality = {"quality": 90, "optimize": False}
    parts = []
    for band in image.split():
        opened = io.BytesIO()
        band.save(opened, "JPEG", **quality)
        parts.append(opened.getvalue())
    first = parts[0]
    frame, scan = first.index(b"\xff\xc0"), first.index(b"\xff\xda")
    header = bytearray(first[frame : frame + 10])
    header[2:4], header[9] = (8 + 3 * 3).to_bytes(2, "big"), 3
    ids = b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3))
    content = first[:frame] + bytes(header) + ids + first[frame + 13 : scan]
    for i, part in enumerate(parts, start=1):
        data = bytearray(part[part.index(b"\xff\xda") : -2])
        data[5] = i
        content += bytes(data)
    return content + b"\xff\xd9"


def test_the_memory_that_is_reserved_is_that_of_the_smaller_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libjpeg holds the coefficients of the whole image for several scans."""
    baseline = saved(tmp_path / "a.jpg", picture(160, 160))
    progressive = saved(tmp_path / "b.jpg", picture(160, 160), progressive=True)
    (tmp_path / "c.jpg").write_bytes(with_own_scans(picture(160, 160).convert("YCbCr")))
    assert np.abs(read_image(tmp_path / "c.jpg").pixels - np.asarray(picture(160, 160), float)).mean() < 6
    for path, expected in ((baseline, 400), (progressive, 25_600), (tmp_path / "c.jpg", 25_600)):
        memory = Reservations()
        monkeypatch.setattr(images, "_MEMORY", memory)
        assert read_image(path, shortest=20).pixels.shape == (20, 20, 3)
        assert read_image(path).pixels.shape == (160, 160, 3)
        assert memory.pixels == [expected, 25_600]
