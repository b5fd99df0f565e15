"""Collect the labelled items of a space, and make a data set of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.learn.dataset import Dataset, FeatureParts
from sightsound.learn.label_table import UNLABELLED, Labels, LabelTable
from sightsound.learn.labelled_sample import LabelledItem, LabelledSample, random_numbers
from sightsound.learn.score_features import score_rows
from sightsound.learn.window_labels import WindowLabels
from sightsound.library.content_rows import ContentRows
from sightsound.linear.features import FeatureSpec


class NoLabelledItems(SightsoundError):
    """No item with a vector in a space has a label."""


@dataclass
class DatasetBuilder:
    """Collects the labelled items of a library and makes a data set of them.

    Parameters
    ----------
    feature_spec : FeatureSpec
        What a row is made of.
    labels : Labels
        What a class is.
    table : LabelTable
        The labels of items.
    score_classes : ClassList or None
        What scores are of; None to leave scores out.
    windows : WindowLabels or None
        The labels of windows, where each has its own.
    sample, background : LabelledSample
        The items with classes, and those with none of them.
    """

    feature_spec: FeatureSpec
    labels: Labels
    table: LabelTable
    score_classes: ClassList | None
    windows: WindowLabels | None
    sample: LabelledSample
    background: LabelledSample
    unlabelled: int = 0
    conflicting: int = 0
    unlabelled_windows: int = 0
    crowded_windows: int = 0

    def add(self, stored: ContentRows) -> None:
        """Add one of the items of a content, if they are labelled and their classes agree."""
        if self.windows is not None:
            self._add_windows(self.windows, stored)
            return
        items = stored.items
        labelled = [item for item in items if self._classes(item)]
        classes = {self._classes(item) for item in labelled}
        if items and self._is_background(classes):
            self._add_rows(self.background, items[0], stored, [()] * self._rows_of(stored))
            return
        self.unlabelled += len(items) - len(labelled)
        if len(classes) > 1:
            self.conflicting += len(labelled)
        elif labelled:
            self._add_rows(self.sample, labelled[0], stored, [self._item_classes(labelled[0])] * self._rows_of(stored))

    def _rows_of(self, stored: ContentRows) -> int:
        """Return how many rows of a data set an item has."""
        return len(stored) if self.feature_spec.level == "window" else 1

    def _add_windows(self, windows: WindowLabels, stored: ContentRows) -> None:
        """Add the labelled windows of one of the items of a content, if the time ranges of the items agree."""
        items = stored.items
        ranges = {item: windows.ranges(item, self.feature_spec.column) for item in items}
        labelled = [item for item in items if ranges[item] or self._classes(item)]
        self.unlabelled += len(items) - len(labelled)
        if len({(ranges[item], self._classes(item)) for item in labelled}) > 1:
            self.conflicting += len(labelled)
        elif labelled:
            item = labelled[0]
            own, spans = self._classes(item), stored.spans()
            classes = windows.classes(ranges[item], spans) if ranges[item] else [own] * len(spans)
            several = [len(each) > 1 and not self.labels.multi_label for each in classes]
            kept = [i for i, each in enumerate(classes) if each and not several[i]]
            self.crowded_windows += sum(several)
            self.unlabelled_windows += len(classes) - len(kept) - sum(several)
            if kept:
                self._add_rows(self.sample, item, stored, [classes[i] for i in kept], kept)

    def _add_rows(
        self,
        sample: LabelledSample,
        item: Item,
        stored: ContentRows,
        classes: list[tuple[str, ...]],
        kept: Sequence[int] | None = None,
    ) -> None:
        """Read the rows of an item that a sample chooses, of those that have classes: all, or those at `kept`."""
        fold = self.table.get_one(item, self.labels.fold_column, required=sample is self.sample)
        group = self.table.get_one(item, self.labels.group_column, required=False) or f"\0{item.id}"
        numbers = random_numbers(item, len(classes))
        chosen = sample.choose(numbers, classes)
        if not len(chosen):
            return
        vectors, spans = stored.read()
        rows, scores = self.feature_spec.rows(vectors), score_rows(self.feature_spec, self.score_classes, stored)
        if kept is not None:
            rows, spans, scores = rows[kept], spans[kept], None if scores is None else scores[kept]
        shown = spans if self._has_spans else None
        sample.add(LabelledItem(item, numbers, rows, shown, scores, classes, fold, group).some(chosen))

    def _is_background(self, classes: set[tuple[str, ...]]) -> bool:
        """Return whether a content whose labelled items have these classes is background."""
        background = self.labels.background
        return background is not None and (classes == {(background,)} or (background == UNLABELLED and not classes))

    @property
    def _has_spans(self) -> bool:
        """Whether each row is a window of a sound."""
        return self.feature_spec.level == "window" and self.feature_spec.space.modality == "sound"

    def _classes(self, item: Item) -> tuple[str, ...]:
        return self.table.get(item, self.feature_spec.column)

    def _item_classes(self, item: Item) -> tuple[str, ...]:
        """Return the classes of an item but for the background; several only where an item may have several."""
        classes = self._classes(item)
        if len(classes) > 1 and not self.labels.multi_label:
            column = self.feature_spec.column
            raise SightsoundError(
                f"{item}: expected one {column}, got {', '.join(classes)}; use --multi-label, or correct its labels"
            )
        return tuple(name for name in classes if name != self.labels.background)

    def check_classes(self, least: int, name: str) -> None:
        """Refuse a data set with fewer than `least` classes. `name` is that of the library."""
        if self.labels.background is not None and not len(self.background):
            raise SightsoundError(
                f"{name}: expected background items, {self.labels.background} in the column "
                f"{self.feature_spec.column!r}, got none in {self.feature_spec.space.name}; see `sightsound stats`"
            )
        classes = sorted(self.sample.classes)
        if len(classes) < max(1, least):
            raise (SightsoundError if len(self.sample) else NoLabelledItems)(
                f"{name}: expected items of {least} classes or more in {self.feature_spec.space.name}, "
                f"got {len(self.sample)} labelled items of {classes or 'no class'}; see --label-from"
            )

    def build(self) -> Dataset:
        """Return the data set, its items sorted by their id. It has no `content_ids` yet."""
        found = self.sample.items()
        index = np.repeat(np.arange(len(found)), [len(each.rows) for each in found])
        classes, y = self._targets(found)
        groups = np.unique([each.group for each in found], return_inverse=True)[1]
        X = np.concatenate([each.rows for each in found])
        return Dataset(
            feature_spec=self.feature_spec,
            X=X,
            y=y,
            classes=classes,
            items=tuple(each.item for each in found),
            item_index=index,
            groups=groups[index],
            folds=np.array([each.fold for each in found])[index] if self.labels.fold_column else None,
            spans=np.concatenate([each.spans for each in found if each.spans is not None]) if self._has_spans else None,
            content_ids=np.empty(0, np.uint64),
            notes=self._notes(len(X)),
            background=tuple(each.rows for each in self.background.items()),
            parts=self._parts(found, X),
        )

    def _parts(self, found: Sequence[LabelledItem], embeddings: Floats) -> FeatureParts | None:
        """Return what other features are made of, if all items have scores."""
        scores = [each.scores for each in found if each.scores is not None]
        background = tuple((each.rows, each.scores) for each in self.background.items() if each.scores is not None)
        if self.score_classes is None or len(scores) < len(found) or len(background) < len(self.background):
            return None
        return FeatureParts(self.score_classes, embeddings, np.concatenate(scores), background)

    def _targets(self, found: Sequence[LabelledItem]) -> tuple[tuple[str, ...], NDArray[np.generic]]:
        """Return the names of the classes, and the targets of rows."""
        rows = [row for each in found for row in each.classes]
        classes = tuple(sorted({name for row in set(rows) for name in row}))
        if self.labels.multi_label:
            return classes, np.array([[name in row for name in classes] for row in rows], np.intp)
        return classes, np.array([row[0] for row in rows])

    def _notes(self, rows: int) -> tuple[str, ...]:
        unmatched = self.table.unmatched
        more = f" and {len(unmatched) - 3} more" if len(unmatched) > 3 else ""
        what = "windows" if self.feature_spec.level == "window" else "items"
        sampled = f"a random sample of {rows} of {self.sample.seen} labelled {what}; see --max-samples"
        notes = [
            (self.sample.seen > rows, sampled),
            (self.unlabelled, f"{self.unlabelled} items without a label left out"),
            (self.conflicting, f"{self.conflicting} copies of one content with different labels left out"),
            (self.unlabelled_windows, f"{self.unlabelled_windows} windows without a label left out"),
            (self.crowded_windows, f"{self.crowded_windows} windows with several labels left out; see --multi-label"),
            (unmatched, f"rows of the label table that mean no item: {', '.join(unmatched[:3])}{more}"),
        ]
        return tuple(text for count, text in notes if count)
