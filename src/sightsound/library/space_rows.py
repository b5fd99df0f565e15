"""The rows of one space, mapped from disk: which belong to which content, and which are removed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import LibraryError
from sightsound.contract.space import Space
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_segments
from sightsound.library.store.segments import MappedSegment, SegmentFacts
from sightsound.library.store.validation import number
from sightsound.library.store.verification import changed_contents
from sightsound.media.safe_open import error_line

log = logging.getLogger(__name__)
_RECORDS = 2**20  # records that are read at once


@dataclass
class SegmentRuns:
    """A mapped segment, or some of its rows, divided into runs: rows of one content that follow each other.

    Parameters
    ----------
    segment : MappedSegment
        The rows.
    starts : ndarray of int64 (n,)
        First row of each run.
    contents : ndarray of int64 (n,)
        Number of the content of each run.
    alive : ndarray of bool (n,)
        Whether the rows can be found; False for removed ones.
    ends : ndarray of int64 (n,) or None
        First row after each run, where the runs are some of the rows only; None if they are the whole segment.
    """

    segment: MappedSegment
    starts: NDArray[np.int64]
    contents: NDArray[np.int64]
    alive: NDArray[np.bool_]
    ends: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        self.stops = np.append(self.starts[1:], len(self.segment)) if self.ends is None else self.ends

    @property
    def partial(self) -> bool:
        """Whether the runs are some of the rows only."""
        return self.ends is not None

    @property
    def count(self) -> int:
        """Number of rows that can be found."""
        return int((self.stops - self.starts)[self.alive].sum())


@dataclass(frozen=True)
class RowsView:
    """Some rows of a space, or all of them at one moment.

    Parameters
    ----------
    runs : list of SegmentRuns
        The rows.
    damaged : callable
        Returns the error for rows that cannot be, as `SpaceRows.damaged`.
    """

    runs: list[SegmentRuns]
    damaged: Callable[[str], LibraryError]


@dataclass
class _Cached:
    """What was read of a segment: where contents change, and what was removed."""

    segment: MappedSegment
    changes: NDArray[np.int64]
    removed: list[tuple[int, int]]

    def __post_init__(self) -> None:
        self.runs = _runs(self)


class SpaceRows:
    """The committed rows of one space, as of the last `refresh`.

    Parameters
    ----------
    database : Database
        The library.
    space_id : int
        Number of the space.
    space : Space
        The space.

    Attributes
    ----------
    runs : list of SegmentRuns
        The rows.
    moved : dict of int to int
        Number -> inode of the segments whose files are copies, and were verified here.
    """

    def __init__(self, database: Database, space_id: int, space: Space) -> None:
        self._database, self._space_id, self.space = database, space_id, space
        self._generation = -1
        self._checked = False
        self._cached: dict[int, _Cached] = {}
        self.moved: dict[int, int] = {}
        self.runs: list[SegmentRuns] = []

    def __len__(self) -> int:
        return sum(runs.count for runs in self.runs)

    def refresh(self, generation: int) -> None:
        """Take up what was committed since the last call; call it inside `Database.snapshot`.

        Only new rows are looked at.

        Parameters
        ----------
        generation : int
            The present generation of the space.

        Raises
        ------
        SegmentGone
            If a file was replaced meanwhile. Begin a new snapshot and try again.
        LibraryError
            If the files are damaged.
        """
        for cached in self._cached.values():
            cached.segment.require_size()
        if generation == self._generation:
            return
        facts = read_segments(self._database, self._space_id, self.space.dim)
        removed = self._read_removed()
        present = {each.id: self._taken_up(each, removed.get(each.id, [])) for each in facts}
        self.runs = [present[each.id].runs for each in facts]
        self._cached, self._generation = present, generation

    def _read_removed(self) -> dict[int, list[tuple[int, int]]]:
        query = (
            "SELECT r.segment, r.first, r.count FROM segments s JOIN removed r ON r.segment = s.id"
            " WHERE s.space = ? AND r.generation > ? ORDER BY r.segment, r.first"
        )
        found: dict[int, list[tuple[int, int]]] = {}
        for segment, first, count in self._database.iterate(query, self._space_id, self._generation):
            with self._database.decoding():
                ranges, first, count = found.setdefault(segment, []), number(first), number(count)
            if ranges and sum(ranges[-1]) == first:  # as where the items of a folder were forgotten
                first, count = ranges[-1][0], ranges.pop()[1] + count
            ranges.append((first, count))
        return found

    def _taken_up(self, facts: SegmentFacts, removed: list[tuple[int, int]]) -> _Cached:
        """Return a segment with its new rows and what was removed."""
        before = self._cached.get(facts.id)
        if before is not None and before.segment.facts == facts:
            return _Cached(before.segment, before.changes, before.removed + removed) if removed else before
        segment = MappedSegment(self._database.folder, facts)
        if segment.inode != facts.inode and segment.inode != self.moved.get(facts.id):
            self._verify(segment)
            self.moved[facts.id] = segment.inode
        known = 0 if before is None else len(before.segment)
        parts = [] if before is None else [before.changes, np.array([known])]
        for first in range(known, len(segment), _RECORDS):
            contents = segment.records(first, min(_RECORDS, len(segment) - first))["content"]
            last = segment.records(first - 1, 1)["content"] if first else ~contents[:1]
            parts.append(np.flatnonzero(np.diff(contents, prepend=last)) + first)
        changes = _distinct(np.concatenate(parts))  # `known` too: a content may follow itself, in another run
        changes = changes[changes < len(segment)].astype(np.int64)
        return _Cached(segment, changes, (before.removed if before else []) + removed)

    def _verify(self, segment: MappedSegment) -> None:
        """Raise `LibraryError` if the rows of a file that was copied are not those that were written."""
        log.info("%s: the folder was copied; its rows are verified once", self._database.file.parent)
        if not self._checked:  # all segments of a copy come with one database
            for (text,) in self._database.rows("PRAGMA quick_check(1)"):
                if text != "ok":
                    raise self.damaged(error_line(ValueError(text)))
            self._checked = True
        if next(changed_contents(self._database, segment), None) is not None:
            raise self.damaged("vectors are not those that were written; the folder may have been copied meanwhile,")

    def view(self) -> RowsView:
        """Return the rows as they are now, which a later `refresh` does not change."""
        return RowsView(list(self.runs), self.damaged)

    @property
    def generation(self) -> int:
        """The generation of the space that the rows are of."""
        return self._generation

    def contents(self) -> NDArray[np.int64]:
        """Return the numbers of the contents that have rows, sorted."""
        found = [runs.contents[runs.alive] for runs in self.runs]
        return _distinct(np.sort(np.concatenate([*found, np.empty(0, np.int64)])))

    def places(self, contents: NDArray[np.int64]) -> dict[int, list[tuple[MappedSegment, int, int]]]:
        """Return where the rows of some contents are: content, in ascending order -> what `read` takes."""
        found: dict[int, list[tuple[MappedSegment, int, int]]] = {}
        for runs in self.runs:
            wanted = runs.alive & np.isin(runs.contents, contents)
            numbers = (each[wanted].tolist() for each in (runs.contents, runs.starts, runs.stops))
            for content, start, stop in zip(*numbers):
                found.setdefault(content, []).append((runs.segment, start, stop - start))
        found |= {content: parts for content, parts in self.in_parts().items() if content in found}
        return dict(sorted(found.items()))

    def in_parts(self) -> dict[int, list[tuple[MappedSegment, int, int]]]:
        """Return where the rows of contents of several parts are; `compact` may have changed the order of these."""
        query = (
            "SELECT r.content, r.segment, r.first, r.count FROM runs r JOIN runs o ON o.content = r.content"
            " AND o.space = r.space AND o.part = 1 WHERE r.space = ? ORDER BY r.content, r.part"
        )
        found: dict[int, list[tuple[int, int, int]]] = {}
        for content, *part in self._database.rows(query, self._space_id):
            found.setdefault(content, []).append((part[0], part[1], part[2]))
        return {content: self.mapped(parts) for content, parts in found.items()}

    def read(self, parts: list[tuple[MappedSegment, int, int]]) -> tuple[Floats, Seconds]:
        """Return the rows of some (segment, first row, number of rows), and their seconds.

        Raises `LibraryError` for rows that are not finite.
        """
        with np.errstate(all="ignore"):
            rows = np.concatenate([segment.rows(first, count) for segment, first, count in parts])
        if not np.isfinite(rows).all():
            raise self.damaged("a vector is not finite")
        return rows, self.spans(parts)

    def spans(self, parts: Sequence[tuple[MappedSegment, int, int]]) -> Seconds:
        """Return the start and stop of some rows in seconds, float64 (n, 2); NaN for images. Takes what `read` does."""
        records = np.concatenate([segment.records(first, count) for segment, first, count in parts])
        return np.stack([records["start"], records["stop"]], axis=1)

    def scores(self, parts: Sequence[tuple[MappedSegment, int, int]]) -> tuple[int, Floats] | None:
        """Return the number of the list of classes, and the scores of some rows, float32 (n, classes).

        Returns None if they have none. Takes what `read` takes.
        """
        with self._database.decoding():
            found = [segment.scores(first, count) for segment, first, count in parts]
        scores = [each for each in found if each is not None]
        classes = parts[0][0].facts.layout.classes
        if len(scores) < len(parts) or classes is None:
            return None
        return classes, np.concatenate(scores)

    def mapped(self, parts: Iterable[tuple[int, int, int]]) -> list[tuple[MappedSegment, int, int]]:
        """Return what `read` and `scores` take, of some (number of a segment, first row, number of rows)."""
        found, left = [], sum(len(cached.segment) for cached in self._cached.values())
        with self._database.decoding():
            for segment, first, count in parts:
                mapped, left = self._cached[segment].segment, left - count
                if not 0 <= first <= first + count <= len(mapped) or left < 0:
                    raise ValueError(f"rows {first} to {first + count} of segment {segment}: expected {len(mapped)}")
                found.append((mapped, number(first), number(count)))
        return found

    def sample(self, count: int) -> Floats:
        """Return about `count` rows from all over the space, float32 (n, dim)."""
        parts = []
        step = max(1, len(self) // max(1, count))
        for runs in self.runs:
            rows = np.arange(0, len(runs.segment), step)
            alive = runs.alive[np.searchsorted(runs.starts, rows, "right") - 1]
            parts += [(runs.segment, row, 1) for row in rows[alive].tolist()]
        return self.read(parts)[0] if parts else np.empty((0, self.space.dim), np.float32)

    def damaged(self, what: str) -> LibraryError:
        """Return the error for rows that cannot be."""
        return LibraryError(
            f"{self._database.file.parent}: damaged ({what} in {self.space.name}); run `sightsound check`, "
            "restore it from a copy"
        )


def members(values: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which values are among sorted known ones."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == values
    return found


def count_of_contents(runs: Iterable[SegmentRuns], contents: NDArray[np.int64]) -> int:
    """Return how many rows some contents have, whose numbers are sorted."""
    total = 0
    for each in runs:
        chosen = each.alive & members(each.contents, contents)
        total += int((each.stops - each.starts)[chosen].sum())
    return total


def _runs(cached: _Cached) -> SegmentRuns:
    """Divide a segment at each change of content and at the ends of what was removed."""
    segment, starts = cached.segment, cached.changes
    alive = None
    if cached.removed:
        removed = np.array(cached.removed, np.int64).reshape(-1, 2)
        first, stop = np.clip(removed[:, 0], 0, len(segment)), np.clip(removed.sum(1), 0, len(segment))
        starts = _distinct(np.sort(np.concatenate([starts, first, stop]), kind="stable"))
        starts = starts[starts < len(segment)]
        depth = np.zeros(len(starts) + 1, np.int64)
        np.add.at(depth, np.searchsorted(starts, first), 1)
        np.add.at(depth, np.searchsorted(starts, stop), -1)
        alive = np.cumsum(depth)[:-1] <= 0
    contents = _contents(segment, starts)
    return SegmentRuns(segment, starts, contents, np.ones(len(starts), np.bool_) if alive is None else alive)


def _distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sorted numbers once each; `np.unique` does not use that they are sorted, and takes ten times as long."""
    return numbers[np.append(True, numbers[1:] != numbers[:-1])] if len(numbers) else numbers


def _contents(segment: MappedSegment, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the content of each run."""
    parts = []
    for first in range(0, len(segment), _RECORDS):
        count = min(_RECORDS, len(segment) - first)
        inside = starts[(starts >= first) & (starts < first + count)]
        parts.append(segment.records(first, count)["content"][inside - first])
    return np.concatenate(parts).astype(np.int64)
