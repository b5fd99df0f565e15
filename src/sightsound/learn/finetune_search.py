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
from sightsound.linear.report import Estimate

if TYPE_CHECKING:
    from sightsound.torch.examples import Augmentation
    from sightsound.torch.fitting import Fit
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
        The epoch that is most accurate on all held-out items; 0, the linear probe, unless it is clearly more so.
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
            fits = []
            for fold in chosen:
                how = dataclasses.replace(settings, learning_rate=rate)
                fit = given.fit(fold, until, how, augmentation, patience=settings.epochs)
                if not fit.run(lambda epoch: None, stopped):
                    return None
                fits.append(fit)
                shown.update()
            found.append(_point(given, until, rate, fits))
    return tuple(found)


def best(candidates: Sequence[GridPoint]) -> GridPoint:
    """Return the candidate with the best accuracy; of equals, with the least loss."""
    return max(candidates, key=lambda each: (each.accuracy.value, -each.loss))


def _point(given: TrainingSet, until: str | float, rate: float, fits: Sequence[Fit]) -> GridPoint:
    """Return what trainings with one fold each held out come to together."""
    from sightsound.torch.training import kept_of

    items = [item for fit in fits for item in fit.held_out]
    shares = np.array([len(fit.held_out) for fit in fits]) / len(items)
    epochs = []
    for same in zip(*(fit.epochs for fit in fits)):
        loss = float(shares @ [each.held_out_loss for each in same])
        accuracy = float(shares @ [each.held_out_accuracy for each in same])
        epochs.append(dataclasses.replace(same[0], held_out_loss=loss, held_out_accuracy=accuracy))
    correct = [np.concatenate(same) for same in zip(*(fit.correct for fit in fits))]
    at = kept_of(epochs, correct)
    return GridPoint(until, rate, at, epochs[at].held_out_loss, given.accuracy(correct[at], items))
