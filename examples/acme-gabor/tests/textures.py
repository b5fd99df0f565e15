"""Gratings and textures that the tests make."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 64


def wave(wavelength, degrees, bend=0.0, phase=0.0, size=SIZE):
    """Return a grating from -1 to 1, (size, size); with a bend its lines are wavy."""
    y, x = np.mgrid[:size, :size]
    angle = np.deg2rad(degrees)
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.sin(2 * np.pi / wavelength * across + phase + bend * np.sin(np.pi / 2 / wavelength * along))


def picture(values):
    """Return uint8 RGB (h, w, 3) of grey values from -1 to 1."""
    grey = (127.5 + 127.5 * values).round().clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def write_texture(path: Path, bend: float, seed: int) -> None:
    """Write a PNG of noisy lines of a random direction, distance and contrast."""
    random = np.random.default_rng(seed)
    lines = wave(random.uniform(5, 8), random.uniform(0, 180), bend, random.uniform(0, 6))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(random.uniform(0.15, 0.4) * lines + random.normal(0, 0.24, lines.shape))).save(path)
