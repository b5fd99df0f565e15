"""The rows of a space with their items, block by block, in memory that does not grow with their number."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList
from sightsound.contract.results import Item, TimeRange
from sightsound.contract.space import Space
from sightsound.library.filters import Filter
from sightsound.library.matching import MatchingContents, matching_contents
from sightsound.library.row_places import Ints, RowPlaces, find_places
from sightsound.library.space_reader import SpaceReader
from sightsound.library.space_rows import SpaceRows, members
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_class_lists, read_labels_of, read_ranges_of
from sightsound.library.store.segments import MappedSegment
from sightsound.library.store.validation import digest
from sightsound.library.window_choice import labels_of_windows

BLOCK_BYTES = 2**25
"""Bytes of the vectors and scores of a block at most, but for items that share a content."""
BLOCK_ROWS = 2**14
"""Rows of a block at most."""


class BestClasses(NamedTuple):
    """The best classes of a row, best first; none whose score is 0.

    Parameters
    ----------
    labels : tuple of str
        Their names.
    ids : tuple of str
        Their ids, as `ClassList.ids`; empty if the classes have none.
    scores : tuple of float
        Their scores.
    """

    labels: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Some rows of a space with their items.

    Parameters
    ----------
    items : list of Item
        The items that have rows in the block.
    labels : list of mapping
        The labels of each item: column -> values.
    contents : list of bytes
        The SHA-256 of the content of each item.
    of : ndarray of int64 (n,)
        For each row the number of its item in `items`.
    rows : ndarray of float32 (n, dim)
        The vectors.
    spans : ndarray of float64 (n, 2)
        Start and stop in seconds; NaN for images.
    best : list of BestClasses
        For each row its best classes. Empty ones for rows without scores.
    range_labels : sequence of mapping
        For each row the labels of the time ranges of its item that it overlaps: column -> values.
    """

    items: list[Item]
    labels: list[Mapping[str, tuple[str, ...]]]
    contents: list[bytes]
    of: Ints
    rows: Floats
    spans: Seconds
    best: list[BestClasses]
    range_labels: Sequence[Mapping[str, tuple[str, ...]]]

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, kept: NDArray[np.bool_]) -> RowBlock:
        """Return some of the rows, with all items."""
        best, labels = list(itertools.compress(self.best, kept)), list(itertools.compress(self.range_labels, kept))
        of, rows, spans = self.of[kept], self.rows[kept], self.spans[kept]
        return replace(self, of=of, rows=rows, spans=spans, best=best, range_labels=labels)


def row_blocks(database: Database, reader: SpaceReader, space: Space, where: Filter, best: int) -> Iterator[RowBlock]:
    """Yield the rows of the items that match a filter, in the order of the numbers of their contents.

    The rows are those of the last commit when the first block is asked for; an item that is removed or changed
    meanwhile may be left out. The rows of a content that several items have are there for each of them.

    Parameters
    ----------
    database : Database
        The library.
    reader : SpaceReader
        Its rows.
    space : Space
        A space of the library.
    where : Filter
        Which items, and which windows of recordings that have its labels on time ranges.
    best : int
        How many of the best classes of a row to return at most; with 0 no scores are read.
    """
    with reader.reading(space) as (space_id, rows):
        matching = matching_contents(database, space_id, where)
        lists = read_class_lists(database, space_id) if best else {}
        segments = [runs.segment for runs in rows.runs]
        most = min(BLOCK_ROWS, BLOCK_BYTES // (4 * (space.dim + max(map(len, lists.values()), default=0))))
        pieces = _divided(find_places(rows, matching.contents), max(1, most))
        if where.modality not in (None, space.modality):
            return
    ends = np.cumsum(pieces.count)
    start, done = 0, 0
    while start < len(pieces.count):
        stop = max(start + 1, int(np.searchsorted(ends, done + most, "right")))
        part = pieces.chosen(slice(start, stop))
        start, done = stop, int(ends[stop - 1])
        found = _with_items(database, matching, space_id, part)
        if found is not None:
            part, items, of, hashes = found
            block = _block(database, rows, segments, lists, best, part, items, of, hashes, where.min_overlap)
            if matching.windows is not None:
                block = block.chosen(matching.windows.of_items([item.id or 0 for item in items], of, block.spans))
            if len(block):
                yield block


def _divided(pieces: RowPlaces, most: int) -> RowPlaces:
    """Return pieces of at most so many rows."""
    times = np.maximum(1, -(-pieces.count // most))
    if not len(times) or times.max() == 1:
        return pieces
    content, segment, first, count = (np.repeat(values, times) for values in vars(pieces).values())
    number = np.arange(len(content)) - np.repeat(np.cumsum(times) - times, times)
    return RowPlaces(content, segment, first + number * most, np.minimum(most, count - number * most))


def _with_items(
    database: Database, matching: MatchingContents, space_id: int, pieces: RowPlaces
) -> tuple[RowPlaces, list[Item], Ints, list[bytes]] | None:
    """Return the pieces that have items, with the items, the piece of each row's item, and their contents.

    A piece whose content several items have is there for each of them.
    """
    contents = np.unique(pieces.content)
    by_content = matching.items(database, space_id, contents.tolist())
    if not by_content:
        return None
    ids = json.dumps(sorted(by_content))
    hashes = database.rows("SELECT id, hash FROM contents WHERE id IN (SELECT value FROM json_each(?))", ids)
    with database.decoding():
        hash_of = {id_: digest(value) for id_, value in hashes}
        listed = [(content, item, hash_of[content]) for content, items in by_content.items() for item in items]
    listed.sort(key=lambda each: (each[0], each[1].id))
    owners = np.array([content for content, *_ in listed], np.int64)
    first = np.searchsorted(owners, pieces.content, "left")
    times = np.searchsorted(owners, pieces.content, "right") - first
    of, which = list[int](), list[int]()
    for content in contents[members(contents, owners)].tolist():
        at = range(*np.searchsorted(pieces.content, [content, content + 1]).tolist())
        for item in range(int(first[at[0]]), int(first[at[0]] + times[at[0]])):
            which += at
            of += [item] * len(at)
    chosen = np.array(which, np.int64)
    repeated = RowPlaces(*(values[chosen] for values in vars(pieces).values()))
    items = [item for _, item, _ in listed]
    return repeated, items, np.repeat(np.array(of, np.int64), repeated.count), [value for *_, value in listed]


def _block(
    database: Database,
    rows: SpaceRows,
    segments: Sequence[MappedSegment],
    lists: Mapping[int, ClassList],
    best: int,
    pieces: RowPlaces,
    items: list[Item],
    of: Ints,
    hashes: list[bytes],
    min_overlap: float,
) -> RowBlock:
    """Read the rows of some pieces. Those that follow each other on disk are read at once."""
    joins = (pieces.segment[1:] != pieces.segment[:-1]) | (pieces.first[1:] != (pieces.first + pieces.count)[:-1])
    starts = np.flatnonzero(np.append(True, joins))
    counts = np.add.reduceat(pieces.count, starts)
    parts = [
        (segments[segment], first, count)
        for segment, first, count in zip(
            pieces.segment[starts].tolist(), pieces.first[starts].tolist(), counts.tolist()
        )
    ]
    vectors, spans = rows.read(parts)
    found: list[BestClasses] = []
    for part in parts:
        scores = rows.scores([part]) if best else None
        if scores is None or scores[0] not in lists:
            found += [BestClasses()] * part[2]
        else:
            found += best_classes(scores[1], lists[scores[0]], best)
    labels = read_labels_of(database, {item.id or 0 for item in items})
    of_windows = _range_labels(database, items, of, spans, min_overlap)
    of_items: list[Mapping[str, tuple[str, ...]]] = [labels.get(item.id or 0, {}) for item in items]
    return RowBlock(items, of_items, hashes, of, vectors, spans, found, of_windows)


def _range_labels(
    database: Database, items: Sequence[Item], of: Ints, spans: Seconds, min_overlap: float
) -> Sequence[Mapping[str, tuple[str, ...]]]:
    """Return for each row the labels of the time ranges that it overlaps by enough: column -> values."""
    found: list[dict[str, tuple[str, ...]]] = [{} for _ in of]
    ranges = read_ranges_of(database, {item.id or 0 for item in items})
    for number, item in enumerate(items):
        by_column: dict[str, list[TimeRange]] = {}
        for each in ranges.get(item.id or 0, ()):
            by_column.setdefault(each.column, []).append(each)
        first, last = np.searchsorted(of, [number, number + 1]).tolist() if by_column else (0, 0)
        for column, some in by_column.items():
            for row, labels in enumerate(labels_of_windows(some, spans[first:last], min_overlap), first):
                if labels:
                    found[row][column] = labels
    return found


def best_classes(scores: Floats, classes: ClassList, best: int) -> list[BestClasses]:
    """Return the best classes of each row.

    Parameters
    ----------
    scores : ndarray of float32 (n, classes)
        The scores.
    classes : ClassList
        The classes.
    best : int
        How many at most.
    """
    count = min(best, scores.shape[1])
    some = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(scores, some, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    some, values = np.take_along_axis(some, order, axis=1), np.take_along_axis(values, order, axis=1)
    found = []
    for row, kept in zip(some.tolist(), values.tolist()):
        chosen = [column for column, value in zip(row, kept) if value > 0]
        labels, ids = (tuple(names[c] for c in chosen) if names else () for names in (classes.labels, classes.ids))
        found.append(BestClasses(labels, ids, tuple(kept[: len(chosen)])))
    return found
