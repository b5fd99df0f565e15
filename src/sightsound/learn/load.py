"""Load the labelled items of a library as data sets."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import PathLike, nearest
from sightsound.contract.pooling import Pool, default_pool
from sightsound.contract.results import Item
from sightsound.contract.space import Space
from sightsound.learn.dataset import Dataset, FeatureParts
from sightsound.learn.kept_features import KeptFeatures, kept_features
from sightsound.learn.label_table import UNLABELLED, Labels, LabelTable, read_label_table
from sightsound.library.library import Library
from sightsound.linear.features import USES, FeatureSpec, Level, Use

log = logging.getLogger(__name__)

_SAMPLE = 2000  # vectors whose looks decide how windows are pooled


class _NoLabelledItems(SightsoundError):
    """No item with a vector in a space has a label."""


def load_dataset(
    library: PathLike | Library,
    model: str,
    labels: Labels | None = None,
    *,
    level: Level = "item",
    pool: Pool | Literal["auto"] = "auto",
    features: Use | Literal["auto"] = "auto",
    min_classes: int = 2,
) -> Dataset:
    """Load the labelled items of a library that have vectors of one network.

    Items of equal content count once. They are left out if their labels differ.

    Parameters
    ----------
    library : path or Library
        The library.
    model : str
        The name of the network.
    labels : Labels, optional
        Where the labels come from. By default those that the library stores.
    level : {"item", "window"}
        Whether a row is an item or a window of a sound.
    pool : {"auto", "mean", "max", "mean+max", "mean+std"}
        How the windows of an item become one row. "auto" is "mean" for images, and for sounds what `default_pool` says
        of the vectors: "max" for non-negative features that are often zero, "mean+max" for others.
    features : {"auto", "embedding", "scores", "both"}
        What a row is made of: the vectors, the square roots of the scores of the network's classes, or both side by
        side. "auto" is the embedding, which `fit_probe` replaces where another is clearly better in cross-validation.
        Libraries keep the scores of what is indexed, unless it was with `scores=False`.
    min_classes : int
        The least number of classes.

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
    with open_library(library) as opened:
        space = _space(opened, model)
        table = read_label_table(opened, labels)
        pool = _default_pool(opened, space, level) if pool == "auto" else pool
        spec = FeatureSpec(space, level, pool, table.class_column(labels))
        kept = None if features == "embedding" else kept_features(opened, spec)
        data = _load(opened, spec, labels, table, min_classes, kept)
        if features == "auto":
            return replace(data, automatic=data.parts is not None)
        if data.parts is None and features != "embedding":
            lacking = "no scores" if kept is None else "no scores of all items"
            step = "keep them: sightsound index PATH --scores, or use the embedding"
            raise SightsoundError(f"{opened.path.name} has {lacking} in {space.name}; {step}")
        return data.using(features)


def load_datasets(
    library: PathLike | Library, models: Sequence[str] = (), labels: Labels | None = None
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
    with open_library(library) as opened:
        spaces = [_space(opened, model) for model in models]
        table = read_label_table(opened, labels)
        if spaces:
            return _load_spaces(opened, spaces, labels, table)
        return _load_larger_modality(opened, labels, table)


@contextlib.contextmanager
def open_library(library: PathLike | Library) -> Iterator[Library]:
    """Open a library if it is given by its path."""
    if isinstance(library, Library):
        yield library
        return
    with Library(library) as opened:
        yield opened


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


def _load_spaces(library: Library, spaces: Sequence[Space], labels: Labels, table: LabelTable) -> list[Dataset]:
    column = table.class_column(labels)
    specs = [FeatureSpec(space, pool=_default_pool(library, space, "item"), column=column) for space in spaces]
    return [_load(library, spec, labels, table, 2) for spec in specs]


def _load_larger_modality(library: Library, labels: Labels, table: LabelTable) -> list[Dataset]:
    """Load all spaces of the modality with most labelled items."""
    spaces = [space for space, count in library.spaces.items() if count]
    loaded: list[list[Dataset]] = []
    problem: SightsoundError | None = None
    for modality in sorted({space.modality for space in spaces}):
        try:
            same = [space for space in spaces if space.modality == modality]
            loaded.append(_load_spaces(library, same, labels, table))
        except _NoLabelledItems as error:
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
    feature_spec: FeatureSpec,
    labels: Labels,
    table: LabelTable,
    min_classes: int,
    kept: KeptFeatures | None = None,
) -> Dataset:
    """Load the labelled items of one space, with labels that were read before."""
    builder = _DatasetBuilder(feature_spec, labels, table, kept)
    for items, rows, spans in library.contents_in(feature_spec.space):
        builder.add(items, rows, spans)
    builder.check_classes(min_classes, library.path.name)
    ids = _content_ids(library)
    lost = next((each.item for each in builder.found if (each.item.id or 0) not in ids), None)
    if lost is not None:
        raise LibraryError(f"{library.path}: damaged (item {lost.id} has vectors, no content); run `sightsound check`")
    return builder.build(ids)


def _content_ids(library: Library) -> dict[int, int]:
    """Return the content id of each item, see `Dataset`, by the id of the item."""
    return {item: int.from_bytes(hash_[:8], "little") for item, hash_ in library.contents().items()}


@dataclass(frozen=True)
class _LabelledItem:
    """An item with its rows, classes, fold and group."""

    item: Item
    rows: Floats
    spans: Seconds
    scores: Floats | None
    classes: tuple[str, ...]
    fold: str
    group: str


@dataclass
class _DatasetBuilder:
    """Collects the labelled items of a library and makes a data set of them."""

    feature_spec: FeatureSpec
    labels: Labels
    table: LabelTable
    kept: KeptFeatures | None = None
    found: list[_LabelledItem] = field(default_factory=list)
    background: list[tuple[Floats, Floats | None]] = field(default_factory=list)
    unlabelled: int = 0
    conflicting: int = 0

    def add(self, items: Sequence[Item], vectors: Floats, spans: Seconds) -> None:
        """Add one of the items of a content, if they are labelled and their classes agree."""
        labelled = [item for item in items if self._classes(item)]
        classes = {self._classes(item) for item in labelled}
        if items and self._is_background(classes):
            self.background.append((self.feature_spec.rows(vectors), self._scores(items[0], vectors)))
            return
        self.unlabelled += len(items) - len(labelled)
        if len(classes) > 1:
            self.conflicting += len(labelled)
        elif labelled:
            self.found.append(self._labelled(labelled[0], vectors, spans))

    def _is_background(self, classes: set[tuple[str, ...]]) -> bool:
        """Return whether a content whose labelled items have these classes is background."""
        background = self.labels.background
        return background is not None and (classes == {(background,)} or (background == UNLABELLED and not classes))

    def _classes(self, item: Item) -> tuple[str, ...]:
        return self.table.get(item, self.feature_spec.column)

    def _labelled(self, item: Item, vectors: Floats, spans: Seconds) -> _LabelledItem:
        classes = self._classes(item)
        if len(classes) > 1 and not self.labels.multi_label:
            column = self.feature_spec.column
            raise SightsoundError(
                f"{item}: expected one {column}, got {', '.join(classes)}; use --multi-label, or correct its labels"
            )
        classes = tuple(name for name in classes if name != self.labels.background)
        fold = self.table.get_one(item, self.labels.fold_column, required=True)
        group = self.table.get_one(item, self.labels.group_column, required=False)
        rows, scores = self.feature_spec.rows(vectors), self._scores(item, vectors)
        return _LabelledItem(item, rows, spans, scores, classes, fold, group or f"\0{item.id}")

    def _scores(self, item: Item, vectors: Floats) -> Floats | None:
        """Return the features of the scores of an item with these vectors."""
        return None if self.kept is None else self.kept.get(item.id, len(vectors))

    def check_classes(self, least: int, name: str) -> None:
        """Refuse a data set with fewer than `least` classes. `name` is that of the library."""
        if self.labels.background is not None and not self.background:
            raise SightsoundError(
                f"{name}: expected background items, {self.labels.background} in the column "
                f"{self.feature_spec.column!r}, got none in {self.feature_spec.space.name}; see `sightsound stats`"
            )
        classes = sorted({label for each in self.found for label in each.classes})
        if len(classes) < max(1, least):
            raise (SightsoundError if self.found else _NoLabelledItems)(
                f"{name}: expected items of {least} classes or more in {self.feature_spec.space.name}, "
                f"got {len(self.found)} labelled items of {classes or 'no class'}; see --label-from"
            )

    def build(self, content_ids: dict[int, int]) -> Dataset:
        """Return the data set, its items sorted by their id."""
        found = sorted(self.found, key=lambda each: each.item.id or 0)
        index = np.repeat(np.arange(len(found)), [len(each.rows) for each in found])
        classes, y = self._targets(found)
        groups = np.unique([each.group for each in found], return_inverse=True)[1]
        windows = self.feature_spec.level == "window" and self.feature_spec.space.modality == "sound"
        X = np.concatenate([each.rows for each in found])
        return Dataset(
            feature_spec=self.feature_spec,
            X=X,
            y=y[index],
            classes=classes,
            items=tuple(each.item for each in found),
            item_index=index,
            groups=groups[index],
            folds=np.array([each.fold for each in found])[index] if self.labels.fold_column else None,
            spans=np.concatenate([each.spans for each in found]) if windows else None,
            content_ids=np.array([content_ids[each.item.id or 0] for each in found], np.uint64),
            notes=self._notes(),
            background=tuple(rows for rows, _ in self.background),
            parts=self._parts(found, X),
        )

    def _parts(self, found: Sequence[_LabelledItem], embeddings: Floats) -> FeatureParts | None:
        """Return what other features are made of, if all items have scores."""
        scores = [each.scores for each in found if each.scores is not None]
        background = tuple((rows, kept) for rows, kept in self.background if kept is not None)
        if self.kept is None or len(scores) < len(found) or len(background) < len(self.background):
            return None
        return FeatureParts(self.kept.classes, embeddings, np.concatenate(scores), background)

    def _targets(self, found: Sequence[_LabelledItem]) -> tuple[tuple[str, ...], NDArray[np.generic]]:
        """Return the names of the classes, and the targets of items."""
        classes = tuple(sorted({label for each in found for label in each.classes}))
        if self.labels.multi_label:
            return classes, np.array([[name in each.classes for name in classes] for each in found], np.intp)
        return classes, np.array([each.classes[0] for each in found])

    def _notes(self) -> tuple[str, ...]:
        unmatched = self.table.unmatched
        more = f" and {len(unmatched) - 3} more" if len(unmatched) > 3 else ""
        notes = [
            (self.unlabelled, f"{self.unlabelled} items without a label left out"),
            (self.conflicting, f"{self.conflicting} copies of one content with different labels left out"),
            (unmatched, f"in the label table, but not in the library: {', '.join(unmatched[:3])}{more}"),
        ]
        return tuple(text for count, text in notes if count)
