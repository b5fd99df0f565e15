"""Compare networks on class folders: accuracy with its interval, time, size and memory."""

from __future__ import annotations

import logging
import platform
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightsound._progress import bar
from sightsound._threads import cores
from sightsound.contract.card import Card, Modality
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item, Outcome
from sightsound.host.host import Host
from sightsound.learn.advise import score_network
from sightsound.learn.comparison.classes import TOP, match_classes
from sightsound.learn.comparison.measure import MeasuredModel, Request, measure, weight_bytes
from sightsound.learn.comparison.process import measure_apart
from sightsound.learn.comparison.results import ComparedModel, ModelComparison
from sightsound.learn.dataset import Dataset
from sightsound.library.class_folders import ClassFolders, read_class_folders
from sightsound.linear import metrics
from sightsound.linear.features import FeatureSpec
from sightsound.linear.report import Estimate

log = logging.getLogger(__name__)

_NAMES = 3  # folders that a note names


def compare_models(
    models: str | Sequence[str],
    data: PathLike,
    *,
    host: Host | None = None,
    device: str = "auto",
    repeats: int = 5,
    isolate: bool | None = None,
    progress: bool | None = None,
) -> ModelComparison:
    """Compare networks on your own data and machine.

    `data` has a folder for each class, at any depth. Each network embeds all items, with its own preprocessing: of an
    image usually the centre crop, of a sound all windows. The accuracies are those on the items that all networks have
    rows of. A linear probe and the five nearest neighbours are cross-validated in the same folds for each network;
    where folders are named as classes of a network, by label or by id, its own classifier is measured too.

    Parameters
    ----------
    models : str or sequence of str
        Networks for images, or for sounds. `NAME@RUNTIME` is the network in a runtime, `NAME@none` without one. A text
        may name several with commas between them.
    data : path
        The folder.
    host : Host, optional
        Where networks are looked up. `Host()` by default.
    device : str
        Where they run, see `Host.load`.
    repeats : int
        How often each time is measured. The median counts.
    isolate : bool, optional
        Whether each network is measured in a process of its own, so that none disturbs the time of another, and its
        memory is known. By default it is, unless `host` has plugins that were added with `register`, which another
        process would not have.
    progress : bool, optional
        Whether to show a progress bar. By default on a terminal and in a notebook.

    Returns
    -------
    ModelComparison
        A network that cannot be measured has the reason.

    Raises
    ------
    SightsoundError
        If no network is named or known, they are for images and sounds, `data` has no items in class folders, or there
        is no item that all networks have rows of.
    """
    host = host or Host()
    settings = host.settings
    if isolate and settings is None:
        raise SightsoundError("isolate: expected a host of installed plugins alone, got one with others; leave it out")
    if repeats < 1:
        raise SightsoundError(f"repeats: expected a whole number from 1, got {repeats}; 5 is usual")
    entries = _look_up(host, models)
    modality = _modality(entries)
    folders = read_class_folders(data, modality)
    root, paths = folders.items[0].root, tuple(item.path for item in folders.items)
    with bar(len(entries), "compare", progress, unit="network") as shown:
        for entry in entries:
            if entry.card is not None:
                request = Request(entry.model, entry.runtime, device, root, paths, repeats)
                try:
                    alone = settings is not None and isolate is not False
                    entry.found = measure_apart(settings or {}, request) if alone else measure(host, request)
                except (SightsoundError, MemoryError) as error:
                    entry.reason = " ".join(str(error).split()) or "out of memory; close other programs"
            shown.update()
    return _result(host, entries, folders, modality, Path(root).name, repeats)


@dataclass
class _Entry:
    """A network that was named, and what is known of it."""

    model: str
    runtime: str
    card: Card | None = None
    reason: str = ""
    found: MeasuredModel | None = None

    @property
    def name(self) -> str:
        return f"{self.model}@{self.runtime}" if self.runtime else self.model


def split_names(models: str | Iterable[str]) -> list[str]:
    """Return the names in texts that separate them by commas, each once; commas in brackets belong to a name."""
    texts = [models] if isinstance(models, str) else models
    parts = [part.strip() for text in texts for part in re.split(r",(?![^\[]*\])", text)]
    return list(dict.fromkeys(filter(None, parts)))


def _look_up(host: Host, models: str | Sequence[str]) -> list[_Entry]:
    entries: dict[str, _Entry] = {}
    first: SightsoundError | None = None
    for text in split_names(models):
        name, _, runtime = text.partition("@")
        entry = _Entry(name, runtime)
        try:
            if text.endswith("@"):
                raise SightsoundError(f"{text}: expected a runtime after @, got none; see `sightsound plugins`")
            entry.card = host.card(name)
            entry.model = entry.card.name
        except SightsoundError as error:
            first, entry.reason = first or error, " ".join(str(error).split())
        entries.setdefault(entry.name, entry)
    if not entries:
        raise SightsoundError("models: expected the names of networks, got none; see `sightsound models`")
    if first is not None and all(entry.card is None for entry in entries.values()):
        raise first
    return list(entries.values())


def _modality(entries: Sequence[_Entry]) -> Modality:
    first: dict[Modality, str] = {}
    for entry in entries:
        if entry.card is not None:
            first.setdefault(entry.card.modality, entry.model)
    if len(first) > 1:
        got = " and ".join(f"{name} ({modality}s)" for modality, name in first.items())
        raise SightsoundError(f"models: expected all for images or all for sounds, got {got}; compare them apart")
    return next(iter(first))


def _result(
    host: Host, entries: Sequence[_Entry], folders: ClassFolders, modality: Modality, data: str, repeats: int
) -> ModelComparison:
    measured = [entry.found for entry in entries if entry.found is not None]
    common = _common(measured, len(folders.items))
    if measured and not common.any():
        names = ", ".join(entry.name for entry in entries if entry.found is not None)
        raise SightsoundError(f"{data}: expected files with rows in {names}, got none in all; leave a network out")
    labels = np.array(folders.labels)[common]
    notes = list(folders.notes)
    if not common.all():
        notes.append(f"{(~common).sum()} of {len(common)} items left out, which have no rows in all networks")
    scored = [_scored(host, entry, folders, common) for entry in entries]
    fastest = [min((each for each in times if each), default=None) for times in _times(scored)]
    return ModelComparison(
        models=tuple(_with_relative(each, *fastest) for each in scored),
        data=data,
        modality=modality,
        items=int(common.sum()) if measured else 0,
        classes=tuple(sorted(set(labels.tolist()))),
        majority=max(Counter(labels.tolist()).values()) / len(labels),
        repeats=repeats,
        machine=f"{_processor()}, {cores()} cores",
        failures=(*folders.failures, *_failures(measured)),
        notes=tuple(notes),
    )


def _common(measured: Sequence[MeasuredModel], count: int) -> NDArray[np.bool_]:
    """Return which of the files have rows in all networks."""
    common = np.ones(count, bool)
    for found in measured:
        common &= _is_ok(found)
    return common


def _is_ok(found: MeasuredModel) -> NDArray[np.bool_]:
    return np.array([outcome.status == "ok" for outcome in found.outcomes])


def _failures(measured: Sequence[MeasuredModel]) -> list[Outcome]:
    """Return what failed, each file and reason once."""
    unique: dict[tuple[str, str, str], Outcome] = {}
    for found in measured:
        for outcome in found.outcomes:
            if outcome.status != "ok":
                unique.setdefault((outcome.item.path, outcome.status, outcome.reason), outcome)
    return list(unique.values())


def _scored(host: Host, entry: _Entry, folders: ClassFolders, common: NDArray[np.bool_]) -> ComparedModel:
    """Return a network with its accuracies on the items that all networks have rows of."""
    card, found = entry.card, entry.found
    if card is None or found is None:
        return ComparedModel(entry.name, entry.reason or "not measured")
    keep = common[_is_ok(found)]
    labels = np.array(folders.labels)[common]
    probe, neighbours, problems = _separation(_dataset(found, folders, common, keep))
    top1, top5, matched, more = _own_classes(card, None if found.best is None else found.best[keep], labels)
    return ComparedModel(
        name=entry.name,
        probe=probe,
        neighbours=neighbours,
        top1=top1,
        top5=top5,
        matched=matched,
        published=card.top1,
        network_ms=found.network_ms,
        total_ms=found.total_ms,
        size=weight_bytes(host, card),
        params=card.params,
        dim=card.dim,
        memory=found.memory,
        execution=found.execution,
        space=found.space.fingerprint,
        notes=(*problems, *more),
    )


def _dataset(
    found: MeasuredModel, folders: ClassFolders, common: NDArray[np.bool_], keep: NDArray[np.bool_]
) -> Dataset:
    """Return the rows of a network as a data set whose rows are items."""
    positions = np.flatnonzero(common)
    items = tuple(Item(folders.items[i].root, folders.items[i].path, int(i)) for i in positions)
    labels = np.array(folders.labels)[common]
    return Dataset(
        feature_spec=FeatureSpec(found.space, pool=found.pool),
        X=found.rows[keep],
        y=labels,
        classes=tuple(sorted(set(labels.tolist()))),
        items=items,
        item_index=np.arange(len(items)),
        groups=np.arange(len(items)),
        folds=None,
        spans=None,
        content_ids=np.array([int.from_bytes(folders.contents[i][:8], "little") for i in positions], np.uint64),
    )


def _separation(data: Dataset) -> tuple[Estimate | None, Estimate | None, tuple[str, ...]]:
    """Return the accuracies of probe and neighbours, or why there are none."""
    counts = Counter(data.y.tolist())
    enough = sum(count > 1 for count in counts.values())
    if enough < 2:
        text = "no probe and no neighbours: expected two classes of two items or more"
        return None, None, (f"{text}, got {enough} of {len(counts)}; add items",)
    try:
        score, _ = score_network(data, curve=False)
    except SightsoundError as error:
        return None, None, (f"no probe and no neighbours: {error}",)
    return score.probe, score.neighbours, score.report.notes


def _own_classes(
    card: Card, best: NDArray[np.intp] | None, labels: NDArray[np.str_]
) -> tuple[Estimate | None, Estimate | None, int, tuple[str, ...]]:
    """Return top-1 and top-5 of the network's own classes, how many folders are classes, and notes on the others."""
    if card.classes is None or best is None:
        return None, None, 0, ()
    names = sorted(set(labels.tolist()))
    columns, ambiguous = match_classes(names, card.classes)
    notes = [f"{name}: means several of its classes; name the folder by an id" for name in ambiguous]
    other = [name for name in names if name not in columns and name not in ambiguous]
    if other:
        some = ", ".join(other[:_NAMES]) + (f" and {len(other) - _NAMES} more" if len(other) > _NAMES else "")
        notes.append(f"{len(other)} of {len(names)} folders are no class of {card.classes.name}: {some}")
    if not columns:
        return None, None, 0, tuple(notes)
    counted = np.isin(labels, list(columns))
    truth = np.array([columns[label] for label in labels[counted].tolist()])
    right = best[counted] == truth[:, None]
    groups = np.arange(len(truth))
    top1 = metrics.estimate(right[:, 0], groups)
    top5 = metrics.estimate(right.any(axis=1), groups) if len(card.classes) > TOP else None
    return top1, top5, len(columns), tuple(notes)


def _times(models: Sequence[ComparedModel]) -> tuple[list[float | None], list[float | None]]:
    return [each.network_ms for each in models], [each.total_ms for each in models]


def _with_relative(model: ComparedModel, network: float | None, total: float | None) -> ComparedModel:
    if model.network_ms is None or model.total_ms is None or network is None or total is None:
        return model
    return replace(model, relative_network=model.network_ms / network, relative_total=model.total_ms / total)


def _processor() -> str:
    """Return the name of the processor, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            named = next(line for line in lines if line.startswith("model name"))
        return " ".join(named.partition(":")[2].split())
    except (OSError, StopIteration):
        return platform.processor() or platform.machine() or "unknown processor"
