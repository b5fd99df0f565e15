"""Reading the rows of the spaces of a library, as of the last commit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Item, Outcome
from sightsound.contract.space import Space
from sightsound.library.filters import Filter
from sightsound.library.matching import matching_contents
from sightsound.library.space_rows import SpaceRows
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_class_lists, read_score_kinds, read_spaces
from sightsound.library.store.segments import MappedSegment, SegmentGone
from sightsound.library.store.writer import record_inodes

_ATTEMPTS = 5
"""How often a snapshot is taken anew because a file was replaced meanwhile."""


@dataclass(frozen=True)
class KeptScores:
    """The scores of a content.

    Parameters
    ----------
    outcomes : list of Outcome
        Of the items that have the content.
    classes : ClassList
        What the columns mean.
    scores : ndarray of float32 (n, classes)
        The scores of its windows, or of an image.
    spans : ndarray of float64 (n, 2) or None
        Start and stop of the windows in seconds; None for an image.
    """

    outcomes: list[Outcome]
    classes: ClassList
    scores: Floats
    spans: Seconds | None


class SpaceReader:
    """The rows of every space of a library, which are mapped when they are first needed and kept.

    Parameters
    ----------
    database : Database
        The library.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: dict[int, SpaceRows] = {}
        self._recorded: dict[int, int] = {}

    @contextlib.contextmanager
    def reading(self, space: Space) -> Iterator[tuple[int, SpaceRows]]:
        """Yield the number of a space and its rows, as of the last commit, in a snapshot of the library."""
        for attempt in range(_ATTEMPTS):
            with self._database.snapshot():
                try:
                    space_id, rows = self._refreshed(space)
                except SegmentGone:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    continue  # replaced by `compact` since the snapshot was taken
                yield space_id, rows
            new = {id_: inode for id_, inode in rows.moved.items() if self._recorded.get(id_) != inode}
            if new and not self._database.is_migrated:  # else the file stays as it is
                self._recorded |= new
                record_inodes(self._database.file, new)
            return

    def _refreshed(self, space: Space) -> tuple[int, SpaceRows]:
        query = "SELECT id, generation FROM spaces WHERE name = ? AND fingerprint = ?"
        found = self._database.rows(query, space.name, space.fingerprint)
        if not found:
            raise LibraryError(
                f"{self._database.file.parent}: space {space.name} was forgotten meanwhile, or the library is damaged; "
                "run `sightsound check`"
            )
        ((space_id, generation),) = found
        if space_id not in self._rows:
            self._rows[space_id] = SpaceRows(self._database, space_id, space)
        self._rows[space_id].refresh(generation)
        return space_id, self._rows[space_id]

    def vectors(self, space: Space, content: bytes) -> tuple[Floats, Seconds | None] | None:
        """Return the rows of a content, see `Library.vectors`."""
        if not self._parts(space, content):
            return None
        with self.reading(space) as (_, rows):
            parts = self._parts(space, content)
            if not parts:
                return None
            found, spans = rows.read(rows.mapped(parts))
        return found, spans if space.modality == "sound" else None

    def _parts(self, space: Space, content: bytes) -> list[tuple[int, int, int]]:
        """Return where the rows of a content are: number of the segment, first row, and number of rows of each part."""
        query = (
            "SELECT r.segment, r.first, r.count FROM contents c JOIN runs r ON r.content = c.id JOIN spaces s"
            " ON s.id = r.space WHERE c.hash = ? AND s.name = ? AND s.fingerprint = ? ORDER BY r.part"
        )
        return [(row[0], row[1], row[2]) for row in self._database.rows(query, content, space.name, space.fingerprint)]

    def contents(self, space: Space, where: Filter) -> Iterator[tuple[list[Item], Floats, Seconds]]:
        """Yield the contents that have matching items, see `Library.contents_in`."""
        with self.reading(space) as (space_id, rows):
            matching = matching_contents(self._database, space_id, where)
            items = matching.items(self._database, space_id, rows.contents().tolist())
            places = rows.places(np.array(sorted(items), np.int64))
        for content, parts in places.items():
            yield items[content], *rows.read(parts)

    def vectors_by_content(self, space: Space, where: Filter) -> Iterator[tuple[list[Outcome], Floats, Seconds]]:
        """Yield the rows of the contents that have matching items, see `Library.vectors_in`."""
        with self.reading(space) as (space_id, rows):
            matching = matching_contents(self._database, space_id, where)
            outcomes = matching.outcomes(self._database, space_id, rows.contents().tolist())
            places = rows.places(np.array(sorted(outcomes), np.int64))
        for content, parts in places.items():
            yield outcomes[content], *rows.read(parts)

    def class_lists(self, spaces: Iterable[Space]) -> list[ClassList]:
        """Return the lists of classes that any rows of some spaces have scores for."""
        ids = [id_ for id_, space in read_spaces(self._database).items() if space in spaces]
        return [classes for id_ in ids for classes in read_class_lists(self._database, id_).values()]

    def scored_classes(self, space: Space) -> tuple[str, ClassList] | None:
        """Return what the scores in a space are, see `Library.scored_classes`."""
        id_ = next((id_ for id_, each in read_spaces(self._database).items() if each == space), None)
        kinds = {} if id_ is None else read_score_kinds(self._database, id_)
        lists = {} if id_ is None else read_class_lists(self._database, id_)
        if len(kinds) != 1 or not kinds.keys() <= lists.keys():
            return None
        ((number, kind),) = kinds.items()
        return kind, lists[number]

    def scores_of(self, space: Space, content: bytes) -> KeptScores | None:
        """Return the scores of a content, see `Library.scores_of`."""
        with self.reading(space) as (space_id, rows):
            parts = self._parts(space, content)
            lists = read_class_lists(self._database, space_id)
            return self.kept_scores(rows, lists, rows.mapped(parts)) if parts and lists else None

    def scores(self, space: Space, where: Filter) -> Iterator[KeptScores]:
        """Yield the scores of the contents that have matching items, see `Library.scores_in`."""
        with self.reading(space) as (space_id, rows):
            lists = read_class_lists(self._database, space_id)
            if not lists:
                return
            matching = matching_contents(self._database, space_id, where)
            outcomes = matching.outcomes(self._database, space_id, rows.contents().tolist())
            places = rows.places(np.array(sorted(outcomes), np.int64))
        for content, parts in places.items():
            kept = self.kept_scores(rows, lists, parts)
            if kept is not None:
                yield replace(kept, outcomes=outcomes[content])

    def kept_scores(
        self, rows: SpaceRows, lists: Mapping[int, ClassList], parts: Sequence[tuple[MappedSegment, int, int]]
    ) -> KeptScores | None:
        """Return the scores of some rows; None if they have none."""
        found = rows.scores(parts)
        if found is None or found[0] not in lists:
            return None
        records = np.concatenate([segment.records(first, count) for segment, first, count in parts])
        spans = None if np.isnan(records["start"]).all() else np.stack([records["start"], records["stop"]], axis=1)
        return KeptScores([], lists[found[0]], found[1], spans)

    def sample(self, space: Space, count: int) -> Floats:
        """Return about `count` rows from all over a space."""
        with self.reading(space) as (_, rows):
            return rows.sample(count)
