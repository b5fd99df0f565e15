"""Search by classes: the segments and images with the highest scores."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightsound.classify.class_selection import ClassSelection, has_audioset_classes, select_classes
from sightsound.classify.classifier import Classifier
from sightsound.classify.ontology import Ontology
from sightsound.classify.segments import SegmentRules
from sightsound.contract.classlist import ClassList, NamedClasses
from sightsound.contract.results import Hit, Item, Segment
from sightsound.library.filters import Filter, class_condition, tag_condition
from sightsound.library.matching import MatchingContents, matching_contents
from sightsound.library.space_reader import SpaceReader
from sightsound.library.space_rows import SpaceRows
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_class_lists, read_labels_of, read_spaces
from sightsound.library.store.validation import number, text

_Found = tuple[float, int, str, tuple[float, float] | None]
"""Score, number of the content, class and seconds of a hit."""


@dataclass(frozen=True)
class TagSearch:
    """What a search by classes returns.

    Parameters
    ----------
    k : int
        Number of hits.
    spaces : collection of str
        Names of the spaces whose scores count; all if empty.
    min_score : float or None
        Lowest mean score.
    where : Filter
        Conditions on the items.
    ontology : Ontology or None
        How classes of sounds are related.
    """

    k: int
    spaces: Collection[str]
    min_score: float | None
    where: Filter
    ontology: Ontology | None


def find_tagged(database: Database, reader: SpaceReader, tags: Collection[str], how: TagSearch) -> list[Hit]:
    """Return the segments and images with the highest mean score for any of some classes; see `Library.search_tags`."""
    hits: list[Hit] = []
    for space_id, space in read_spaces(database).items():
        if how.where.modality not in (None, space.modality) or (how.spaces and space.name not in how.spaces):
            continue
        with database.snapshot():
            matching = matching_contents(database, space_id, how.where)
            hits += _stored_hits(database, space_id, space.name, tags, matching, how)
        if space.modality == "image":
            with database.snapshot():
                hits += _image_hits(database, space_id, space.name, tags, matching, how)
        else:
            with reader.reading(space) as (_, rows):
                segments = _Segments(database, reader, space_id, space.name, tags, how)
                hits += segments.hits(rows, matching)
    hits.sort(key=lambda hit: (-hit.score, hit.item.id, hit.seconds or (), hit.tag))
    labels = read_labels_of(database, {hit.item.id or 0 for hit in hits[: how.k]})
    return [replace(hit, labels=labels.get(hit.item.id or 0, {})) for hit in hits[: how.k]]


def _image_hits(
    database: Database, space_id: int, name: str, tags: Collection[str], matching: MatchingContents, how: TagSearch
) -> list[Hit]:
    """Return a hit for each class of each image, by the kept scores."""
    condition, values = class_condition(tags)
    query = (
        f"SELECT h.score, h.content, c.label FROM classes c JOIN highest h ON h.class = c.id WHERE {condition}"
        " AND h.space = ? ORDER BY h.score DESC"
    )
    rows = database.rows(query, *values, space_id)
    with database.decoding():
        found = [(float(score), number(content), text(label), None) for score, content, label in rows]
    return _with_items(database, space_id, name, found, matching, how)


@dataclass
class _Segments:
    """The segments of sounds in one space that have any of some classes."""

    database: Database
    reader: SpaceReader
    space_id: int
    name: str
    tags: Collection[str]
    how: TagSearch

    def __post_init__(self) -> None:
        least, given = SegmentRules().threshold, self.how.min_score
        self._rules = SegmentRules(threshold=least if given is None else min(least, max(0.0, given)))
        self._lists = read_class_lists(self.database, self.space_id)
        self._selections: dict[int, ClassSelection] = {}

    def hits(self, rows: SpaceRows, matching: MatchingContents) -> list[Hit]:
        """Return the best hits: at least `k` if there are as many. Only scores that are needed for these are read."""
        found: list[_Found] = []
        best: list[float] = []  # a heap of the `k` best means
        allowed = None if matching.contents is None else set(matching.contents.tolist())
        for content, highest in self._contents():
            if len(best) == max(1, self.how.k) and best[0] > highest:
                break
            if allowed is not None and content not in allowed:
                continue
            for segment in self._segments(rows, content):
                seconds = segment.start, segment.stop
                if matching.windows is not None and not matching.windows.keeps_any(content, seconds):
                    continue
                if self.how.min_score is None or segment.mean >= self.how.min_score:
                    found.append((segment.mean, content, segment.label, seconds))
                    heapq.heappush(best, segment.mean)
                    if len(best) > max(1, self.how.k):
                        heapq.heappop(best)
        return _with_items(self.database, self.space_id, self.name, sorted(found, reverse=True), matching, self.how)

    def _contents(self) -> list[tuple[int, float]]:
        """Return the contents that may have segments with their highest scores, which no mean exceeds, best first."""
        condition, values = class_condition(self.tags)
        query = (
            "SELECT h.content, max(h.score) FROM highest h WHERE h.class IN"
            f" (SELECT id FROM classes WHERE {condition}) AND h.space = ? AND h.score >= ?"
            " GROUP BY h.content ORDER BY 2 DESC, 1"
        )
        rows = self.database.rows(query, *values, self.space_id, self._rules.threshold)
        with self.database.decoding():
            return [(number(content), float(score)) for content, score in rows]

    def _segments(self, rows: SpaceRows, content: int) -> Iterator[Segment]:
        parts = rows.places(np.array([content])).get(content)
        kept = self.reader.kept_scores(rows, self._lists, parts) if parts else None
        if kept is None:
            return
        classifier = Classifier(NamedClasses(self.name, kept.classes), self._selection(kept.classes), self._rules)
        item = classifier.start()
        item.feed(kept.scores, kept.spans)
        item.end()
        yield from item.take_segments()

    def _selection(self, classes: ClassList) -> ClassSelection:
        """Return the classes that are searched for."""
        key = id(classes)
        if key not in self._selections:
            named = NamedClasses(self.name, classes)
            ontology = self.how.ontology if has_audioset_classes(named) else None
            wanted = {tag.casefold() for tag in self.tags}
            keys = classes.ids or [""] * len(classes)
            chosen = [label.casefold() in wanted or key_ in self.tags for label, key_ in zip(classes.labels, keys)]
            self._selections[key] = replace(select_classes(named, ontology), selected=np.array(chosen))
        return self._selections[key]


def _stored_hits(
    database: Database, space_id: int, name: str, tags: Collection[str], matching: MatchingContents, how: TagSearch
) -> list[Hit]:
    """Return a hit for each tag that an older version has stored, of contents without scores."""
    condition, values = tag_condition(tags)
    query = f"SELECT mean, content, label, start, stop FROM tags WHERE space = ? AND {condition} ORDER BY mean DESC"
    rows = database.rows(query, space_id, *values)
    with database.decoding():
        found = [
            (float(mean), number(content), text(label), None if start is None else (float(start), float(stop)))
            for mean, content, label, start, stop in rows
        ]
    return _with_items(database, space_id, name, found, matching, how)


def _with_items(
    database: Database,
    space_id: int,
    name: str,
    found: Sequence[_Found],
    matching: MatchingContents,
    how: TagSearch,
) -> list[Hit]:
    """Return the hits of (score, content, class, seconds), best first, without labels: `k`, and equally good ones."""
    if matching.contents is not None:
        allowed = set(matching.contents.tolist())
        found = [each for each in found if each[1] in allowed]
    windows = matching.windows
    if windows is not None:
        found = [each for each in found if each[3] is None or windows.keeps_any(each[1], each[3])]
    if how.min_score is not None:
        found = [each for each in found if each[0] >= how.min_score]
    if len(found) > max(1, how.k):
        least = found[max(1, how.k) - 1][0]
        found = [each for each in found if each[0] >= least]
    items: dict[int, list[Item]] = matching.items(database, space_id, {content for _, content, *_ in found})
    return [
        Hit(item, score, seconds, tag=label, spaces=(name,))
        for score, content, label, seconds in found
        for item in items.get(content, ())
        if matching.keeps(item, seconds)
    ]
