"""What a network is trained on: inputs that are kept, and changed at random while it is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sightsound.contract.arrays import Floats
from sightsound.torch.training import TrainingBatch

MOST_WINDOWS = 8
"""Windows of a recording that are learnt from in an epoch; of more, so many are drawn at random."""


class Examples(Protocol):
    """The inputs of items. A recording has several, which belong together."""

    def __len__(self) -> int:
        """Return the number of items."""

    @property
    def change_at_random(self) -> bool:
        """Whether inputs differ where a generator is given."""

    def inputs(self, item: int, random: np.random.Generator | None) -> Floats:
        """Return the inputs of an item, float32 (windows, ...), changed at random if a generator is given."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How inputs are changed at random while a network is trained.

    Parameters
    ----------
    shift : float
        Images are moved by up to this proportion of their side; recordings by up to so many seconds, in a circle.
    rotate : float
        Images are turned by up to so many degrees.
    flip : bool
        Whether half of the images are mirrored, left to right.
    gain : float
        Recordings are made louder or softer by up to so many decibels.
    mix : float
        Proportion of recordings to which another is added, 10 to 20 dB softer.
    masks : int
        How many bands of time, and of frequency, are set to the mean of a spectrogram.
    """

    shift: float = 0.1
    rotate: float = 10.0
    flip: bool = True
    gain: float = 6.0
    mix: float = 0.5
    masks: int = 1


NONE = Augmentation(shift=0, rotate=0, flip=False, gain=0, mix=0, masks=0)
"""No change."""


class Decoded(Protocol):
    """Items that were decoded: `sightsound.pipeline.kept_inputs.KeptInputs`."""

    arrays: list[Floats]

    def inputs(self, item: int) -> Floats:
        """Return the inputs of an item as they are."""

    def preprocess(self, samples: Floats) -> Floats:
        """Return the inputs of a recording."""


@dataclass(frozen=True)
class ImageExamples:
    """Images that are moved, turned and mirrored."""

    kept: Decoded
    change: Augmentation

    def __len__(self) -> int:
        return len(self.kept.arrays)

    @property
    def change_at_random(self) -> bool:
        """Whether images are moved, turned or mirrored."""
        return bool(self.change.shift or self.change.rotate or self.change.flip)

    def inputs(self, item: int, random: np.random.Generator | None) -> Floats:
        """Return the input of an image, float32 (1, ...)."""
        found = self.kept.inputs(item)
        if random is None or not self.change_at_random:
            return found
        moved: Floats = moved_images(torch.from_numpy(np.array(found)), self.change, random).numpy()
        return moved


@dataclass(frozen=True)
class SoundExamples:
    """Recordings that are moved, made louder or softer and mixed, and whose spectrograms are masked."""

    kept: Decoded
    change: Augmentation
    rate: int

    def __len__(self) -> int:
        return len(self.kept.arrays)

    @property
    def change_at_random(self) -> bool:
        """Whether recordings are moved, made louder, mixed or masked."""
        return bool(self.change.shift or self.change.gain or self.change.mix or self.change.masks)

    def inputs(self, item: int, random: np.random.Generator | None) -> Floats:
        """Return the inputs of a recording, float32 (windows, ...)."""
        if random is None or not self.change_at_random:
            return self.kept.inputs(item)
        arrays = self.kept.arrays
        other = arrays[int(random.integers(len(arrays)))] if self.change.mix else None
        found = self.kept.preprocess(changed_sound(arrays[item], other, self.rate, self.change, random))
        return masked(found, self.change.masks, random) if found.ndim == 3 and self.change.masks else found


def moved_images(inputs: Tensor, change: Augmentation, random: np.random.Generator) -> Tensor:
    """Return images (n, channels, height, width) that are moved, turned and mirrored at random, each for itself.

    Pixels from outside are those at the edge.
    """
    count = len(inputs)
    angles = torch.tensor(random.uniform(-1, 1, count) * math.radians(change.rotate), dtype=torch.float32)
    signs = torch.tensor(random.choice([-1.0, 1.0], count) if change.flip else np.ones(count), dtype=torch.float32)
    shifts = torch.tensor(random.uniform(-2, 2, (count, 2)) * change.shift, dtype=torch.float32)
    aspect = inputs.shape[2] / inputs.shape[3]
    cos, sin = torch.cos(angles), torch.sin(angles)
    rows = [torch.stack([signs * cos, -sin * aspect, shifts[:, 0]], 1)]
    rows.append(torch.stack([signs * sin / aspect, cos, shifts[:, 1]], 1))
    grid = functional.affine_grid(torch.stack(rows, 1), list(inputs.shape), align_corners=False)
    return functional.grid_sample(inputs, grid, padding_mode="border", align_corners=False)


def masked(inputs: Floats, count: int, random: np.random.Generator) -> Floats:
    """Return spectrograms (n, frames, bands) with bands of time and of frequency set to their mean, each for itself.

    A band is at most an eighth of the frames, or a quarter of the frequencies (SpecAugment, Park et al., 2019).
    """
    found = np.array(inputs)
    for each in found:
        mean = each.mean()
        for _ in range(count):
            for axis, part in ((0, 8), (1, 4)):
                width = int(random.integers(0, each.shape[axis] // part + 1))
                first = int(random.integers(0, each.shape[axis] - width + 1))
                each[(slice(None),) * axis + (slice(first, first + width),)] = mean
    return found


def changed_sound(samples: Floats, other: Floats | None, rate: int, change: Augmentation, random: Any) -> Floats:
    """Return a recording that is moved in a circle, made louder or softer, and mixed with another at random.

    Parameters
    ----------
    samples : ndarray
        float32 (samples,).
    other : ndarray or None
        Another recording, which is repeated or cut to the same length.
    rate : int
        Hz.
    change : Augmentation
        How much.
    random : numpy.random.Generator
        The source of randomness.
    """
    most = round(change.shift * rate)
    found = np.roll(samples, int(random.integers(-most, most + 1)))
    found = found * np.float32(10 ** (random.uniform(-change.gain, change.gain) / 20))
    if other is not None and len(other) and random.random() < change.mix:
        noise = np.resize(np.roll(other, int(random.integers(len(other)))), len(found))
        power, own = float(np.mean(noise**2)), float(np.mean(found**2))
        if power > 0 and own > 0:
            below = 10 ** (-random.uniform(10, 20) / 20)
            found = found + noise * np.float32(below * math.sqrt(own / power))
    result: Floats = found.astype(np.float32)
    return result


def batches(
    examples: Examples, targets: NDArray[Any], items: Sequence[int], size: int, seed: int, epoch: int
) -> Iterator[tuple[int, TrainingBatch]]:
    """Yield the batches of an epoch with their numbers: so many items each, in random order.

    They are the same for the same seed and epoch. Of recordings with many windows some are drawn.
    """
    order = np.random.default_rng((seed, epoch)).permutation(np.asarray(items)).tolist()
    firsts = list(range(0, len(order), size))
    if len(firsts) > 1 and firsts[-1] == len(order) - 1:  # a batch of one has no variance for a batch norm
        firsts.pop()
    for number, (first, end) in enumerate(zip(firsts, [*firsts[1:], len(order)])):
        chosen, found = order[first:end], list[Floats]()
        for item in chosen:
            random = np.random.default_rng((seed, epoch, item))
            windows = examples.inputs(item, random)
            if len(windows) > MOST_WINDOWS:
                windows = windows[np.sort(random.choice(len(windows), MOST_WINDOWS, replace=False))]
            found.append(windows)
        yield number, TrainingBatch([torch.from_numpy(np.array(each)) for each in found], torch.tensor(targets[chosen]))
