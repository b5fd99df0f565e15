"""Rows of a few classes for tests of classifiers."""

from __future__ import annotations

import numpy as np


def rows(n=120, d=40, k=3, seed=0, noise=1.5):
    """Return float32 rows (n, d) around a mean for each of k <= 4 classes, and the classes (n,)."""
    random = np.random.default_rng(seed)
    y = np.array(["ape", "bee", "cow", "dog"])[np.arange(n) % k]
    X = random.normal(size=(4, d))[np.arange(n) % k] + noise * random.normal(size=(n, d))
    return X.astype(np.float32), y
