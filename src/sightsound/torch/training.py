"""Training a network of torch with a linear head: what is frozen, how fast each part learns, and the loop."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from sightsound.contract.errors import SightsoundError
from sightsound.torch.network import embeddings_of
from sightsound.torch.precision import capability_of, precisions_of


@dataclass(frozen=True)
class TrainingBatch:
    """Some items.

    Parameters
    ----------
    inputs : list of torch.Tensor
        The inputs of each item, float32 (windows, ...).
    targets : torch.Tensor
        int64 (items,) for one class each, or float32 (items, classes) for several.
    """

    inputs: list[Tensor]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
        How often it sees all items.
    learning_rate : float
        Of the head, for AdamW, at its highest.
    backbone_factor : float
        The rate of the network, as a multiple of that of the head.
    layer_decay : float
        The rate of a layer as a multiple of that of the next one; 1 for the same rate in all.
    weight_decay : float
        Of AdamW, for weights of layers and not for biases and the parameters of norms.
    warmup : float
        Proportion of the steps in which the rate rises linearly, ten of them at least; then it falls as a cosine to 0.
    batch_size : int
        Items for each step.
    seed : int
        Of the order of items, of dropout and of augmentation.
    precision : {"auto", "float32", "bf16"}
        Of the arithmetic while it is trained; numbers are stored, and held-out items judged, in float32. "auto" is
        bf16 on a GPU that has it, else float32.
    learn_statistics : bool
        Whether batch norms that are trained normalise by the batch and learn its statistics, rather than to keep those
        of the network; of use with thousands of items, and large batches.
    """

    epochs: int = 10
    learning_rate: float = 1e-3
    backbone_factor: float = 0.1
    layer_decay: float = 1.0
    weight_decay: float = 0.01
    warmup: float = 0.1
    batch_size: int = 16
    seed: int = 0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    learn_statistics: bool = False

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            value = getattr(self, name)
            if not (0 < value <= most or (value == 0 and name in _MAY_BE_0)):
                least = "0" if name in _MAY_BE_0 else "more than 0"
                raise SightsoundError(f"{name}: expected {least} and at most {most:g}, got {value:g}")


_MOST = {
    "epochs": 100_000,
    "learning_rate": 10.0,
    "backbone_factor": 100.0,
    "layer_decay": 1.0,
    "weight_decay": 10.0,
    "warmup": 1.0,
    "batch_size": 100_000,
}
_MAY_BE_0 = ("backbone_factor", "weight_decay", "warmup")


def _common(names: Sequence[str]) -> str:
    """Return what all names of layers begin with, such as "network.": a plugin's module around the network."""
    parts = [name.split(".") for name in names]
    count = 0
    while len(parts) > 1 and all(len(each) > count + 1 and each[count] == parts[0][count] for each in parts):
        count += 1
    return "".join(f"{each}." for each in parts[0][:count]) if parts else ""


class StandardisedHead(nn.Module):
    """A linear classifier of standardised embeddings, which learns all of them at the same rate.

    Parameters
    ----------
    mean, scale : array (d,)
        Of the embeddings.
    classes : int
        How many classes it has.
    """

    def __init__(self, mean: NDArray[Any], scale: NDArray[Any], classes: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))
        self.linear = nn.Linear(len(mean), classes)

    def set(self, coef: NDArray[Any], intercept: NDArray[Any]) -> None:
        """Set weights (d, classes) and biases (classes,) for standardised embeddings."""
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor(coef.T))
            self.linear.bias.copy_(torch.tensor(intercept))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return logits (n, classes) of embeddings (n, d)."""
        logits: Tensor = self.linear((embeddings - self.mean) / self.scale)
        return logits

    def folded(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the weights (classes, d) and biases (classes,) for embeddings as they are, float64."""
        weight = self.linear.weight.detach().double() / self.scale.double()
        bias = self.linear.bias.detach().double() - weight @ self.mean.double()
        return weight.cpu().numpy(), bias.cpu().numpy()


@dataclass(frozen=True)
class Epoch:
    """What an epoch came to.

    Parameters
    ----------
    number : int
        From 1; 0 is the network before it is trained.
    loss : float
        Mean loss of the batches; NaN for 0.
    held_out_loss, held_out_accuracy : float
        Of the items that are held out: the mean of the scores of their windows.
    rate : float
        Learning rate of the head at its end.
    """

    number: int
    loss: float
    held_out_loss: float
    held_out_accuracy: float
    rate: float


def layers_with_parameters(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules that own parameters or buffers, in the order of the network."""
    return [
        (name, each)
        for name, each in module.named_modules()
        if any(True for _ in each.parameters(recurse=False)) or any(True for _ in each.buffers(recurse=False))
    ]


def frozen_layers(module: nn.Module, until: str | float) -> list[tuple[str, nn.Module]]:
    """Return the first layers of a network, which are not to be trained.

    Parameters
    ----------
    module : torch.nn.Module
        The network.
    until : str or float
        The name of the first layer or stage that is trained, such as "layer3"; or the proportion of layers that are
        not: 0 for none, 1 for all.

    Raises
    ------
    ValueError
        If the network has no such stage; the text names those that there are.
    """
    layers = layers_with_parameters(module)
    if isinstance(until, str):
        around = _common([name for name, _ in layers])
        for at, (name, _) in enumerate(layers):
            if any(f"{each}.".startswith(f"{until}.") for each in (name, name.removeprefix(around))):
                return layers[:at]
        inner = [name.removeprefix(around) for name, _ in layers]
        stages = dict.fromkeys(".".join(name.split(".")[: until.count(".") + 1]) for name in inner)
        raise ValueError(f"expected the name of a stage ({', '.join(stages)}), got {until!r}")
    if not 0 <= until <= 1:
        raise ValueError(f"expected a stage or a proportion from 0 to 1, got {until}")
    return layers[: round(until * len(layers))]


def best_of(epochs: Sequence[Epoch]) -> int:
    """Return the position of the epoch with the best accuracy on held-out items; of equals, with the least loss."""
    return max(range(len(epochs)), key=lambda at: (epochs[at].held_out_accuracy, -epochs[at].held_out_loss))


def kept_of(epochs: Sequence[Epoch], correct: Sequence[NDArray[np.float64]]) -> int:
    """Return the position of the epoch to keep: the best that was trained, or 0, which is the probe.

    It is the probe unless more held-out items are right than with it, by more than a standard error of that difference.

    Parameters
    ----------
    epochs : sequence of Epoch
        The probe, and the epochs.
    correct : sequence of ndarray of float64 (items,)
        For each, whether a held-out item is right.
    """
    if len(epochs) < 2:
        return 0
    at = 1 + best_of(epochs[1:])
    gain = correct[at] - correct[0]
    return at if gain.sum() > np.sqrt(np.square(gain).sum()) else 0


class Trained:
    """A network and its head while they are trained. Frozen layers keep their numbers and their statistics.

    Parameters
    ----------
    module : torch.nn.Module
        Returns embeddings (n, d), or a tuple that begins with them. It is changed.
    head : torch.nn.Module
        From embeddings to logits, on the same device. It is changed.
    until : str or float
        What is frozen, see `frozen_layers`.
    settings : TrainingSettings
        How it is trained.
    steps : int
        How many steps there are in all.
    """

    def __init__(
        self, module: nn.Module, head: nn.Module, until: str | float, settings: TrainingSettings, steps: int
    ) -> None:
        self.module, self.head, self._settings = module, head, settings
        self.frozen = [each for _, each in frozen_layers(module, until)]
        held = {id(each) for each in self.frozen}
        module.requires_grad_(False)
        self._free = [each for _, each in layers_with_parameters(module) if id(each) not in held]
        for layer in self._free:
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(parameter.is_floating_point())
        self.optimizer = torch.optim.AdamW(self._groups(), lr=settings.learning_rate)
        warm = max(1, round(settings.warmup * steps), min(10, steps // 2))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: _rate(step, warm, steps))
        self._micro = settings.batch_size
        self._device = next(head.parameters()).device
        self._bf16 = settings.precision == "bf16" or (
            settings.precision == "auto"
            and self._device.type == "cuda"
            and "bf16" in precisions_of(capability_of(self._device))
        )

    def step(self, network: nn.Module, batch: TrainingBatch, weights: Tensor | None, seed: int) -> float:
        """Take a step with a batch, in parts where it does not fit the device, and return the mean loss.

        Parameters
        ----------
        network : torch.nn.Module
            `module`, or the part of it that is trained.
        batch : TrainingBatch
            Items, on any device.
        weights : torch.Tensor or None
            Of the classes, (classes,).
        seed : int
            Of dropout.
        """
        while True:
            try:
                torch.manual_seed(seed)
                return self._step(network, batch, weights)
            except (MemoryError, torch.OutOfMemoryError):
                if self._micro <= 1:
                    raise
                self._micro = (self._micro + 1) // 2

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Have what follows the first layer that is trained in training mode, and all in evaluation mode afterwards."""
        held, free = {id(each) for each in self.frozen}, {id(each) for each in self._free}
        follows = False
        for part in self.module.modules():
            owned = {id(each) for _, each in layers_with_parameters(part)}
            follows = follows or id(part) in free
            part.training = bool(owned & free) or (follows and not owned & held)
            if isinstance(part, nn.modules.batchnorm._BatchNorm) and not self._settings.learn_statistics:
                part.training = False
        try:
            yield
        finally:
            self.module.eval()

    def _step(self, network: nn.Module, batch: TrainingBatch, weights: Tensor | None) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for first in range(0, len(batch), self._micro):
            part = slice(first, first + self._micro)
            inputs, targets = batch.inputs[part], batch.targets[part].to(self._device)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                embeddings = embeddings_of(network, torch.cat(inputs).to(self._device))
            scores = scores_of(self.head(embeddings.float()), single=targets.ndim == 1)
            means = torch.stack([each.mean(0) for each in torch.split(scores, [len(each) for each in inputs])])
            loss = loss_of(means, targets, weights) * (len(inputs) / len(batch))
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        self.optimizer.step()
        self.schedule.step()
        return total

    def _groups(self) -> list[dict[str, Any]]:
        """Return the parameters with their rates: the head, then layer by layer."""
        settings = self._settings
        groups: list[dict[str, Any]] = [{"params": list(self.head.parameters()), "lr": settings.learning_rate}]
        for depth, layer in enumerate(reversed(self._free)):
            rate = settings.learning_rate * settings.backbone_factor * settings.layer_decay**depth
            for decays in (True, False):
                chosen = [each for each in layer.parameters(recurse=False) if (each.ndim > 1) == decays]
                if chosen:
                    decay = settings.weight_decay if decays else 0.0
                    groups.append({"params": chosen, "lr": rate, "weight_decay": decay})
        return groups


def scores_of(logits: Tensor, *, single: bool) -> Tensor:
    """Return scores (n, classes): of one class each, or of several independent ones."""
    return logits.softmax(1) if single else logits.sigmoid()


def loss_of(scores: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean cross-entropy of the scores of items.

    Parameters
    ----------
    scores : torch.Tensor
        The mean scores of the windows of each item, (items, classes).
    targets : torch.Tensor
        int64 (items,), or float32 (items, classes).
    weights : torch.Tensor or None
        Of each class, or of the items that have it, (classes,).
    """
    least = torch.finfo(scores.dtype).tiny
    logs = scores.clamp_min(least).log()
    if targets.ndim == 1:
        return functional.nll_loss(logs, targets, weight=weights)
    positive = targets * logs * (1 if weights is None else weights)
    return -(positive + (1 - targets) * (1 - scores).clamp_min(least).log()).mean()


def _rate(step: int, warm: int, steps: int) -> float:
    """Return the multiple of the highest rate at a step: a linear rise, then half a cosine to 0."""
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))
