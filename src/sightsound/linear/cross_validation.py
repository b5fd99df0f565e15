"""What cross-validation saw, and what follows from it: calibrated probabilities, and the learning curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Matrix
from sightsound.linear import folds, metrics
from sightsound.linear.metrics import Ints

DRAWS = 4
"""How often the items of a learning curve are drawn, for each fold."""


@dataclass(frozen=True)
class CrossValidation:
    """The truth (n, k) of each row, its group and fold (n,), the decisions (n, k) of the chosen strength while its fold
    was held out, and for every strength whether they were right (n, strengths); `single` where rows have one class."""

    truth: Matrix
    groups: Ints
    folds: Ints
    decisions: Matrix
    right: NDArray[np.bool_]
    single: bool

    @property
    def count(self) -> int:
        """How many folds there are."""
        return int(self.folds.max()) + 1

    def notes(self) -> tuple[str, ...]:
        """What is to be said of the folds."""
        torn = folds.torn(self.folds, self.groups)
        return (f"{torn} groups have rows on both sides of the given folds, which flatters",) if torn else ()

    def probabilities(self, *, calibrate: bool = True) -> Matrix:
        """Probabilities (n, k), each fold under the temperature of the others."""
        found = np.empty(self.truth.shape)
        for fold in range(self.count):
            out, rest = self.folds == fold, self.folds != fold
            t = metrics.temperature(self.decisions[rest], self.truth[rest], self.single) if calibrate else 1.0
            found[out] = metrics.probabilities(self.decisions[out], t, self.single)
        return found

    def raw(self) -> Matrix:
        """Probabilities (n, k) without a temperature."""
        return metrics.probabilities(self.decisions, 1.0, self.single)

    def curve(
        self, learn: Callable[[Ints, Ints], Matrix], seed: int = 0
    ) -> tuple[tuple[int, float, float, float], ...]:
        """(groups a class, mean accuracy, least, greatest over folds and draws) for 1, 2, 4, ... groups of each class
        and as many as the smallest class has outside of every fold; of rows with one class.

        `learn(rows, out)` is what rows (m,) teach about other rows (l,), in {0, 1} (l, k).
        """
        random = np.random.default_rng(seed)
        most = min(self._there(fold, kind).size for fold in range(self.count) for kind in range(self.truth.shape[1]))
        sizes = [size for size in 2 ** np.arange(32) if size < most] + [most]
        found = []
        for size in sizes:
            accuracies = [
                self._accuracy(learn, fold, int(size), random) for fold in range(self.count) for _ in range(DRAWS)
            ]
            found.append((int(size), float(np.mean(accuracies)), min(accuracies), max(accuracies)))
        return tuple(found)

    def _there(self, fold: int, kind: int) -> Ints:
        """The groups with rows of a class outside of a fold."""
        return np.unique(self.groups[(self.folds != fold) & (self.truth[:, kind] > 0)])

    def _accuracy(
        self, learn: Callable[[Ints, Ints], Matrix], fold: int, size: int, random: np.random.Generator
    ) -> float:
        rows: list[int] = []
        for kind in range(self.truth.shape[1]):
            drawn = random.choice(self._there(fold, kind), size, replace=False)
            mine = np.isin(self.groups, drawn) & (self.folds != fold) & (self.truth[:, kind] > 0)
            rows += np.flatnonzero(mine).tolist()
        out = np.flatnonzero(self.folds == fold)
        said = learn(np.array(rows), out)
        return float((said == self.truth[out]).all(axis=1).mean())
