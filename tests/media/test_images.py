"""Every kind of picture becomes upright uint8 RGB; judged by hand-written PNGs, by arithmetic, and by Pillow."""

import io
import os
import platform
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from sightsound import MediaError, media
from sightsound.media import image_limits, images, read_image
from sightsound.media.image_limits import DecodingMemory

RANDOM = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, np.uint8)


def saved(path: Path, image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> Path:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, format, **options)
    return path


def read(path: Path, image: Image.Image | np.ndarray, format: str = "PNG", **options: object) -> np.ndarray:
    return read_image(saved(path, image, format, **options)).pixels


def png(path: Path, rows: list[bytes], width: int, depth: int, colour: int, *chunks: tuple[bytes, bytes]) -> Path:
    """A PNG by hand (PNG specification, third edition): `colour` 0 is grey, 2 RGB, 3 palette."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    content = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "I;16"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_pixels_are_writable_contiguous_uint8_rgb(tmp_path: Path, mode: str, orientation: int) -> None:
    image = Image.fromarray(noise(5, 7, 3)).convert("L" if mode == "I;16" else mode).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = read(tmp_path / "a.png", image, exif=exif)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous and pixels.flags.writeable
    assert pixels.shape == ((5, 7, 3) if orientation == 1 else (7, 5, 3))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_once(tmp_path: Path, format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a", noise(20, 30, 3), format, exif=exif)
    picture = read_image(path)
    np.testing.assert_array_equal(picture.pixels, ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert (picture.facts["height"], picture.facts["width"]) == ((20, 30) if orientation < 5 else (30, 20))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0garbage", b"Exif\0\0"])
def test_a_damaged_exif_block_means_no_rotation(tmp_path: Path, exif: bytes) -> None:
    pixels = noise(20, 30, 3)
    np.testing.assert_array_equal(
        read(tmp_path / "a.jpg", pixels, "JPEG", exif=exif), read(tmp_path / "b.jpg", pixels, "JPEG")
    )


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_means_no_rotation(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise(20, 30, 3)
    np.testing.assert_array_equal(read(tmp_path / "a.png", pixels, exif=exif), pixels)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    pixels = noise(40, 40, 4)
    colour, alpha = pixels[..., :3].astype(float), pixels[..., 3:] / 255
    expected = colour * alpha + 255 * (1 - alpha)
    assert np.abs(read(tmp_path / "a.png", pixels) - expected).max() <= 0.51
    assert np.abs(read(tmp_path / "a.webp", pixels, "WEBP", lossless=True, exact=True) - expected).max() <= 0.51


def test_grey_with_alpha_is_laid_on_white(tmp_path: Path) -> None:
    pixels = noise(40, 40, 2)
    grey, alpha = pixels[..., :1].astype(float), pixels[..., 1:] / 255
    image = Image.merge("LA", [Image.fromarray(pixels[..., 0]), Image.fromarray(pixels[..., 1])])
    expected = np.repeat(grey * alpha + 255 * (1 - alpha), 3, axis=2)
    assert np.abs(read(tmp_path / "a.png", image) - expected).max() <= 0.51


def test_a_palette_is_resolved_and_its_transparency_laid_on_white(tmp_path: Path) -> None:
    palette = (b"PLTE", bytes([10, 20, 30, 40, 50, 60, 70, 80, 90]))
    plain = png(tmp_path / "a.png", [bytes([0, 1, 2])], 3, 8, 3, palette)
    assert read_image(plain).pixels.tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]
    clear = png(tmp_path / "b.png", [bytes([0, 1, 2])], 3, 8, 3, palette, (b"tRNS", bytes([0, 51])))
    assert read_image(clear).pixels.tolist() == [[[255, 255, 255], [212, 214, 216], [70, 80, 90]]]


def test_a_transparent_colour_of_a_gif_becomes_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert read(tmp_path / "a.gif", image, "GIF", transparency=1).tolist() == [[[10, 20, 30], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("depth", "row", "key", "expected"),
    [
        (1, b"\x40", 0, [255, 255]),
        (1, b"\x40", 1, [0, 255]),
        (2, b"\x60", 1, [255, 170]),
        (4, b"\x3f", 3, [255, 255]),
        (4, b"\x34", 3, [255, 68]),
        (8, b"\x33\x34", 0x33, [255, 0x34]),
        (16, b"\x01\x01\x01\x02", 0x0101, [255, 1]),
        (16, b"\x80\x00\xff\xff", 0x0101, [128, 255]),
    ],
)
def test_a_transparent_grey_of_a_png_becomes_white_at_any_depth(
    tmp_path: Path, depth: int, row: bytes, key: int, expected: list[int]
) -> None:
    path = png(tmp_path / "a.png", [row], 2, depth, 0, (b"tRNS", struct.pack(">H", key)))
    assert read_image(path).pixels[0, :, 1].tolist() == expected


def test_a_transparent_colour_of_a_png_becomes_white(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", [bytes([1, 2, 3, 1, 2, 4])], 2, 8, 2, (b"tRNS", bytes([0, 1, 0, 2, 0, 3])))
    assert read_image(path).pixels.tolist() == [[[255, 255, 255], [1, 2, 4]]]
    deep = bytes([1, 9, 2, 9, 3, 9, 1, 9, 2, 9, 4, 9])
    path = png(tmp_path / "b.png", [deep], 2, 16, 2, (b"tRNS", bytes([1, 9, 2, 9, 3, 9])))
    assert read_image(path).pixels.tolist() == [[[255, 255, 255], [1, 2, 4]]]


def test_16_bit_grey_is_divided_by_257_and_rounded(tmp_path: Path) -> None:
    values = np.arange(65536).reshape(256, 256)
    expected = np.rint(values / 257).astype(np.uint8)
    little, big = values.astype("<u2"), values.astype(">u2")
    for image, format in ((little, "PNG"), (little, "TIFF"), (little, "JPEG2000")):
        np.testing.assert_array_equal(read(tmp_path / "a", image, format)[..., 2], expected)
    image = Image.frombytes("I;16B", (256, 256), big.tobytes())
    np.testing.assert_array_equal(read(tmp_path / "b", image, "TIFF")[..., 0], expected)
    (tmp_path / "c.pgm").write_bytes(b"P5 256 256 65535\n" + big.tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "c.pgm").pixels[..., 0], expected)


def test_16_bit_colour_keeps_its_upper_bytes(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", [bytes([1, 255, 200, 0, 255, 255])], 1, 16, 2)
    assert read_image(path).pixels.tolist() == [[[1, 200, 255]]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 257, 65535], [0, 1, 255]),
        ([0, 1, 255], [0, 0, 1]),
        ([-100, 0, 100], [0, 128, 255]),
        ([0, 65536, 131072], [0, 128, 255]),
        ([7, 7, 7], [0, 0, 0]),
    ],
)
def test_32_bit_grey_is_taken_for_16_bit_or_stretched(tmp_path: Path, values: list[int], expected: list[int]) -> None:
    pixels = read(tmp_path / "a.tif", np.array([values], np.int32), "TIFF")
    assert pixels[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 0.2, 200], [0, 0, 200]),
        ([0, 257, 60000], [0, 1, 233]),
        ([-1, 0, 1], [0, 128, 255]),
        ([0, 1e6, 5e5], [0, 255, 128]),
        ([np.nan, 0.5, np.inf], [0, 128, 255]),
        ([-5, -5, -5], [0, 0, 0]),
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
    ],
)
def test_float_grey_is_scaled_from_1_255_or_65535_or_stretched(
    tmp_path: Path, values: list[float], expected: list[int]
) -> None:
    assert read(tmp_path / "a.tif", np.array([values], np.float32), "TIFF")[0, :, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_bilevel_have_three_equal_channels(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(9, 9)).convert(mode)
    expected = np.asarray(image).astype(np.uint8) * (255 if mode == "1" else 1)
    pixels = read(tmp_path / "a.png", image)
    assert all(np.array_equal(pixels[..., channel], expected) for channel in range(3))


def test_cmyk_is_converted_as_pillow_does_it(tmp_path: Path) -> None:
    for format in ("JPEG", "TIFF"):
        path = saved(tmp_path / "a", Image.merge("CMYK", [Image.fromarray(noise(16, 16)) for _ in "CMYK"]), format)
        picture = read_image(path)
        np.testing.assert_array_equal(picture.pixels, Image.open(path).convert("RGB"))
        assert picture.facts["mode"] == "CMYK"


def test_no_colour_profile_is_applied(tmp_path: Path) -> None:
    pixels, profile = noise(16, 16, 3), ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    np.testing.assert_array_equal(read(tmp_path / "a.png", pixels, icc_profile=profile), pixels)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "WEBP", "PNG", "MPO"])
def test_of_several_frames_the_first_is_read_and_all_are_counted(tmp_path: Path, format: str) -> None:
    first, *others = (Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue"))
    path = saved(tmp_path / "a", first, format, save_all=True, append_images=others)
    picture = read_image(path)
    assert np.abs(picture.pixels.astype(int) - [255, 0, 0]).max() <= 4
    assert picture.facts == {
        "format": format,
        "width": 8,
        "height": 8,
        "mode": "P" if format == "GIF" else "RGB",
        "frames": 3,
    }


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM", "ICO"])
def test_an_image_that_is_cut_off_fails(tmp_path: Path, format: str) -> None:
    path = saved(tmp_path / "a", noise(64, 64, 3), format)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(MediaError, match=rf"a: cannot read image \({format}\), .*; save it anew, or leave it out"):
        read_image(path)


def test_a_bomb_is_refused_by_its_header_without_a_warning(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", [b""], 10_000, 8, 2)
    content = bytearray(path.read_bytes())
    content[20:24] = struct.pack(">I", 10_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MediaError) as caught:
            read_image(path)
    what = "10000 x 10000 pixels, at most 64 megapixels are read; make it smaller, or leave it out"
    assert str(caught.value) == f"{path}: {what}"
    with pytest.raises(MediaError, match="truncated"):  # larger than Pillow's own limit, where it is allowed
        read_image(path, max_pixels=10**8)


def test_a_bomb_by_the_extents_of_a_gif_frame_is_refused(tmp_path: Path) -> None:
    for side in (9000, 60000):
        screen = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0x80, 0, 0) + bytes(6)
        frame = b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00;"
        (tmp_path / "a.gif").write_bytes(screen + frame)
        with pytest.raises(MediaError, match=r"at most 64 megapixels|far too many pixels"):
            read_image(tmp_path / "a.gif")


def test_a_bomb_inside_an_icon_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("1", (9000, 9000)).save(buffer, "PNG")
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(buffer.getvalue()), 22)
    (tmp_path / "a.ico").write_bytes(b"\0\0\1\0\1\0" + entry + buffer.getvalue())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MediaError, match="9000 x 9000 pixels, at most 64 megapixels"):
            read_image(tmp_path / "a.ico")


def test_max_pixels_is_the_last_that_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", noise(10, 10, 3))
    assert read_image(path, max_pixels=100).pixels.shape == (10, 10, 3)
    with pytest.raises(MediaError, match="10 x 10 pixels"):
        read_image(path, max_pixels=99)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16", "F"])
def test_strips_change_nothing(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(noise(33, 21, 4)).convert("L" if mode == "I;16" else mode).convert(mode)
    path = saved(tmp_path / "a", image, "TIFF" if mode == "F" else "PNG")
    whole = read_image(path).pixels
    monkeypatch.setattr(images, "STRIP_PIXELS", 50)
    np.testing.assert_array_equal(read_image(path).pixels, whole)


def test_many_threads_read_in_a_fresh_process_what_one_reads(tmp_path: Path) -> None:
    code = """
import hashlib, sys
from concurrent.futures import ThreadPoolExecutor
from sightsound.media import read_image
def digest(path): return hashlib.sha256(read_image(path).pixels).hexdigest()
with ThreadPoolExecutor(16) as pool: print(*pool.map(digest, sys.argv[1:] * 20))
"""
    formats = ("WEBP", "AVIF", "TIFF", "JPEG2000", "PNG", "JPEG", "GIF", "ICO")
    paths = [str(saved(tmp_path / f"a.{format}", noise(64, 64, 3), format)) for format in formats]
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *paths], capture_output=True, text=True, check=True
    )
    digests = run.stdout.split()
    assert len(digests) == 160 and digests == digests[:8] * 20


def test_threads_do_not_mix_images(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{n}.png", np.full((40, 40, 3), n, np.uint8)) for n in range(50)]
    with ThreadPoolExecutor(8) as pool:
        for n, picture in enumerate(pool.map(read_image, paths)):
            assert (picture.pixels == n).all()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_largest_image_takes_less_than_a_gibibyte(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.png", Image.new("RGBA", (8000, 8000), (9, 8, 7, 100)), compress_level=1, exif=exif)
    code = """
import sys
from sightsound.media import read_image
print(read_image(sys.argv[1]).pixels.shape)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    run = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    shape, kibibytes = run.stdout.splitlines()
    assert shape == "(8000, 8000, 3)"
    assert int(kibibytes) < 2**20  # measured: 0.63 GiB


# -- what a small file may cost ------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
def test_a_bomb_inside_an_icon_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    load = PngImagePlugin.PngImageFile.load

    def counted(self):
        loaded.append(self.size)
        return load(self)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", counted)
    hidden = saved(tmp_path / "hidden.png", Image.new("L", (400, 300))).read_bytes()
    icon = tmp_path / "icon.ico"
    icon.write_bytes(struct.pack("<HHHBBBBHHII", 0, 1, 1, 32, 32, 0, 0, 1, 32, len(hidden), 22) + hidden)
    loaded.clear()
    assert read_image(icon).pixels.shape == (300, 400, 3) and loaded
    loaded.clear()
    assert media.identify(icon) == "image"
    with pytest.raises(MediaError, match="400 x 300 pixels, at most"):
        read_image(icon, max_pixels=10_000)
    assert loaded == []


def test_images_that_together_exceed_the_memory_are_decoded_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [saved(tmp_path / f"{i}.webp", noise(40, 50, 3), "WEBP", lossless=True) for i in range(8)]
    under_way, most, lock, decode = [0], [0], threading.Lock(), images._rgb

    def counted(image, key):
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.005)
        found = decode(image, key)
        with lock:
            under_way[0] -= 1
        return found

    monkeypatch.setattr(images, "_rgb", counted)
    for room, expected in ((1, 1), (2 * 40 * 50 * 20, 2)):
        monkeypatch.setattr(images, "_MEMORY", DecodingMemory(room))
        most[0] = 0
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda file: read_image(file).pixels, files))
        assert 1 <= most[0] <= expected
        assert all(np.array_equal(a, np.asarray(Image.open(file))) for a, file in zip(found, files))


def test_memory_is_given_back_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MEMORY", DecodingMemory(1))
    good = saved(tmp_path / "good.png", noise(9, 9, 3))
    cut = tmp_path / "cut.png"
    cut.write_bytes(good.read_bytes()[:100])
    for _ in range(2):
        with pytest.raises(MediaError):
            read_image(cut)
        assert read_image(good).pixels.shape == (9, 9, 3)


def with_scans(path: Path, more: int, **options: object) -> Path:
    """A JPEG whose last scan is there `more` times more."""
    content = saved(path, np.full((64, 64, 3), 90, np.uint8), "JPEG", **options).read_bytes()
    last = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + last * more + content[-2:])
    return path


def test_a_jpeg_of_very_many_scans_is_refused(tmp_path: Path) -> None:
    """Each takes as long as the whole image, in a hundred bytes."""
    few = with_scans(tmp_path / "few.jpg", 80, progressive=True)
    assert read_image(few).pixels.shape == (64, 64, 3)
    many = with_scans(tmp_path / "many.jpg", 20_000, progressive=True)
    with pytest.raises(MediaError, match=r"many\.jpg: a JPEG of 200\d\d scans, at most 100 are read; save it anew"):
        read_image(many)


def test_scans_are_counted_across_the_pieces_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    start = b"\xff\xda\x00\x08\x01"
    content = (b"x" * 11 + start) * 50 + b"\xff\xda\x00\x09\x01"
    for size in (5, 6, 7, 16, 1000):
        monkeypatch.setattr(image_limits, "_CHUNK", size)
        assert image_limits.scan_sizes(io.BytesIO(content)) == [1] * 50


def test_frames_are_counted_up_to_a_limit(tmp_path: Path) -> None:
    """Pillow takes seconds for a million frames, which a file of 15 MB may have."""
    head = b"GIF89a\1\0\1\0\x80\0\0" + bytes(6)
    frame = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    for count, expected in ((1, 1), (3, 3), (30_000, 10_000)):
        (tmp_path / "a.gif").write_bytes(head + frame * count + b";")
        assert read_image(tmp_path / "a.gif").facts["frames"] == expected
    page = saved(tmp_path / "a.tif", noise(4, 4, 3), "TIFF").read_bytes()
    ends = struct.unpack_from("<I", page, 4)[0]
    ends += 2 + 12 * struct.unpack_from("<H", page, ends)[0]
    for count, expected in ((0, 1), (3, 4), (30_000, 10_000)):
        start = len(page) + len(page) % 2
        chain = b"".join(struct.pack("<HI", 0, start + 6 * (i + 1) if i < count - 1 else 0) for i in range(count))
        first = struct.pack("<I", start if count else 0)
        (tmp_path / "a.tif").write_bytes((page[:ends] + first + page[ends + 4 :]).ljust(start, b"\0") + chain)
        assert read_image(tmp_path / "a.tif").facts["frames"] == expected


@pytest.mark.parametrize("options", [{"format": "GIF"}, {"format": "TIFF"}, {"format": "TIFF", "big_tiff": True}])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_frames_are_counted_as_pillow_counts_them(tmp_path: Path, options: dict[str, object], count: int) -> None:
    frames = [Image.fromarray(noise(8, 9, 3)) for _ in range(count)]
    frames[0].save(tmp_path / "many", save_all=True, append_images=frames[1:], **options)
    with Image.open(tmp_path / "many") as image:
        assert read_image(tmp_path / "many").facts["frames"] == image.n_frames == count


def test_a_tiff_whose_pages_go_in_circles_ends(tmp_path: Path) -> None:
    page = bytearray(saved(tmp_path / "a.tif", noise(4, 4, 3), "TIFF").read_bytes())
    start = struct.unpack_from("<I", page, 4)[0]
    struct.pack_into("<I", page, start + 2 + 12 * struct.unpack_from("<H", page, start)[0], start)
    (tmp_path / "a.tif").write_bytes(page)
    assert read_image(tmp_path / "a.tif").facts["frames"] == 1


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_images_use_the_memory_of_those_before(tmp_path: Path) -> None:
    """Without that each takes thousands of new pages, and the system fills them with zeros. The user may forbid it."""
    path = saved(tmp_path / "a.jpg", Image.new("RGB", (4000, 3000), "grey"), "JPEG")
    code = """
import resource, sys
from sightsound.media import read_image
for _ in range(2):
    read_image(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    read_image(sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 3)
"""
    pages = {}
    for forbidden in (False, True):
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
        env |= {"GLIBC_TUNABLES": ""} if forbidden else {}
        run = subprocess.run([sys.executable, "-c", code, path], env=env, capture_output=True, text=True, check=True)
        pages[forbidden] = int(run.stdout)
    assert pages[False] < 500 and pages[True] > 5000, "of 4 KiB; the pixels take 8,790"
