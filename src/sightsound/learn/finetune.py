"""Fine-tuning: a network of a plugin learns the user's own classes, and becomes a model of its own."""

from __future__ import annotations

import csv
import dataclasses
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound._progress import bar
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import SightsoundError
from sightsound.contract.linear_head import LinearHead
from sightsound.contract.model_settings import ModelSettings
from sightsound.contract.paths import PathLike
from sightsound.host.derived import SUFFIX, described
from sightsound.host.host import Host
from sightsound.host.importing import check_name, import_model
from sightsound.host.model import Model
from sightsound.learn.dataset import Dataset
from sightsound.learn.label_table import Labels
from sightsound.learn.load import load_dataset
from sightsound.library.index import index
from sightsound.library.library import Library
from sightsound.linear import folds
from sightsound.pipeline.kept_inputs import KeptInputs, keep_inputs

if TYPE_CHECKING:
    from sightsound.torch.examples import Augmentation
    from sightsound.torch.training import Epoch, TrainingSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuned:
    """A model that was fine-tuned.

    Parameters
    ----------
    card : Card
        Its card.
    parent : str
        The model that it was made of.
    epochs : tuple of Epoch
        What each epoch came to; the first is the network with the linear probe as its head, before it is trained.
    best : int
        The epoch whose network was kept.
    items, held_out : int
        How many items it learnt from, and how many said when to stop.
    notes : tuple of str
        What was left out, and why.
    """

    card: Card
    parent: str
    epochs: tuple[Epoch, ...]
    best: int
    items: int
    held_out: int
    notes: tuple[str, ...] = field(default=())


def finetune(
    source: PathLike | Library,
    model: str,
    name: str,
    *,
    labels: Labels | None = None,
    freeze_until: str | float = 0.5,
    settings: TrainingSettings | None = None,
    augmentation: Augmentation | None = None,
    balanced: bool = True,
    patience: int = 3,
    checkpoint: PathLike | None = None,
    replace: bool = False,
    host: Host | None = None,
    device: str = "auto",
    stopped: Callable[[], bool] = lambda: False,
    progress: bool | None = None,
) -> FineTuned | None:
    """Train the last layers of a network on labelled items, and make a model of it.

    Its head is a linear classifier, which starts as a linear probe. A fifth of the items, by groups, are held out: the
    network of the epoch with the least loss on them is kept.

    Parameters
    ----------
    source : path-like or Library
        A library with vectors of the network, or a folder with a folder of files for each class.
    model : str
        The network. Its plugin must offer `module()` and `derive()`.
    name : str
        The name of the new model.
    labels : Labels or None
        Where the labels come from, see `load_dataset`.
    freeze_until : str or float
        The first stage that is trained, such as "layer3", or the proportion of layers that keep their numbers.
    settings : TrainingSettings or None
        Rates, epochs and more.
    augmentation : Augmentation or None
        How inputs are changed at random while it is trained; the usual one by default.
    balanced : bool
        Whether rare classes weigh as much as frequent ones.
    patience : int
        How many epochs without an improvement end it.
    checkpoint : path-like or None
        A file for checkpoints; if it is there, the training goes on from it.
    replace : bool
        Whether to replace an imported model of this name.
    host : Host or None
        The host; a new one by default.
    device : str
        As in `Host.load`.
    stopped : callable
        Asked after each batch whether to stop; the checkpoint is written then.
    progress : bool or None
        Whether to show progress. None stands for "on a terminal".

    Returns
    -------
    FineTuned or None
        None if it was stopped.

    Raises
    ------
    SightsoundError
        If there are no labels, fewer than two classes, a class with one item, or a network that cannot be trained.
    """
    from sightsound.torch.examples import Augmentation
    from sightsound.torch.fitting import Fit
    from sightsound.torch.training import TrainingSettings

    host = host or Host()
    host.reload_models()
    check_name(host, name, replace)
    loaded = host.load(model, device)
    _check_trainable(loaded)
    data = _data(source, loaded, labels, host, progress)
    settings, augmentation = settings or TrainingSettings(), augmentation or Augmentation()
    targets, held_out = _targets(data), _held_out(data, settings.seed)
    with tempfile.TemporaryDirectory() as folder:
        kept = keep_inputs(loaded, data.items, Path(folder), progress)
        train = [i for i in range(len(data.items)) if not held_out[i] and kept.counts[i]]
        tests = [i for i in range(len(data.items)) if held_out[i] and kept.counts[i]]
        module = loaded.embedder.module().to(loaded.device)  # type: ignore[attr-defined]
        head = _head(module, kept, targets, train, len(data.classes)).to(loaded.device)
        fit = Fit(
            module=module,
            head=head,
            examples=_examples(kept, augmentation, loaded.card),
            targets=targets,
            train=train,
            held_out=tests,
            until=freeze_until,
            settings=settings,
            patience=patience,
            class_weights=_class_weights(targets, train, len(data.classes)) if balanced else None,
            checkpoint=None if checkpoint is None else Path(checkpoint),
        )
        with bar(settings.epochs, f"train {name}", progress, unit="epoch") as shown:

            def show(epoch: Epoch) -> None:
                shown.set_postfix_str(f"loss {epoch.held_out_loss:.3f}, accuracy {epoch.held_out_accuracy:.3f}")
                shown.update(epoch.number > 0)

            try:
                done = fit.run(int(kept.counts[train].sum()), show, stopped)
            except ValueError as error:  # of `freeze_until`
                raise SightsoundError(f"{model}: {error}") from None
        if not done:
            return None
        card = _model_of(fit, loaded, data, name, replace, host, Path(folder))
    return FineTuned(
        card, loaded.card.name, tuple(fit.epochs), fit.best, len(train), len(tests), (*data.notes, *kept.notes)
    )


def write_log(tuned: FineTuned, out: PathLike) -> None:
    """Write the epochs of a training as CSV.

    Parameters
    ----------
    tuned : FineTuned
        The result of `finetune`.
    out : path-like
        The file.
    """
    from sightsound._atomic import atomic_path

    with atomic_path(out) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in dataclasses.fields(tuned.epochs[0])])
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, tuned.epochs))


def _check_trainable(model: Model) -> None:
    missing = [name for name in ("module", "derive") if not hasattr(model.embedder, name)]
    if missing:
        names = " and ".join(f"{each}()" for each in missing)
        raise SightsoundError(f"{model.card.name}: cannot be trained, since it has no {names}; name another --model")
    if "[" in model.card.name:
        raise SightsoundError(f"{model.card.name}: expected a name without options to fine-tune; leave them out")


def _data(
    source: PathLike | Library, model: Model, labels: Labels | None, host: Host, progress: bool | None
) -> Dataset:
    """Return the labelled items of a library, or of a folder with classes."""
    name = model.card.name
    if isinstance(source, Library) or (Path(source) / "library.sqlite").exists():
        return load_dataset(source, name, labels, pool="mean", features="embedding")
    with tempfile.TemporaryDirectory() as folder:
        index(source, folder, models=[name], host=host, label_from="folder", progress=progress)
        return load_dataset(folder, name, labels, pool="mean", features="embedding")


def _targets(data: Dataset) -> NDArray[Any]:
    """Return int64 (items,), or float32 (items, classes) for several classes each."""
    if not data.single:
        return data.y.astype(np.float32)
    return np.searchsorted(np.array(data.classes), data.y).astype(np.int64)


def _held_out(data: Dataset, seed: int) -> NDArray[np.bool_]:
    """Return which items are held out: the first of five folds, or the first official one."""
    if data.folds is not None:
        return np.asarray(data.folds == np.unique(data.folds)[0])
    return np.asarray(folds.split(data.truth, data.classes, data.groups, seed=seed) == 0)


def _head(module: Any, kept: KeptInputs, targets: NDArray[Any], train: Sequence[int], classes: int) -> Any:
    """Return the linear classifier of embeddings that a linear probe is, which is fitted to the training items."""
    from sightsound.linear.probe import LinearProbe
    from sightsound.torch.training import StandardisedHead, mean_embedding

    features = np.stack([mean_embedding(module, kept.inputs(item)) for item in train])
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6 * scale.max(initial=1e-30), scale, 1)
    probe = LinearProbe(scaling="none", sqrt=False)
    probe.fit((features - mean) / scale, targets[list(train)])
    coef, intercept = probe.columns()
    head = StandardisedHead(mean, scale, classes)
    head.set(coef / probe.temperature_, intercept / probe.temperature_)
    return head


def _examples(kept: KeptInputs, change: Augmentation, card: Card) -> Any:
    from sightsound.torch.examples import ImageExamples, SoundExamples

    return (
        ImageExamples(kept, change) if card.modality == "image" else SoundExamples(kept, change, card.sample_rate or 1)
    )


def _class_weights(targets: NDArray[Any], train: Sequence[int], classes: int) -> Floats:
    """Return the weights of classes that make the rare count as much as the frequent."""
    chosen = targets[list(train)]
    if targets.ndim == 1:
        counts = np.bincount(chosen, minlength=classes).clip(1)
        return (len(chosen) / (classes * counts)).astype(np.float32)
    positive = chosen.sum(axis=0).clip(1)
    return np.asarray(np.sqrt((len(chosen) - positive).clip(1) / positive), np.float32)


def _model_of(fit: Any, model: Model, data: Dataset, name: str, replace: bool, host: Host, folder: Path) -> Card:
    """Write the trained network to a file, and import it."""
    from sightsound.torch import write_state

    weight, bias = fit.head.folded()
    kind: Literal["softmax", "sigmoid"] = "softmax" if data.single else "sigmoid"
    head = LinearHead(weight=weight, bias=bias, kind=kind, labels=data.classes)
    card = model.card
    facts = described(
        str(card.constants.get("parent", card.name)),
        model.space.fingerprint,
        ClassList(name, data.classes),
        kind,
        license=card.license,
        about=f"{card.name}, fine-tuned to {len(data.classes)} classes on {len(fit.train)} items",
    )
    file = folder / f"{name}{SUFFIX}"
    write_state(file, fit.module.state_dict(), head, facts)
    return import_model(file, ModelSettings(name=name), replace=replace, host=host)
