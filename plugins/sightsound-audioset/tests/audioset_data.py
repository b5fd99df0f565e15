"""The names of the golden files (listing an absent folder would give no test cases), seeded weights, comparisons."""

import numpy as np

from sightsound_audioset.yamnet_int8 import Int8Yamnet
from sightsound_audioset.yamnet_weights import float32_layer, shapes

LOG_MEL, FEATURE_MAP, MEAN, SCORES = 25, 113, 115, 120
"""Tensors of the int8 build of YAMNet."""

YAMNET_GOLDENS = VGGISH_GOLDENS = [
    f"golden_{name}.npz"
    for name in (
        *("chirp", "clicks", "clip_dog_975ms", "clip_silence", "clip_sine1k", "clip_speech", "clip_whitenoise"),
        *("one_window", "one_window_plus_1", "random", "short", "sine440", "zeros"),
    )
]


def golden_patches(log_mel):
    """The patches of a golden log-mel as Google frames it: 96 frames every 48."""
    starts = range(0, len(log_mel) - 95, 48)
    return np.stack([log_mel[start : start + 96] for start in starts])


def cosines(rows, others):
    """The cosine of each row with the row at the same position, in float64."""
    rows, others = rows.astype(np.float64), others.astype(np.float64)
    return (rows * others).sum(axis=1) / (np.linalg.norm(rows, axis=1) * np.linalg.norm(others, axis=1))


def seeded_int8():
    """YAMNet in random whole numbers, with multipliers that keep most activations inside 0 to 255."""
    rng = np.random.RandomState(11)
    *convolutions, last = shapes()
    layers = []
    for shape in convolutions:
        fan = int(np.prod(shape[1:]))
        multiplier = rng.uniform(0.5, 1.5, shape[0]) / (50 * np.sqrt(fan))
        kernel, bias = rng.randint(-127, 128, shape), rng.randint(-3000, 3000, shape[0])
        layers.append(float32_layer(kernel, bias, multiplier.astype(np.float32)))
    layers.append(float32_layer(rng.standard_normal(last) * 0.01, rng.standard_normal(last[0])))
    return Int8Yamnet(tuple(layers), input_scale=0.05, input_low=-144, input_high=111, output_scale=0.02)
