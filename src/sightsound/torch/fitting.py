"""The epochs of a training: batches, evaluation, early stopping, and checkpoints from which it goes on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightsound.contract.arrays import Floats
from sightsound.torch.checkpoints import Position, State, read_checkpoint, write_checkpoint
from sightsound.torch.examples import Examples, batches
from sightsound.torch.frozen_part import split
from sightsound.torch.network import embeddings_of
from sightsound.torch.training import Epoch, Trained, TrainingSettings, best_of, kept_of, scores_of

HEAD_ROWS = 20_000
"""Windows that the first head is fitted to; of more, as many of each item as its share."""


@dataclass
class FirstOutputs:
    """What a network gave before it was trained: from one training of it to the next it is the same.

    Parameters
    ----------
    keep : callable
        Takes an array, and returns it as it is kept, in memory or on disk; None if there is no room for it.
    frozen : dict
        For each cut of the network the outputs of its frozen part, by item.
    embeddings : dict
        The embeddings of each item, float32 (windows, d).
    """

    keep: Callable[[Floats], Floats | None]
    frozen: dict[str, dict[int, Floats]] = field(default_factory=dict)
    embeddings: dict[int, Floats] = field(default_factory=dict)


@dataclass
class Fit:
    """A training.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on its device; see `Trained`.
    make_head : callable
        Makes the head from the embeddings float32 (n, d) of the windows of the training items, and the item of each.
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
    outputs : FirstOutputs
        Outputs of this network that are kept. Those of frozen layers are where nothing below them is changed at random.
    patience : int
        How many epochs without an improvement end it. The probe does not count: first epochs are often worse.
    class_weights : ndarray of float32 (classes,) or None
        Of the loss.
    checkpoint : pathlib.Path or None
        Where to write checkpoints, and from where to go on.
    training : str
        What makes this training the same as another: a checkpoint of one that differs is refused.
    epochs : list of Epoch
        What each epoch came to, as they end.
    correct : list of ndarray of float64 (held_out,)
        For each epoch, whether a held-out item has its class; for several classes, the proportion that is right.
    """

    module: nn.Module
    make_head: Callable[[Floats, NDArray[np.intp]], nn.Module]
    examples: Examples
    targets: NDArray[Any]
    train: Sequence[int]
    held_out: Sequence[int]
    until: str | float
    settings: TrainingSettings
    outputs: FirstOutputs
    patience: int = 3
    class_weights: Floats | None = None
    checkpoint: Path | None = None
    training: str = ""
    epochs: list[Epoch] = field(default_factory=list)
    correct: list[NDArray[np.float64]] = field(default_factory=list)
    head: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self._device = next(self.module.parameters()).device
        self._learnt = self._judged = _Part(self.examples, self.module)
        self.head = nn.Identity()

    def run(self, shown: Callable[[Epoch], None], stopped: Callable[[], bool]) -> bool:
        """Train until the last epoch, or until it improves no more; leave the best network in `module` and `head`.

        If no epoch is clearly more accurate than the probe, that is the network as it was.

        Parameters
        ----------
        shown : callable
            Called with each epoch.
        stopped : callable
            Whether to stop, asked after each batch. A checkpoint is written then.

        Returns
        -------
        bool
            Whether it came to its end.
        """
        steps_each = max(1, -(-len(self.train) // self.settings.batch_size))
        self.module.eval()
        self.head = self.make_head(*self.first_embeddings(self.train)).to(self._device)
        trained = Trained(self.module, self.head, self.until, self.settings, steps_each * self.settings.epochs)
        self._keep_frozen(trained)
        first, done, losses = 1, 0, list[float]()
        start = best = self._state()
        if self.checkpoint is not None and self.checkpoint.exists():
            at = read_checkpoint(self.checkpoint, trained, self.training)
            first, done, losses, best, self.epochs, self.correct = at
        if not self.epochs:
            self._note(0, float("nan"), trained, shown)
        settings, weights = self.settings, self._weights()
        for epoch in range(first, settings.epochs + 1):
            with trained.training():
                for number, batch in batches(
                    self._learnt.examples, self.targets, self.train, settings.batch_size, settings.seed, epoch
                ):
                    if number < done:
                        continue
                    seed = int(np.random.default_rng((settings.seed, epoch, number, 1)).integers(2**62))
                    losses.append(trained.step(self._learnt.network, batch, weights, seed))
                    if stopped():
                        self._write(trained, epoch, number + 1, losses, best)
                        return False
            self._note(epoch, float(np.mean(losses)), trained, shown)
            done, losses = 0, []
            if best_of(self.epochs[1:]) == len(self.epochs) - 2:
                best = self._state()
            self._write(trained, epoch + 1, 0, losses, best)
            if self._improves_no_more():
                break
        if self.best == 0:
            best = start
        self.module.load_state_dict(best[0])
        self.head.load_state_dict(best[1])
        return True

    @property
    def best(self) -> int:
        """Return the position of the epoch that is kept, see `kept_of`."""
        return kept_of(self.epochs, self.correct)

    def _improves_no_more(self) -> bool:
        """Return whether the last epochs were no better than one before. The first ones may be worse than the probe."""
        return len(self.epochs) - 2 - best_of(self.epochs[1:]) >= self.patience

    def scores(self, items: Sequence[int]) -> NDArray[np.float64]:
        """Return the mean scores of the windows of items, (items, classes), without changes at random."""
        single = self.targets.ndim == 1

        def scores(inputs: Tensor) -> Tensor:
            logits: Tensor = self.head(embeddings_of(self._judged.network, inputs)).double()
            return scores_of(logits, single=single)

        return np.array([each.mean(0) for each in self._outputs(scores, self._judged.examples, items)])

    def embeddings(self, items: Sequence[int]) -> Iterator[Floats]:
        """Yield the embeddings float32 (windows, d) of each item, without changes at random."""
        network = self._judged.network
        return self._outputs(lambda inputs: embeddings_of(network, inputs).float(), self._judged.examples, items)

    def first_embeddings(self, items: Sequence[int]) -> tuple[Floats, NDArray[np.intp]]:
        """Return embeddings float32 (n, d) of the network before it was trained, and the item of each.

        They are those of all windows of the items, or of so many of each that there are `HEAD_ROWS`.
        """
        known = self.outputs.embeddings
        lacking = [item for item in items if item not in known]
        if lacking:
            for item, rows in zip(lacking, self.embeddings(lacking)):
                stored = self.outputs.keep(rows)
                known[item] = rows if stored is None else stored
        chosen, random = [known[item] for item in items], np.random.default_rng(self.settings.seed)
        share = HEAD_ROWS / sum(map(len, chosen))
        if share < 1:
            chosen = [random.choice(each, max(1, int(share * len(each))), replace=False) for each in chosen]
        return np.concatenate(chosen), np.repeat(items, [len(each) for each in chosen])

    def _keep_frozen(self, trained: Trained) -> None:
        """Have the outputs of the frozen part kept, where its inputs are always the same."""
        sample = torch.from_numpy(np.array(self.examples.inputs(self.train[0], None))).to(self._device)
        parts = split(trained, sample)
        if parts is None:
            return
        kept = self.outputs.frozen.setdefault(parts.cut, {})

        def first(item: int) -> Floats:
            if item in kept:
                return kept[item]
            with torch.no_grad():
                inputs = torch.from_numpy(np.array(self.examples.inputs(item, None))).to(self._device)
                found: Floats = parts.first(inputs).float().cpu().numpy()
            stored = self.outputs.keep(found)
            if stored is not None:
                kept[item] = stored
            return found

        examples = _Kept(len(self.examples), first)
        self._judged = _Part(examples, parts.rest)
        if not self.examples.change_at_random:
            self._learnt = _Part(examples, parts.rest_training)

    def _outputs(
        self, network: Callable[[Tensor], Tensor], examples: Examples, items: Sequence[int]
    ) -> Iterator[NDArray[Any]]:
        """Yield what a network returns for the inputs of each item, (windows, ...)."""
        self.module.eval()
        held = list[Floats]()
        for number, item in enumerate(items, 1):
            held.append(examples.inputs(item, None))
            if sum(map(len, held)) >= self.settings.batch_size or number == len(items):
                with torch.no_grad():
                    rows = network(torch.from_numpy(np.concatenate(held)).to(self._device)).cpu().numpy()
                yield from np.split(rows, np.cumsum([len(each) for each in held])[:-1])
                held.clear()

    def _note(self, number: int, loss: float, trained: Trained, shown: Callable[[Epoch], None]) -> None:
        scores, truth = self.scores(self.held_out), self.targets[list(self.held_out)]
        clipped = np.clip(scores, 1e-7, 1 - 1e-7)
        if truth.ndim == 1:
            held_loss = float(-np.log(clipped[np.arange(len(truth)), truth]).mean())
            correct = (scores.argmax(1) == truth).astype(float)
        else:
            held_loss = float(-(truth * np.log(clipped) + (1 - truth) * np.log(1 - clipped)).mean())
            correct = ((scores >= 0.5) == (truth > 0)).mean(1)
        rate = trained.optimizer.param_groups[0]["lr"]
        self.epochs.append(Epoch(number, loss, held_loss, float(correct.mean()), rate))
        self.correct.append(correct)
        shown(self.epochs[-1])

    def _write(
        self, trained: Trained, epoch: int, done: int, losses: Sequence[float], best: tuple[State, State]
    ) -> None:
        """Write a checkpoint, if that is wanted."""
        if self.checkpoint is not None:
            at = Position(epoch, done, list(losses), best, self.epochs, self.correct)
            write_checkpoint(self.checkpoint, trained, at, self.training)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return copy.deepcopy(self.module.state_dict()), copy.deepcopy(self.head.state_dict())

    def _weights(self) -> Tensor | None:
        return None if self.class_weights is None else torch.tensor(self.class_weights, device=self._device)


@dataclass(frozen=True)
class _Part:
    """What is computed for a batch: items, and the network that takes their inputs."""

    examples: Examples
    network: nn.Module


@dataclass(frozen=True)
class _Kept:
    """Items whose inputs are outputs of frozen layers."""

    count: int
    first: Callable[[int], Floats]
    change_at_random: bool = False

    def __len__(self) -> int:
        return self.count

    def inputs(self, item: int, random: np.random.Generator | None) -> Floats:
        """Return what the frozen layers return for an item."""
        return self.first(item)
