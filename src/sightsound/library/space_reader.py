"""Reading the rows of the spaces of a library, as of the last commit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Outcome
from sightsound.contract.space import Space
from sightsound.library.content_rows import ContentRows
from sightsound.library.filters import Filter
from sightsound.library.matching import matching_contents
from sightsound.library.row_places import Part, find_places
from sightsound.library.space_rows import SpaceRows
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_class_lists, read_score_kinds, read_spaces
from sightsound.library.store.segments import MappedSegment, SegmentGone
from sightsound.library.store.validation import decode_item, number
from sightsound.library.store.writer import record_inodes

_PAGE = 1000  # contents or items whose outcomes are read at once
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

    def contents(self, space: Space, where: Filter) -> Iterator[ContentRows]:
        """Yield the contents that have matching items, see `Library.stored_contents`."""
        lists = self._class_lists_of(space)
        for rows, outcomes, parts in self._by_content(space, where):
            yield ContentRows([outcome.item for outcome in outcomes], rows, lists, parts)

    def vectors_by_content(self, space: Space, where: Filter) -> Iterator[tuple[list[Outcome], Floats, Seconds]]:
        """Yield the rows of the contents that have matching items, see `Library.vectors_in`."""
        for rows, outcomes, parts in self._by_content(space, where):
            yield outcomes, *rows.read(parts)

    def _by_content(self, space: Space, where: Filter) -> Iterator[tuple[SpaceRows, list[Outcome], list[Part]]]:
        """Yield each content that has matching items: their outcomes, and where its rows are.

        Outcomes are read a thousand contents at a time, so that memory does not grow with their number. The rows are
        those of the last commit when the first is asked for; an item that is changed meanwhile may be left out.
        """
        with self.reading(space) as (space_id, rows):
            matching = matching_contents(self._database, space_id, where)
            pieces, segments = find_places(rows, matching.contents), [runs.segment for runs in rows.runs]
        contents = pieces.content[np.append(True, np.diff(pieces.content) > 0)[: len(pieces.content)]]
        for first in range(0, len(contents), _PAGE):
            page = contents[first : first + _PAGE].tolist()
            outcomes = matching.outcomes(self._database, space_id, page)
            for content in page:
                if content in outcomes:
                    yield rows, outcomes[content], pieces.parts_of(content, segments)

    def items(self, space: Space, where: Filter) -> Iterator[ContentRows]:
        """Yield the items that match, see `Library.stored_items`."""
        query = (
            "SELECT r.path, i.path, i.id, o.content FROM outcomes o JOIN items i ON i.id = o.item JOIN roots r"
            " ON r.id = i.root WHERE o.space = ? AND o.status = 'ok' AND o.item > ? ORDER BY o.item LIMIT ?"
        )
        with self.reading(space) as (space_id, rows):
            matching = matching_contents(self._database, space_id, where)
            pieces, segments = find_places(rows, matching.contents), [runs.segment for runs in rows.runs]
            lists = read_class_lists(self._database, space_id)
        last = -1
        while page := self._database.rows(query, space_id, last, _PAGE):
            last = page[-1][2]
            with self._database.decoding():
                items = [(decode_item(*row), number(content)) for *row, content in page]
            for item, content in items:
                parts = pieces.parts_of(content, segments) if matching.has(item) else []
                if parts:
                    yield ContentRows([item], rows, lists, parts)

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
        lists = self._class_lists_of(space)
        if not lists:
            return
        for rows, outcomes, parts in self._by_content(space, where):
            kept = self.kept_scores(rows, lists, parts)
            if kept is not None:
                yield replace(kept, outcomes=outcomes)

    def _class_lists_of(self, space: Space) -> dict[int, ClassList]:
        """Return the lists of classes that rows of a space may have scores for, by their number."""
        with self.reading(space) as (space_id, _):
            return read_class_lists(self._database, space_id)

    def kept_scores(
        self, rows: SpaceRows, lists: Mapping[int, ClassList], parts: Sequence[tuple[MappedSegment, int, int]]
    ) -> KeptScores | None:
        """Return the scores of some rows; None if they have none."""
        stored = ContentRows([], rows, lists, parts)
        found = stored.scores()
        if found is None:
            return None
        spans = stored.spans()
        return KeptScores([], *found, None if np.isnan(spans[:, 0]).all() else spans)

    def sample(self, space: Space, count: int) -> Floats:
        """Return about `count` rows from all over a space."""
        with self.reading(space) as (_, rows):
            return rows.sample(count)
