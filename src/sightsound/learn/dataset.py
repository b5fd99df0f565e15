"""What a library has to teach: the vectors of one space as rows, with the labels, groups and folds of their items."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.pooling import Pool
from sightsound.contract.results import Item
from sightsound.contract.space import Space
from sightsound.library import labels
from sightsound.library.library import Library
from sightsound.linear.features import FeatureSpec, Level

Ints = NDArray[np.intp]
log = logging.getLogger(__name__)


class NothingLabelled(SightsoundError):
    """A space in which no item has a label."""


@dataclass(frozen=True)
class Dataset:
    """Rows X float32 (n, d) and their truth y: names (n,), or where items have several labels (n, k) in {0, 1} for the
    k `classes`. `of` (n,) says which of the `items` a row is of, `groups` (n,) which rows stay together, `folds` (n,)
    are official folds where there are some, and `spans` float64 (n, 2) the seconds of windows. `contents` (items,) are
    the first 8 bytes of the SHA-256 of each. `notes` say what was left out, and why."""

    origin: FeatureSpec
    X: Floats
    y: NDArray[Any]
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    of: Ints
    groups: Ints
    folds: NDArray[Any] | None
    spans: Seconds | None
    contents: NDArray[np.uint64]
    notes: tuple[str, ...] = ()

    @property
    def single(self) -> bool:
        """Whether each row has one class."""
        return self.y.ndim == 1

    @property
    def truth(self) -> NDArray[np.float64]:
        """Which rows have which of the classes, (n, k) in {0, 1}."""
        return (self.y[:, None] == np.array(self.classes)).astype(float) if self.single else self.y.astype(float)

    def only(self, items: Sequence[int]) -> Dataset:
        """The same with some of the items, in this order, by their place in `items`; of rows that are items."""
        at = list(items)
        folds = None if self.folds is None else self.folds[at]
        return replace(
            self,
            X=self.X[at],
            y=self.y[at],
            items=tuple(self.items[i] for i in at),
            of=np.arange(len(at)),
            groups=self.groups[at],
            folds=folds,
            contents=self.contents[at],
        )


@dataclass(frozen=True)
class Labels:
    """Where labels come from: `source` is None for those that the library keeps, `folder` for the names of folders, or
    a CSV with a `path` column. `column` has the classes, `folds` and `groups` name columns with official folds and
    with what stays together (a speaker, a place). `several` lets an item have more than one class."""

    source: str | None = None
    column: str | None = None
    folds: str | None = None
    groups: str | None = None
    several: bool = False


def load_dataset(
    library: Library,
    model: str,
    given: Labels | None = None,
    *,
    level: Level = "item",
    pool: Pool = "mean",
    classes: int = 2,
) -> Dataset:
    """The labelled rows of a library in the space of `model`.

    Items of equal content stay together, and those of one value in the groups' column. Raises `SightsoundError` where
    there is nothing to learn from: no such space or column, no labels, fewer than so many `classes`, two classes of
    one item.
    """
    given = given or Labels()
    space = space_of(library, model)
    table, unmatched = _table(library, given.source)
    return _gathered(library, FeatureSpec(space, level, pool, _column(table, given)), given, table, unmatched, classes)


def load_datasets(library: Library, models: Sequence[str] = (), given: Labels | None = None) -> list[Dataset]:
    """The labelled items of a library in the spaces of these models, or in all of the modality that has most of them.

    Raises `SightsoundError` as `load` does."""
    given = given or Labels()
    named = [space_of(library, model) for model in models]
    table, unmatched = _table(library, given.source)

    def loaded(space: Space) -> Dataset:
        return _gathered(library, FeatureSpec(space, column=_column(table, given)), given, table, unmatched, 2)

    if named:
        return [loaded(space) for space in named]
    spaces = [space for space, count in library.spaces.items() if count]
    kinds: list[list[Dataset]] = []
    problem: SightsoundError | None = None
    for modality in sorted({space.modality for space in spaces}):
        try:
            kinds.append([loaded(space) for space in spaces if space.modality == modality])
        except NothingLabelled as error:
            problem = problem or error
        except SightsoundError as error:
            problem = error
            log.warning("%ss left out: %s", modality, error)
    if not kinds:
        raise problem or SightsoundError(f"{library.path.name}: expected vectors, found none; index something first")
    best = max(kinds, key=lambda found: len(found[0].items))
    for other in (found for found in kinds if found is not best):
        log.warning("%d %ss left out; name a model of theirs", len(other[0].items), other[0].origin.space.modality)
    return best


def space_of(library: Library, model: str) -> Space:
    """The one space of a library that a model's name stands for. Raises `SightsoundError` for none or several."""
    found = [space for space, count in library.spaces.items() if space.name == model and count]
    if len(found) == 1:
        return found[0]
    there = ", ".join(repr(space.name) for space, count in library.spaces.items() if count) or "none"
    if not found:
        raise SightsoundError(
            f"{library.path.name} has no vectors in space {model!r}; it has {there}; "
            f"make them: sightsound index PATH --library {library.path.name} --model {model}"
        )
    raise SightsoundError(f"{library.path.name} has {len(found)} spaces {model!r}; `sightsound forget` one of them")


Table = Mapping[int, Mapping[str, Sequence[str]]]


def _gathered(
    library: Library, origin: FeatureSpec, given: Labels, table: Table, unmatched: Sequence[str], classes: int
) -> Dataset:
    """The labelled rows of one space, by labels that were read before."""
    stored, by_content = library.contents(origin.space)
    gathered = _Gathered(library, given, table, origin.column)
    for content, rows in stored.grouped():
        gathered.add(by_content.get(content, []), origin, stored.vectors[rows], stored.spans[rows])
    return gathered.dataset(origin, unmatched, classes)


def _table(library: Library, source: str | None) -> tuple[Table, list[str]]:
    """Item -> column -> values, and the rows of a CSV that are of no item. Raises `SightsoundError` for a CSV in which
    all are."""
    if source is None:
        stored: dict[int, dict[str, list[str]]] = {}
        for item, column, value in library.rows('SELECT item, "column", value FROM labels ORDER BY 1, 2, 3'):
            stored.setdefault(item, {}).setdefault(column, []).append(value)
        return stored, []
    items = library.items()
    if source == labels.FOLDER:
        return {item.id or 0: {labels.COLUMN: [labels.from_folder(item)]} for item in items}, []
    at = {os.path.abspath(item.file): item.id or 0 for item in items}
    folders = [*library.roots, os.path.dirname(os.path.abspath(source))]
    found: dict[int, dict[str, list[str]]] = {}
    unmatched = []
    for path, row in labels.read(source):
        places = (at.get(os.path.abspath(os.path.join(folder, path))) for folder in folders)
        item = next((place for place in places if place is not None), None) if path else None
        if item is None:
            unmatched.append(path or "a row without a path")
            continue
        for column, value in row.items():
            if value:
                found.setdefault(item, {}).setdefault(column, []).append(value)
    if not found:
        first = f"none of {len(unmatched)} is (the first: {unmatched[0]})" if unmatched else "it has no rows"
        raise SightsoundError(f"{source}: expected paths of the library's items, {first}; see `sightsound stats`")
    return found, unmatched


def _column(table: Table, given: Labels) -> str:
    """The column that has the classes: the one that is named, `label`, or the only one that is left."""
    there = sorted({column for row in table.values() for column in row})
    for named in (given.column, given.folds, given.groups):
        if named is not None and named not in there:
            raise SightsoundError(
                f"column {named!r}: expected one of {there or 'none: nothing is labelled'}; see --label-from"
            )
    if given.column is not None:
        return given.column
    left = [column for column in there if column not in (given.folds, given.groups)]
    if labels.COLUMN in left or len(left) == 1:
        return labels.COLUMN if labels.COLUMN in left else left[0]
    if not left:
        raise SightsoundError("labels: expected some in the library, found none; give --label-from folder or a CSV")
    raise SightsoundError(f"columns {left}: expected one to have the classes; name it with --label-column")


@dataclass
class _Gathered:
    """Labelled items as they come, content by content."""

    library: Library
    given: Labels
    table: Table
    column: str
    unlabelled: int = 0
    disputed: int = 0
    _rows: list[Floats] = field(default_factory=list)
    _spans: list[Seconds] = field(default_factory=list)
    _items: list[Item] = field(default_factory=list)
    _values: list[tuple[str, ...]] = field(default_factory=list)
    _folds: list[str] = field(default_factory=list)
    _groups: list[str] = field(default_factory=list)

    def add(self, items: Sequence[Item], origin: FeatureSpec, vectors: Floats, spans: Seconds) -> None:
        """The items of one content: one is enough, for copies teach nothing new; where they are of different classes
        the content says nothing."""
        labelled = [item for item in items if self._of(item, self.column)]
        self.unlabelled += len(items) - len(labelled)
        kinds = {self._of(item, self.column) for item in labelled}
        if len(kinds) > 1:
            self.disputed += len(labelled)
            return
        for item in labelled[:1]:
            (values,) = kinds
            if len(values) > 1 and not self.given.several:
                raise SightsoundError(
                    f"{item}: expected one {self.column}, got {', '.join(values)}; say --multi-label, or mend it"
                )
            self._items.append(item)
            self._values.append(values)
            self._rows.append(origin.rows(vectors))
            self._spans.append(spans)
            self._folds.append(self._one(item, self.given.folds, needed=True))
            self._groups.append(self._one(item, self.given.groups, needed=False) or f"\0{item.id}")

    def _of(self, item: Item, column: str) -> tuple[str, ...]:
        return tuple(sorted(set(self.table.get(item.id or 0, {}).get(column, ()))))

    def _one(self, item: Item, column: str | None, *, needed: bool) -> str:
        values = self._of(item, column) if column else ()
        if column and (len(values) > 1 or (needed and not values)):
            raise SightsoundError(f"{item}: expected one value of {column!r}, got {len(values)}; mend its row")
        return values[0] if values else ""

    def dataset(self, origin: FeatureSpec, unmatched: Sequence[str], least: int) -> Dataset:
        order = sorted(range(len(self._items)), key=lambda i: self._items[i].id or 0)
        counts = [len(self._rows[i]) for i in order]
        of = np.repeat(np.arange(len(order)), counts)
        classes = sorted({value for values in self._values for value in values})
        if len(classes) < max(1, least):
            raise (SightsoundError if order else NothingLabelled)(
                f"{self.library.path.name}: expected items of {least} classes or more in {origin.space.name}, "
                f"got {len(order)} labelled items of {classes or 'no class'}; see --label-from"
            )
        named = np.array([self._values[i][0] for i in order])
        each = np.array([[name in self._values[i] for name in classes] for i in order], dtype=np.intp)
        groups = np.unique([self._groups[i] for i in order], return_inverse=True)[1]
        windows = origin.level == "window" and origin.space.modality == "sound"
        return Dataset(
            origin=origin,
            X=np.concatenate([self._rows[i] for i in order]),
            y=(each if self.given.several else named)[of],
            classes=tuple(classes),
            items=tuple(self._items[i] for i in order),
            of=of,
            groups=groups[of],
            folds=np.array([self._folds[i] for i in order])[of] if self.given.folds else None,
            spans=np.concatenate([self._spans[i] for i in order]) if windows else None,
            contents=_contents(self.library, [self._items[i] for i in order]),
            notes=self._notes(unmatched),
        )

    def _notes(self, unmatched: Sequence[str]) -> tuple[str, ...]:
        more = f" and {len(unmatched) - 3} more" if len(unmatched) > 3 else ""
        told = [
            (self.unlabelled, f"{self.unlabelled} items without a label left out"),
            (self.disputed, f"{self.disputed} copies of one content with different labels left out"),
            (unmatched, f"in the label table, but not in the library: {', '.join(unmatched[:3])}{more}"),
        ]
        return tuple(text for there, text in told if there)


def _contents(library: Library, items: Sequence[Item]) -> NDArray[np.uint64]:
    hashes: dict[int, bytes] = dict(
        library.rows("SELECT i.id, c.hash FROM items i JOIN contents c ON c.id = i.content")
    )
    short = b"".join(hashes[item.id or 0][:8] for item in items)
    return np.frombuffer(short, "<u8").astype(np.uint64)


def aligned(datasets: Sequence[Dataset]) -> list[Dataset]:
    """The datasets of several spaces, rows pooled to items, with the items that all of them have, in one order."""
    places = [{item.id: i for i, item in enumerate(data.items)} for data in datasets]
    common = [item.id for item in datasets[0].items if all(item.id in place for place in places)]
    every = {item.id for data in datasets for item in data.items}
    if not common:
        names = ", ".join(data.origin.space.name for data in datasets)
        raise SightsoundError(f"{names}: expected labelled items with vectors in all of them, got none in common")
    found = [data.only([place[id_] for id_ in common]) for data, place in zip(datasets, places)]
    if len(common) == len(every):
        return found
    note = f"{len(every) - len(common)} of {len(every)} items left out, which are not in all of the spaces"
    return [replace(data, notes=(*data.notes, note)) for data in found]
