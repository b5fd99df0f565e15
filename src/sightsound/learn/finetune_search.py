"""How much of a network to fine-tune and how fast it learns, chosen by cross-validation over a small grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from sightsound._progress import bar
from sightsound.learn.training_set import TrainingSet
from sightsound.linear import metrics
from sightsound.linear.report import Estimate

if TYPE_CHECKING:
    from sightsound.torch.examples import Augmentation
    from sightsound.torch.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What to compare.

    Parameters
    ----------
    freeze_until : tuple of str or float
        Depths, see `finetune`.
    learning_rate : tuple of float
        Learning rates of the head.
    folds : int
        How many of the five folds are held out in turn.
    """

    freeze_until: tuple[str | float, ...] = (0.9, 0.5)
    learning_rate: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    folds: int = 3


@dataclass(frozen=True)
class GridPoint:
    """A depth and a rate, and what they come to on held-out items.

    Parameters
    ----------
    freeze_until : str or float
        What is frozen.
    learning_rate : float
        Of the head.
    epoch : int
        The epoch with the best accuracy on all held-out items; of equals, with the least loss. 0 is the linear probe.
    loss : float
        The loss on held-out items after that epoch.
    accuracy : Estimate
        Their accuracy.
    """

    freeze_until: str | float
    learning_rate: float
    epoch: int
    loss: float
    accuracy: Estimate


def search_grid(
    given: TrainingSet,
    grid: Grid,
    settings: TrainingSettings,
    augmentation: Augmentation,
    stopped: Callable[[], bool],
    progress: bool | None,
) -> tuple[GridPoint, ...] | None:
    """Train with each depth and rate of a grid while one fold after the other is held out.

    Parameters
    ----------
    given : TrainingSet
        The items. Groups are not divided between folds.
    grid : Grid
        Depths and rates.
    settings : TrainingSettings
        All but the rate.
    augmentation : Augmentation
        How inputs are changed at random.
    stopped : callable
        Asked after each batch whether to stop.
    progress : bool or None
        Whether to show progress.

    Returns
    -------
    tuple of GridPoint or None
        In the order of the grid; None if it was stopped.
    """
    chosen = [int(fold) for fold in np.unique(given.folds) if fold >= 0][: grid.folds]
    found = []
    pairs = list(product(grid.freeze_until, grid.learning_rate))
    with bar(len(pairs) * len(chosen), "search", progress, unit="training") as shown:
        for until, rate in pairs:
            losses, correct, groups = list[list[float]](), list[list[np.ndarray]](), list[np.ndarray]()
            for fold in chosen:
                fit = given.fit(
                    fold,
                    until,
                    dataclasses.replace(settings, learning_rate=rate),
                    augmentation,
                    patience=settings.epochs,
                )
                if not fit.run(lambda epoch: None, stopped):
                    return None
                losses.append([each.held_out_loss * len(fit.held_out) for each in fit.epochs])
                correct.append(fit.correct)
                groups.append(given.groups[list(fit.held_out)])
                shown.update()
            mean = np.sum(losses, axis=0) / sum(map(len, groups))
            right = [np.concatenate([each[at] for each in correct]) for at in range(len(mean))]
            at = max(range(len(mean)), key=lambda at: (right[at].mean(), -mean[at]))
            accuracy = metrics.estimate(right[at], np.concatenate(groups))
            found.append(GridPoint(until, rate, at, float(mean[at]), accuracy))
    return tuple(found)


def best(candidates: Sequence[GridPoint]) -> GridPoint:
    """Return the candidate with the best accuracy; of equals, with the least loss."""
    return max(candidates, key=lambda each: (each.accuracy.value, -each.loss))
