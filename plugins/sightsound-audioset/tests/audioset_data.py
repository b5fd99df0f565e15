"""The names of the golden files (listing an absent folder would give no test cases), and a comparison of rows."""

import numpy as np

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
