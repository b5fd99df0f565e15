"""Small valid files of every format that can be written here, and a folder with damaged ones."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from PIL import Image

from attack.damage import CONTROL, damaged
from attack.forks import Forks
from attack.odd_media import odd_file, odd_image, odd_sound
from sightsound import check

IMAGES = {
    **{"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tif": "TIFF", "jp2": "JPEG2000"},
    **{"ico": "ICO", "icns": "ICNS", "ppm": "PPM", "pcx": "PCX", "sgi": "SGI", "dds": "DDS", "qoi": "QOI"},
    **{"avif": "AVIF", "mpo": "MPO"},
}
"""Pillow's formats by suffix."""
MEMORY = 1_500_000_000
"""How many bytes `index` may use, beyond those of a process that has imported the package."""
MODES = ("RGB", "L", "P", "RGBA", "I;16", "CMYK", "1")


def write_every_kind(folder: Path) -> list[Path]:
    """Write a file in each format, image mode and sample type that the libraries here can write; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_images(folder)
    _write_sounds(folder)
    return sorted(folder.iterdir())


def _write_images(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    for suffix, format_ in IMAGES.items():
        for mode in MODES:
            image = Image.fromarray(pixels)
            image = Image.fromarray(pixels[..., 0].astype(np.uint16)) if mode == "I;16" else image.convert(mode)
            file = folder / f"{mode.replace(';', '')}.{suffix}"
            try:
                image.save(file, format_)
            except (OSError, ValueError, KeyError, SystemError):  # this format has no such mode
                file.unlink(missing_ok=True)
    Image.fromarray(pixels).save(folder / "progressive.jpg", progressive=True)
    Image.fromarray(pixels).save(folder / "deflate.tif", compression="tiff_deflate")
    frames = [Image.fromarray(np.roll(pixels, i, 0)) for i in range(3)]
    frames[0].save(folder / "frames.gif", save_all=True, append_images=frames[1:])


def _write_sounds(folder: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (800, 2))
    for format_ in soundfile.available_formats():
        if format_ in ("RAW", "MAT4", "MAT5", "SD2"):
            continue  # not recognised by their first bytes, or of two files
        for subtype in soundfile.available_subtypes(format_):
            for channels in (1, 2):
                file = folder / f"{subtype}{channels}.{format_.lower()}"
                with contextlib.suppress(soundfile.SoundFileError, TypeError):
                    soundfile.write(file, samples[:, :channels], 8000, subtype, format=format_)
                if file.exists() and not file.stat().st_size:
                    file.unlink()


class MediaGround:
    """Valid media files, and a folder with damaged or odd ones which are indexed at once."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.forks, self.case, self.valid = forks, folder / "case", folder / "valid"
        self.files = write_every_kind(self.valid)

    def attack(self, seed: int, count: int = 40) -> None:
        """Index damaged files; assert that each has an outcome and that the library is sound."""

        def write(file: Path, random: Random) -> None:
            whole = random.choice(self.files)
            file.with_name(f"{file.name}-{whole.name}").write_bytes(damaged(whole.read_bytes(), random))

        self.index(seed, count, write)

    def odd(self, seed: int, count: int = 40) -> None:
        """The same with odd sounds, and images that claim odd sizes."""
        self.index(seed, count, lambda file, random: random.choice([odd_sound, odd_image])(file, random))

    def odd_names(self, seed: int, count: int = 40) -> None:
        """The same with files of odd names, kinds and times; `embed` and `tag` read them too."""
        self.index(seed, count, odd_file, every_file=False)
        for words in (("embed", "-m", "colours.tiny", "-o", self.case / "out.npz"), ("tag", "-m", "loudness.tiny")):
            ran = self.forks.run([words[0], self.case / "media", *words[1:]], memory=MEMORY)
            told = f"odd names {seed}: {words[0]}: exit code {ran.code}\n{ran.text!a}"
            assert ran.code in (0, 1, 2) and "Traceback" not in ran.text and not CONTROL.search(ran.text), told

    def index(self, seed: int, count: int, write: Callable[[Path, Random], None], every_file: bool = True) -> None:
        """Index `count` files, with two or eight threads, with or without tags."""
        random = Random(f"media {seed}")
        subprocess.run(["rm", "-rf", self.case], check=True)
        (self.case / "media").mkdir(parents=True)
        for number in range(count):
            write(self.case / "media" / str(number), random)
        models = ("-m", "colours.tiny", "-m", "loudness.tiny", *random.choice([(), ("--no-scores",)]))
        words = ("index", self.case / "media", "-l", self.case / "lib", *models, "--json")
        threads = {"SIGHTSOUND_THREADS": random.choice(["2", "8"])}
        ran = self.forks.run(words, seconds=60, memory=MEMORY, environment=threads)
        told = f"media {seed}: exit code {ran.code}, {ran.seconds:.1f} s\n{ran.text!a}"
        assert ran.code in (0, 1) and "Traceback" not in ran.text and not CONTROL.search(ran.text), told
        counts = json.loads(ran.text[ran.text.index("{\n") :])["counts"]
        assert sum(counts.values()) >= (count if every_file else 1), told
        assert check(self.case / "lib") == [], told
