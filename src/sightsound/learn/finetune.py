"""Fine-tuning: a network of a plugin learns the user's own classes, and becomes a model of its own."""

from __future__ import annotations

import csv
import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightsound._progress import bar
from sightsound.contract.card import Card
from sightsound.contract.classlist import ClassList
from sightsound.contract.model_settings import ModelSettings
from sightsound.contract.paths import PathLike
from sightsound.host.derived import SUFFIX, described
from sightsound.host.host import Host
from sightsound.host.importing import check_name, import_model
from sightsound.learn.finetune_search import Grid, GridPoint, best, search_grid
from sightsound.learn.label_table import Labels
from sightsound.learn.training_set import TrainingSet, check_trainable, training_set
from sightsound.library.library import Library
from sightsound.linear.features import Level
from sightsound.linear.report import Estimate

if TYPE_CHECKING:
    from sightsound.torch.examples import Augmentation
    from sightsound.torch.training import Epoch, TrainingSettings


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
        How many items, or windows, it learnt from, and how many said when to stop.
    accuracy, probe : Estimate
        Accuracy on the held-out items of what was kept, and of the probe that it started from.
    freeze_until : str or float
        What of the network was frozen.
    candidates : tuple of GridPoint
        What was compared by cross-validation, in the order of the grid.
    notes : tuple of str
        What was left out, and why.
    level : {"item", "window"}
        Whether it learnt from items, or from windows where time ranges are labelled.
    """

    card: Card
    parent: str
    epochs: tuple[Epoch, ...]
    best: int
    items: int
    held_out: int
    accuracy: Estimate
    probe: Estimate
    freeze_until: str | float
    candidates: tuple[GridPoint, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
    level: Level = "item"


def finetune(
    source: PathLike | Library,
    model: str,
    name: str,
    *,
    labels: Labels | None = None,
    freeze_until: str | float = 0.5,
    search: Grid | None = None,
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
    network of the epoch that is most accurate on them is kept, if it is so by more than a standard error; else the
    network stays as it is, and its head is a probe of all items.

    Parameters
    ----------
    source : path-like or Library
        A library with vectors of the network, or a folder with a folder of files for each class.
    model : str
        The network. Its plugin must offer `module()` and `derive()`.
    name : str
        The name of the new model.
    labels : Labels or None
        Where the labels come from, see `load_dataset`. With `ranges` the network learns from windows of recordings that
        have labels of time ranges, and all windows of a recording are on one side.
    freeze_until : str or float
        The first stage that is trained, such as "layer3", or the proportion of layers that keep their numbers.
    search : Grid or None
        Depths and learning rates to compare by cross-validation; the best replaces `freeze_until` and the rate of
        `settings`.
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
    from sightsound.torch.training import TrainingSettings

    host = host or Host()
    host.reload_models()
    check_name(host, name, replace)
    loaded = host.load(model, device)
    check_trainable(loaded, search.freeze_until if search is not None else (freeze_until,))
    settings, augmentation = settings or TrainingSettings(), augmentation or Augmentation()
    with tempfile.TemporaryDirectory() as folder:
        given = training_set(
            source,
            loaded,
            labels,
            balanced=balanced,
            seed=settings.seed,
            host=host,
            folder=Path(folder),
            progress=progress,
        )
        candidates: tuple[GridPoint, ...] = ()
        if search is not None:
            found = search_grid(given, search, settings, augmentation, stopped, progress)
            if found is None:
                return None
            candidates, chosen = found, best(found)
            freeze_until = chosen.freeze_until
            settings = dataclasses.replace(settings, learning_rate=chosen.learning_rate)
        fit = given.fit(
            0,
            freeze_until,
            settings,
            augmentation,
            patience=patience,
            checkpoint=None if checkpoint is None else Path(checkpoint),
        )
        with bar(settings.epochs, f"train {name}", progress, unit="epoch") as shown:

            def show(epoch: Epoch) -> None:
                shown.set_postfix_str(f"loss {epoch.held_out_loss:.3f}, accuracy {epoch.held_out_accuracy:.3f}")
                shown.update(epoch.number > 0)

            if not fit.run(show, stopped):
                return None
        card = _model_of(fit, given, name, replace, host, Path(folder))
    return FineTuned(
        card,
        loaded.card.name,
        tuple(fit.epochs),
        fit.best,
        len(fit.train),
        len(fit.held_out),
        given.accuracy(fit.correct[fit.best], fit.held_out),
        given.accuracy(fit.correct[0], fit.held_out),
        freeze_until,
        candidates,
        (*given.data.notes, *given.kept.notes),
        given.level,
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


def _model_of(fit: Any, given: TrainingSet, name: str, replace: bool, host: Host, folder: Path) -> Card:
    """Write the trained network to a file, and import it."""
    from sightsound.torch import write_state

    data, card = given.data, given.model.card
    head = given.head(fit)
    facts = described(
        str(card.constants.get("parent", card.name)),
        given.model.space.fingerprint,
        ClassList(name, data.classes),
        head.kind,
        license=card.license,
        about=f"{card.name}, fine-tuned to {len(data.classes)} classes on {len(fit.train)} {given.level}s",
    )
    file = folder / f"{name}{SUFFIX}"
    write_state(file, fit.module.state_dict(), head, facts)
    return import_model(file, ModelSettings(name=name), replace=replace, host=host)
