"""The epochs of a training: batches, evaluation, early stopping, and checkpoints from which it goes on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightsound.contract.arrays import Floats
from sightsound.torch.checkpoints import read_checkpoint, write_checkpoint
from sightsound.torch.examples import Examples, batches
from sightsound.torch.training import Epoch, Trained, TrainingSettings, logits_of


@dataclass
class Fit:
    """A training.

    Parameters
    ----------
    module : torch.nn.Module
        The network; see `Trained`.
    head : torch.nn.Module
        Its head, on the same device.
    examples : Examples
        All items.
    targets : ndarray
        int64 (items,) or float32 (items, classes).
    train, held_out : sequence of int
        The items that are learnt from, and those that say when to stop.
    until : str or float
        What is frozen.
    settings : TrainingSettings
        How it is trained.
    patience : int
        How many epochs without an improvement end it.
    class_weights : ndarray of float32 (classes,) or None
        Of the loss.
    checkpoint : pathlib.Path or None
        Where to write checkpoints, and from where to go on.
    """

    module: nn.Module
    head: nn.Module
    examples: Examples
    targets: NDArray[Any]
    train: Sequence[int]
    held_out: Sequence[int]
    until: str | float
    settings: TrainingSettings
    patience: int = 3
    class_weights: Floats | None = None
    checkpoint: Path | None = None
    epochs: list[Epoch] = field(default_factory=list)

    def run(self, windows: int, shown: Callable[[Epoch], None], stopped: Callable[[], bool]) -> bool:
        """Train until the last epoch, or until it improves no more; leave the best network in `module` and `head`.

        Parameters
        ----------
        windows : int
            How many inputs the items of `train` have.
        shown : callable
            Called with each epoch.
        stopped : callable
            Whether to stop, asked after each batch. A checkpoint is written then.

        Returns
        -------
        bool
            Whether it came to its end.
        """
        steps_each = max(1, -(-windows // self.settings.batch_size))
        trained = Trained(self.module, self.head, self.until, self.settings, steps_each * self.settings.epochs)
        first, done, losses = 1, 0, list[float]()
        best = self._state()
        if self.checkpoint is not None and self.checkpoint.exists():
            first, done, losses, best, self.epochs = read_checkpoint(self.checkpoint, trained)
        if not self.epochs:
            self._note(0, float("nan"), trained, shown)
        for epoch in range(first, self.settings.epochs + 1):
            with trained.training():
                for number, inputs, targets in self._batches(epoch):
                    if number < done:
                        continue
                    losses.append(trained.step(inputs, targets, self._weights(), self._seed(epoch, number)))
                    if stopped():
                        if self.checkpoint is not None:
                            write_checkpoint(self.checkpoint, trained, epoch, number + 1, losses, best, self.epochs)
                        return False
            self._note(epoch, float(np.mean(losses)), trained, shown)
            done, losses = 0, []
            if self.best == len(self.epochs) - 1:
                best = self._state()
            if self.checkpoint is not None:
                write_checkpoint(self.checkpoint, trained, epoch + 1, 0, losses, best, self.epochs)
            if len(self.epochs) - 1 - self.best >= self.patience:
                break
        self.module.load_state_dict(best[0])
        self.head.load_state_dict(best[1])
        return True

    @property
    def best(self) -> int:
        """Return the position of the epoch with the least loss of held-out items."""
        return int(np.argmin([each.held_out_loss for each in self.epochs]))

    def scores(self, items: Sequence[int]) -> NDArray[np.float64]:
        """Return the mean scores of the windows of items, (items, classes), without changes at random."""
        found = []
        self.module.eval()
        for item in items:
            with torch.no_grad():
                logits = logits_of(self.module, self.head, torch.from_numpy(self.examples.inputs(item, None)))
            scores = logits.softmax(1) if self.targets.ndim == 1 else logits.sigmoid()
            found.append(scores.double().mean(0).cpu().numpy())
        return np.array(found)

    def _batches(self, epoch: int) -> Any:
        settings = self.settings
        for number, inputs, targets in batches(
            self.examples, self.targets, self.train, settings.batch_size, settings.seed, epoch
        ):
            yield number, inputs.to(self._device), targets.to(self._device)

    def _note(self, number: int, loss: float, trained: Trained, shown: Callable[[Epoch], None]) -> None:
        scores, truth = self.scores(self.held_out), self.targets[list(self.held_out)]
        clipped = np.clip(scores, 1e-7, 1 - 1e-7)
        if truth.ndim == 1:
            held_loss = float(-np.log(clipped[np.arange(len(truth)), truth]).mean())
            accuracy = float((scores.argmax(1) == truth).mean())
        else:
            held_loss = float(-(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)).mean())
            accuracy = float(((scores >= 0.5) == (truth > 0)).mean())
        epoch = Epoch(number, loss, held_loss, accuracy, trained.optimizer.param_groups[0]["lr"])
        self.epochs.append(epoch)
        shown(epoch)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return copy.deepcopy(self.module.state_dict()), copy.deepcopy(self.head.state_dict())

    def _weights(self) -> Tensor | None:
        return None if self.class_weights is None else torch.tensor(self.class_weights, device=self._device)

    def _seed(self, epoch: int, number: int) -> int:
        return int(np.random.default_rng((self.settings.seed, epoch, number, 1)).integers(2**62))

    @property
    def _device(self) -> torch.device:
        return next(self.head.parameters()).device
