"""Load the labelled items of a library as data sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import PathLike, nearest
from sightsound.contract.pooling import Pool, default_pool
from sightsound.contract.space import Space
from sightsound.learn.dataset import Dataset
from sightsound.learn.dataset_builder import DatasetBuilder, NoLabelledItems
from sightsound.learn.label_table import Labels, LabelTable, read_label_table
from sightsound.learn.labelled_sample import MAX_SAMPLES, LabelledSample
from sightsound.learn.score_features import scored_classes
from sightsound.learn.window_labels import WindowLabels
from sightsound.library.library import Library, open_library
from sightsound.linear.features import USES, FeatureSpec, Level, Use

log = logging.getLogger(__name__)

_SAMPLE = 2000  # vectors whose looks decide how windows are pooled


def load_dataset(
    library: PathLike | Library,
    model: str,
    labels: Labels | None = None,
    *,
    level: Level = "item",
    pool: Pool | Literal["auto"] = "auto",
    features: Use | Literal["auto"] = "auto",
    min_classes: int = 2,
    max_samples: int | None = MAX_SAMPLES,
) -> Dataset:
    """Load the labelled items of a library that have vectors of one network.

    Items of equal content count once. They are left out if their labels differ. Memory is that of `max_samples` rows,
    and of the labels.

    Parameters
    ----------
    library : path or Library
        The library.
    model : str
        The name of the network.
    labels : Labels, optional
        Where the labels come from. By default those that the library stores.
    level : {"item", "window"}
        Whether a row is an item or a window of a sound. It is a window where `labels.ranges` is true.
    pool : {"auto", "mean", "max", "mean+max", "mean+std"}
        How the windows of an item become one row. "auto" is "mean" for images, and for sounds what `default_pool` says
        of the vectors: "max" for non-negative features that are often zero, "mean+max" for others.
    features : {"auto", "embedding", "scores", "both"}
        What a row is made of: the vectors, the square roots of the scores of the network's classes, or both side by
        side. "auto" is the embedding, which `fit_probe` replaces where another is clearly better in cross-validation.
        Libraries keep the scores of what is indexed, unless it was with `scores=False`.
    min_classes : int
        The least number of classes.
    max_samples : int or None, default=100,000
        How many rows to load at most; None loads all. Of more a random sample is taken, always the same: of each class
        the same share, but at least 50 rows, or fewer where all classes together would have more than half of the
        sample. A note of the data set says so.

    Returns
    -------
    Dataset

    Raises
    ------
    SightsoundError
        If the library has no vectors of the network, or no scores of all items where these are asked for, the labels
        cannot be read, there are fewer classes than `min_classes`, or an item has several classes and
        `labels.multi_label` is false.
    """
    if features not in ("auto", *USES):
        raise SightsoundError(f"features: expected one of auto, {', '.join(USES)}, got {features!r}")
    labels = labels or Labels()
    level = "window" if labels.ranges else level
    with open_library(library) as opened:
        space = _space(opened, model)
        if labels.ranges and (space.modality == "image" or labels.background is not None):
            got = f"{space.name}, of images" if space.modality == "image" else "background items"
            raise SightsoundError(f"labels of time ranges: expected a network of sounds and no background, got {got}")
        table = read_label_table(opened, labels)
        pool = _default_pool(opened, space, level) if pool == "auto" else pool
        spec = FeatureSpec(space, level, pool, table.class_column(labels))
        classes = None if features == "embedding" else scored_classes(opened, spec)
        data = _load(opened, spec, labels, table, min_classes, classes, max_samples)
        if features == "auto":
            return replace(data, automatic=data.parts is not None)
        if data.parts is None and features != "embedding":
            lacking = "no scores" if classes is None else "no scores of all items"
            step = "keep them: sightsound index PATH --scores, or use the embedding"
            raise SightsoundError(f"{opened.path.name} has {lacking} in {space.name}; {step}")
        return data.using(features)


def load_datasets(
    library: PathLike | Library,
    models: Sequence[str] = (),
    labels: Labels | None = None,
    *,
    max_samples: int | None = MAX_SAMPLES,
) -> list[Dataset]:
    """Load the labelled items of a library in several spaces, a row for each item.

    Parameters
    ----------
    library : path or Library
        The library.
    models : sequence of str
        The names of the networks. By default all networks for images, or all for sounds, whichever has more labelled
        items in the library. A warning names those that were left out.
    labels : Labels, optional
        Where the labels come from. By default those that the library stores.
    max_samples : int or None, default=100,000
        As of `load_dataset`. The samples of all spaces have the same items.

    Returns
    -------
    list of Dataset
        A data set for each space. Their items can differ, see `align_datasets`.

    Raises
    ------
    SightsoundError
        As `load_dataset`, or if the library has no vectors.
    """
    labels = labels or Labels()
    if labels.ranges:
        raise SightsoundError(
            "labels of time ranges: expected one network, whose rows are windows, got items; leave them out"
        )
    with open_library(library) as opened:
        spaces = [_space(opened, model) for model in models]
        table = read_label_table(opened, labels)
        if spaces:
            return _load_spaces(opened, spaces, labels, table, max_samples)
        return _load_larger_modality(opened, labels, table, max_samples)


def _space(library: Library, model: str) -> Space:
    """Return the only space of a library with this name, or with this name before its tag."""
    spaces = [space for space, count in library.spaces.items() if count]
    found = [space for space in spaces if space.name == model]
    found = found or [space for space in spaces if space.name.partition(".")[0] == model]
    place = library.path.name
    if not found:
        known = [space.name for space in spaces]
        similar = nearest(model, known)
        command = f"sightsound index PATH --library {place} --model {model}"
        step = f"did you mean {similar!r}?" if similar else f"if `sightsound models` knows it, make them: {command}"
        has = ", ".join(map(repr, known)) or "none"
        raise SightsoundError(f"{place} has no vectors in space {model!r}; it has {has}; {step}")
    if len({space.name for space in found}) > 1:
        names = " and ".join(sorted({repr(space.name) for space in found}))
        raise SightsoundError(f"{place}: {model!r} may be {names}; name one of them")
    if len(found) > 1:
        raise SightsoundError(f"{place} has {len(found)} spaces {model!r}; `sightsound forget` one of them")
    return found[0]


def _default_pool(library: Library, space: Space, level: Level) -> Pool:
    """Return how the windows of a space are pooled by default, by the looks of some of its vectors."""
    if level == "window" or space.modality == "image":
        return "mean"
    some = library.sample_rows(space, _SAMPLE)
    return default_pool(some) if len(some) else "mean"


def _load_spaces(
    library: Library, spaces: Sequence[Space], labels: Labels, table: LabelTable, most: int | None
) -> list[Dataset]:
    column = table.class_column(labels)
    specs = [FeatureSpec(space, pool=_default_pool(library, space, "item"), column=column) for space in spaces]
    return [_load(library, spec, labels, table, 2, most=most) for spec in specs]


def _load_larger_modality(library: Library, labels: Labels, table: LabelTable, most: int | None) -> list[Dataset]:
    """Load all spaces of the modality with most labelled items."""
    spaces = [space for space, count in library.spaces.items() if count]
    loaded: list[list[Dataset]] = []
    problem: SightsoundError | None = None
    for modality in sorted({space.modality for space in spaces}):
        try:
            same = [space for space in spaces if space.modality == modality]
            loaded.append(_load_spaces(library, same, labels, table, most))
        except NoLabelledItems as error:
            problem = problem or error
        except SightsoundError as error:
            problem = error
            log.warning("%ss left out: %s", modality, error)
    if not loaded:
        raise problem or SightsoundError(f"{library.path.name}: expected vectors, found none; index something first")
    largest = max(loaded, key=lambda datasets: len(datasets[0].items))
    for first, *_ in (datasets for datasets in loaded if datasets is not largest):
        log.warning("%d %ss left out; name a model of theirs", len(first.items), first.feature_spec.space.modality)
    return largest


def _load(
    library: Library,
    spec: FeatureSpec,
    labels: Labels,
    table: LabelTable,
    min_classes: int,
    classes: ClassList | None = None,
    most: int | None = None,
) -> Dataset:
    """Load the labelled items of one space, with labels that were read before."""
    windows = WindowLabels(library, labels.min_overlap, labels.others) if labels.ranges else None
    builder = DatasetBuilder(spec, labels, table, classes, windows, LabelledSample(most), LabelledSample(most))
    for stored in library.stored_contents(spec.space):
        builder.add(stored)
    builder.check_classes(min_classes, library.path.name)
    data = builder.build()
    hashes = library.contents([item.id or 0 for item in data.items])
    lost = next((item for item in data.items if item.id not in hashes), None)
    if lost is not None:
        raise LibraryError(f"{library.path}: damaged (item {lost.id} has vectors, no content); run `sightsound check`")
    ids = [int.from_bytes(hashes[item.id or 0][:8], "little") for item in data.items]
    return replace(data, content_ids=np.array(ids, np.uint64))
