"""What a network is fine-tuned on: labelled items or windows, decoded once, and which of them are held out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import SightsoundError
from sightsound.contract.linear_head import LinearHead
from sightsound.contract.paths import PathLike
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.learn.dataset import Dataset
from sightsound.learn.label_table import Labels
from sightsound.learn.load import load_dataset
from sightsound.library.index import index
from sightsound.library.library import Library
from sightsound.linear import folds, metrics
from sightsound.linear.features import Level
from sightsound.linear.report import Estimate
from sightsound.pipeline.kept_inputs import ArrayStore, KeptInputs, keep_inputs, keep_windows

if TYPE_CHECKING:
    from sightsound.torch.examples import Augmentation
    from sightsound.torch.fitting import FirstOutputs, Fit
    from sightsound.torch.training import TrainingSettings


@dataclass(frozen=True)
class TrainingSet:
    """Labelled items for a network that is to be trained, or windows where time ranges are labelled.

    Parameters
    ----------
    model : Model
        The network.
    data : Dataset
        The items or windows with their classes, a row for each.
    kept : KeptInputs
        The same, decoded.
    targets : ndarray
        int64 (items,), or float32 (items, classes) for several classes each.
    folds : ndarray of int (items,)
        The fold that each item is held out in; -1 for items that are always learnt from.
    outputs : FirstOutputs
        What the network gave before it was trained.
    balanced : bool
        Whether rare classes weigh as much as frequent ones.
    """

    model: Model
    data: Dataset
    kept: KeptInputs
    targets: NDArray[Any]
    folds: NDArray[np.intp]
    outputs: FirstOutputs
    balanced: bool

    @property
    def groups(self) -> NDArray[np.intp]:
        """The group of each item or window; those of windows of one recording are equal."""
        return self.data.groups

    @property
    def level(self) -> Level:
        """Whether it is of items or of windows."""
        return "item" if self.data.spans is None else "window"

    def sides(self, fold: int) -> tuple[list[int], list[int]]:
        """Return the items that are learnt from while a fold is held out, and those of the fold."""
        usable = np.flatnonzero(self.kept.usable).tolist()
        return (
            [item for item in usable if self.folds[item] != fold],
            [item for item in usable if self.folds[item] == fold],
        )

    def accuracy(self, correct: NDArray[np.float64], items: Sequence[int]) -> Estimate:
        """Return the accuracy on items that are right or not, or with several classes each right in part."""
        right = correct.astype(bool) if self.data.single else correct
        return metrics.estimate(right, self.groups[list(items)])

    def fit(
        self,
        fold: int,
        until: str | float,
        settings: TrainingSettings,
        augmentation: Augmentation,
        *,
        patience: int,
        checkpoint: Path | None = None,
    ) -> Fit:
        """Return a training of a new copy of the network.

        Parameters
        ----------
        fold : int
            The fold that is held out.
        until : str or float
            What is frozen.
        settings : TrainingSettings
            How it is trained.
        augmentation : Augmentation
            How inputs are changed at random.
        patience : int
            How many epochs without an improvement end it.
        checkpoint : pathlib.Path or None
            Where checkpoints go.
        """
        from sightsound.torch.examples import ImageExamples, SoundExamples
        from sightsound.torch.fitting import Fit

        train, held_out = self.sides(fold)
        card, classes = self.model.card, len(self.data.classes)
        examples = (
            ImageExamples(self.kept, augmentation)
            if card.modality == "image"
            else SoundExamples(self.kept, augmentation, card.sample_rate or 1)
        )
        return Fit(
            module=self.model.embedder.module().to(self.model.device),  # type: ignore[attr-defined]
            make_head=lambda rows, items: _head(rows, self.targets[items], self.groups[items], classes),
            examples=examples,
            targets=self.targets,
            train=train,
            held_out=held_out,
            until=until,
            settings=settings,
            outputs=self.outputs,
            patience=patience,
            class_weights=_class_weights(self.targets[train], classes) if self.balanced else None,
            checkpoint=checkpoint,
            training=self._name(train, until, settings, augmentation, patience),
        )

    def head(self, fit: Fit) -> LinearHead:
        """Return the head of a training that has ended, with its classes.

        Where the network is as it was, it is a linear probe with its defaults, fitted to the held-out items too.
        """
        if fit.best > 0:
            kind: Literal["softmax", "sigmoid"] = "softmax" if self.data.single else "sigmoid"
            weight, bias = fit.head.folded()  # type: ignore[operator]
            return LinearHead(weight=weight, bias=bias, kind=kind, labels=self.data.classes)
        from sightsound.linear.probe import LinearProbe

        rows, items = fit.first_embeddings([*fit.train, *fit.held_out])
        probe = LinearProbe().fit(rows, self.targets[items], groups=self.groups[items])
        return dataclasses.replace(probe.as_head(), labels=self.data.classes)

    def _name(self, train: Sequence[int], until: str | float, settings: Any, augmentation: Any, patience: int) -> str:
        """Return what makes a training the same as another."""
        items = self.data.content_ids.astype("<u8").tobytes() + np.asarray(train, "<i8").tobytes()
        if self.data.spans is not None:
            items += self.data.item_index.astype("<i8").tobytes() + self.data.spans.astype("<f8").tobytes()
        facts = {
            "space": self.model.space.fingerprint,
            "classes": self.data.classes,
            "items": hashlib.sha256(items + self.targets.tobytes()).hexdigest(),
            "until": until,
            "patience": patience,
            "balanced": self.balanced,
            "settings": dataclasses.asdict(settings),
            "augmentation": dataclasses.asdict(augmentation),
        }
        return json.dumps(facts, sort_keys=True)


def training_set(
    source: PathLike | Library,
    model: Model,
    labels: Labels | None,
    *,
    balanced: bool,
    seed: int,
    host: Host,
    folder: Path,
    progress: bool | None,
) -> TrainingSet:
    """Decode the labelled items of a library, or of a folder with classes.

    Parameters
    ----------
    source : path-like or Library
        A library with vectors of the network, or a folder with a folder of files for each class.
    model : Model
        The network.
    labels : Labels or None
        Where the labels come from.
    balanced : bool
        Whether rare classes weigh as much as frequent ones.
    seed : int
        Of the folds, where there are no official ones.
    host : Host
        The host of the network.
    folder : pathlib.Path
        For decoded items that do not fit the memory.
    progress : bool or None
        Whether to show progress.

    Raises
    ------
    SightsoundError
        If there are no labels, fewer than two classes, or a class with one item.
    """
    from sightsound.torch.fitting import FirstOutputs

    data = _data(source, model, labels, host, progress)
    windows = data.spans is not None
    _check_counts(data.truth, data.classes, windows)
    if data.single:
        targets = np.searchsorted(np.array(data.classes), data.y).astype(np.int64)
    else:
        targets = data.y.astype(np.float32)
    if data.spans is not None:
        kept = keep_windows(model, data.items, data.item_index, data.spans, folder, progress)
    else:
        kept = keep_inputs(model, data.items, folder, progress)
    usable = kept.usable
    _check_counts(data.truth[usable], data.classes, windows)
    numbers = np.full(len(usable), -1, np.intp)
    numbers[usable] = _folds(data, usable, seed)
    outputs = FirstOutputs(ArrayStore(folder / "outputs").keep)
    return TrainingSet(model, data, kept, targets, numbers, outputs, balanced)


def check_trainable(model: Model, depths: Iterable[str | float]) -> None:
    """Raise `SightsoundError` if a network cannot be trained, or has no such stage; before any file is read.

    Parameters
    ----------
    model : Model
        The network.
    depths : iterable of str or float
        What of it may be frozen, see `sightsound.torch.training.frozen_layers`.
    """
    missing = [name for name in ("module", "derive") if not hasattr(model.embedder, name)]
    if missing:
        names = " and ".join(f"{each}()" for each in missing)
        raise SightsoundError(f"{model.card.name}: cannot be trained, since it has no {names}; name another --model")
    if "[" in model.card.name:
        raise SightsoundError(f"{model.card.name}: expected a name without options to fine-tune; leave them out")
    from sightsound.torch.training import frozen_layers

    module = model.embedder.module()  # type: ignore[attr-defined]
    for until in depths:
        try:
            frozen_layers(module, until)
        except ValueError as error:
            raise SightsoundError(f"{model.card.name}: {error}") from None


def _check_counts(truth: NDArray[np.float64], classes: Sequence[str], windows: bool) -> None:
    what = "windows" if windows else "items"
    for name, count in zip(classes, truth.sum(axis=0)):
        if count < 2:
            raise SightsoundError(
                f"{name}: expected two {what} or more of each class, got {int(count)}; add some, or leave the class out"
            )


def _data(
    source: PathLike | Library, model: Model, labels: Labels | None, host: Host, progress: bool | None
) -> Dataset:
    """Return the labelled items of a library, or of a folder with classes."""
    name = model.card.name
    if isinstance(source, Library) or (Path(source) / "library.sqlite").exists():
        return load_dataset(source, name, labels, pool="mean", features="embedding", max_samples=None)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, Path(source).absolute().name or "data")  # messages name it
        index(source, library, models=[name], host=host, label_from="folder", progress=progress)
        return load_dataset(library, name, labels, pool="mean", features="embedding", max_samples=None)


def _folds(data: Dataset, usable: NDArray[np.bool_], seed: int) -> NDArray[np.intp]:
    """Return the fold of each usable item: the official ones, or five that groups are not divided between."""
    truth, groups = data.truth[usable], data.groups[usable]
    if data.folds is not None:
        found = folds.official(data.folds[usable], truth, data.classes, strict=False)
    else:
        count = min(folds.FOLDS, max(len(np.unique(groups[column > 0])) for column in truth.T))
        found = folds.split(truth, data.classes, groups, max(2, count), seed=seed, strict=False)
    kept = folds.keep_for_training(found, truth)
    if not (kept >= 0).any():
        what = "recordings" if data.spans is not None else "groups of items"
        raise SightsoundError(f"fine-tuning: expected two classes with two {what} or more, to hold some out")
    return kept


def _head(features: Floats, targets: NDArray[Any], groups: NDArray[np.intp], classes: int) -> Any:
    """Return the linear classifier of embeddings that a linear probe of windows is."""
    from sightsound.linear.probe import LinearProbe
    from sightsound.torch.training import StandardisedHead

    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6 * scale.max(initial=1e-30), scale, 1)
    probe = LinearProbe(scaling="none", sqrt=False)
    probe.fit((features - mean) / scale, targets, groups=groups)
    coef, intercept = probe.columns()
    length = np.sqrt(features.shape[1])
    head = StandardisedHead(mean, scale * length, classes)
    head.set(length * coef / probe.temperature_, intercept / probe.temperature_)
    return head


def _class_weights(targets: NDArray[Any], classes: int) -> Floats:
    """Return the weights of classes that make the rare count as much as the frequent."""
    if targets.ndim == 1:
        counts = np.bincount(targets, minlength=classes).clip(1)
        return (len(targets) / (classes * counts)).astype(np.float32)
    positive = targets.sum(axis=0).clip(1)
    return np.asarray(np.sqrt((len(targets) - positive).clip(1) / positive), np.float32)
