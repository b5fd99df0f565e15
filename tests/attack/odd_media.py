"""Sounds and images that claim what they are not, and files of odd names, kinds and times."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import zlib
from pathlib import Path
from random import Random

import numpy as np
import soundfile
from PIL import Image

from made import write_image

RATES = (1, 999, 1000, 8000, 44_100, 768_000, 768_001, 2**31 - 1)
SOUNDS = (("WAV", "FLOAT"), ("WAV", "PCM_16"), ("AIFF", "DOUBLE"), ("AU", "FLOAT"), ("CAF", "FLOAT"))
CLAIMS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\1\0\0\0")
SIZES = (0, 1, 24, 8000, 65_535, 65_536, 2**31 - 1, 2**32 - 1)
IMAGES = ("GIF", "BMP", "WEBP", "TIFF", "JPEG", "JPEG2000", "ICO", "PPM")
PIECES = (
    *(
        "a",
        "-x",
        "--help",
        "~",
        "$HOME",
        "%s",
        "a\nb",
        "\x1b[31m",
        "\udcff",
        "\u202e",
        " ",
        "'",
        '"',
        "é",
        "\U0001f600",
    ),
    *("CON", "*", "a;b", ".", "a\tb", "x" * 30),
)
"""Of these are the names of files."""
TIMES = (-(10**9), 0, 9_214_646_400, 2**40)
"""In seconds since 1970; the third is in the year 2262, when a count of nanoseconds exceeds 63 bits."""
TARGETS = (".", "..", "/", "nowhere", "a", "/dev/zero", "/proc/self/mem", "x" * 4000)


def odd_sound(file: Path, random: Random) -> None:
    """Write a sound with an odd rate, number of channels, length or samples; its header may claim something else."""
    shape = random.choice([0, 1, 2, 1000, 5000]), random.choice([1, 2, 3, 8, 64])
    samples = np.random.default_rng(random.randrange(2**32)).uniform(-1, 1, shape)
    if random.random() < 0.4 and samples.size:
        samples[random.randrange(len(samples))] = random.choice([np.nan, np.inf, -np.inf, 1e30, 1e-40])
    kind, subtype = random.choice(SOUNDS)
    with contextlib.suppress(soundfile.SoundFileError):
        soundfile.write(file, samples, random.choice(RATES), subtype, format=kind)
    data = bytearray(file.read_bytes() if file.exists() else b"RIFF")
    if random.random() < 0.5 and len(data) > 48:
        start = random.choice([4, 16, 20, 22, 24, 28, 32, 34, 40])
        data[start : start + 4] = random.choice(CLAIMS)
    file.write_bytes(data)


def odd_image(file: Path, random: Random) -> None:
    """Write an image that claims to be of another size than it is, up to billions of pixels."""
    width, height = random.choice(SIZES), random.choice(SIZES)
    if random.random() < 0.5:
        kind = random.choice([1, 8, 16]), random.choice([0, 2, 3, 6]), 0, 0, random.choice([0, 1])
        pixels = zlib.compress(bytes(random.choice([0, 100, 10**6])))
        header = struct.pack(">II", width, height) + bytes(kind)
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", pixels))
        return
    image = Image.new(random.choice(["RGB", "L"]), (random.choice([1, 24, 3000]), random.choice([1, 24, 3000])))
    with contextlib.suppress(ValueError):  # an icon of one pixel
        image.save(file, random.choice(IMAGES))
    data = bytearray(file.read_bytes() if file.exists() else bytes(8))
    start = random.randrange(max(1, min(len(data) - 4, 200)))
    shorts = struct.pack(">HH", width & 0xFFFF, height & 0xFFFF)
    data[start : start + 4] = random.choice([struct.pack("<I", width), shorts])
    file.write_bytes(data)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def odd_file(file: Path, random: Random) -> None:
    """Make a file of an odd name, kind or time, in a folder `file`, or in one of an odd name in it."""
    name = "".join(random.sample(PIECES, random.randint(1, 3))) + random.choice(["", ".png", ".wav"])
    place = file / random.choice(["", "sub\x1b[31m", "\udcfe"])
    place.mkdir(parents=True)
    at, kind = place / (name if name.strip(".") else "a"), random.randrange(10)
    if kind == 0:
        os.mkfifo(at)
    elif kind == 1:
        at.symlink_to(random.choice(TARGETS))
    elif kind == 2:
        with at.open("wb") as opened:
            opened.write(random.choice([b"", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WAVE"]))
            opened.truncate(random.choice([0, 10, 10**7]))
    elif kind == 3:
        with socket.socket(socket.AF_UNIX) as listening, contextlib.suppress(OSError):  # the path may be too long
            listening.bind(os.fspath(at))
    elif kind == 4:
        at.write_bytes(random.randbytes(random.randrange(1000)))
    else:
        write_image(at, random.randrange(10**6))
        if kind == 5:
            os.utime(at, (0, random.choice(TIMES)))
