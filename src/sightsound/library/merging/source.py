"""The library that another one takes in, as of one moment."""

from __future__ import annotations

import contextlib
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.card import Modality
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Outcome
from sightsound.library.store.database import Database
from sightsound.library.store.lookup import FoundItem, Lookup
from sightsound.library.store.new_items import RANGE_COLUMNS
from sightsound.library.store.queries import read_class_lists, read_segments, read_spaces
from sightsound.library.store.score_format import unpack
from sightsound.library.store.segments import MappedSegment, SegmentFacts, SegmentGone, as_bytes
from sightsound.library.store.stretches import RowStretch, highest_of
from sightsound.library.store.validation import decode_item, decode_outcome, digest, number, text

_ITEMS = 2000  # that are read at once
_ROWS = 2**14  # that are copied at once
_BYTES = 2**25
STRETCH_BYTES = 2**22
"""Bytes of the rows of several contents that are copied at once."""
_ATTEMPTS = 5  # where `compact` replaces files meanwhile


@dataclass(frozen=True)
class StoredOutcome:
    """An outcome of an item.

    Parameters
    ----------
    outcome : Outcome
        What became of it.
    space : int
        Number of the space in the source, 0 where no model was run.
    content : int or None
        Number of the content that represents it.
    hash : bytes or None
        SHA-256 of this content.
    modality : {"image", "sound"} or None
        Of this content.
    """

    outcome: Outcome
    space: int
    content: int | None
    hash: bytes | None
    modality: Modality | None


SourceItem = tuple[FoundItem, tuple[int, int], Modality | None]
"""An item, with size and mtime_ns of its file, and the modality of its content."""


@dataclass(frozen=True)
class StoredRun:
    """Where rows of a content are: a row of the table `runs`.

    Parameters
    ----------
    content, space, segment : int
        Numbers in the source.
    first, count : int
        The rows of the segment.
    checksum, record_checksum, score_checksum : int
        CRC-32 of vectors, records and scores.
    """

    content: int
    space: int
    segment: int
    first: int
    count: int
    checksum: int
    record_checksum: int
    score_checksum: int

    @property
    def checksums(self) -> tuple[int, int, int]:
        """Of vectors, records and scores."""
        return self.checksum, self.record_checksum, self.score_checksum

    def follows(self, other: StoredRun) -> bool:
        """Return whether its rows stand behind those of another run."""
        return self.segment == other.segment and self.first == other.first + other.count


class MergeSource:
    """A library that is read item by item; make one with `reading`.

    Parameters
    ----------
    database : Database
        The library, in a snapshot.

    Attributes
    ----------
    lookup : Lookup
        Its items and labels.
    spaces : dict of int to Space
        Its spaces by number.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.lookup = Lookup(database.rows)
        self.spaces = read_spaces(database)
        self._segments = {
            facts.id: MappedSegment(database.folder, facts)
            for id_, space in self.spaces.items()
            for facts in read_segments(database, id_, space.dim)
        }
        self._row_bytes = {id_: mapped.facts.layout.row_bytes for id_, mapped in self._segments.items()}
        self._classes = {id_: read_class_lists(database, id_) for id_ in self.spaces}

    def __len__(self) -> int:
        ((count,),) = self._database.rows("SELECT count(*) FROM items")
        return int(count)

    def blocks(self) -> Iterator[list[SourceItem]]:
        """Yield all items, some at a time."""
        items = self._items()
        while block := list(itertools.islice(items, _ITEMS)):
            yield block

    def _items(self) -> Iterator[SourceItem]:
        query = (
            "SELECT i.id, r.path, i.path, c.hash, i.size, i.mtime_ns, c.modality FROM items i"
            " JOIN roots r ON r.id = i.root LEFT JOIN contents c ON c.id = i.content ORDER BY i.id"
        )
        for id_, root, path, hash_, size, mtime_ns, modality in self._database.iterate(query):
            with self._database.decoding():
                decode_item(root, path, id_)
                found = FoundItem(number(id_), root, path, None if hash_ is None else digest(hash_))
                kind = _modality(modality)
                stat = number(size or 0), number(mtime_ns or 0)
            yield found, stat, kind

    def outcomes(self, items: Sequence[FoundItem]) -> dict[int, list[StoredOutcome]]:
        """Return the outcomes of some items by the id of the item, in the order of their spaces."""
        query = (
            "SELECT o.item, o.space, o.content, c.hash, c.modality, o.status, o.reason, o.flags, o.seconds, o.facts"
            " FROM outcomes o LEFT JOIN contents c ON c.id = o.content"
            " WHERE o.item IN (SELECT value FROM json_each(?)) ORDER BY o.item, o.space"
        )
        rows = self._database.rows(query, _ids(items))
        found: dict[int, list[StoredOutcome]] = {item.id: [] for item in items}
        with self._database.decoding():
            files = {item.id: decode_item(item.root, item.path, item.id) for item in items}
            for id_, space, content, hash_, modality, *outcome in rows:
                of = files[id_]
                found[id_].append(
                    StoredOutcome(
                        decode_outcome(of, *outcome),
                        number(space),
                        content,
                        hash_ and digest(hash_),
                        _modality(modality),
                    )
                )
        return found

    def labels(self, items: Sequence[FoundItem]) -> dict[int, list[tuple[str, str]]]:
        """Return the labels of those of some items that have any, as column and value, by the id of the item."""
        query = (
            'SELECT item, "column", value FROM labels WHERE item IN (SELECT value FROM json_each(?)) ORDER BY 1, 2, 3'
        )
        found: dict[int, list[tuple[str, str]]] = {}
        rows = self._database.rows(query, _ids(items))
        with self._database.decoding():
            for id_, column, value in rows:
                found.setdefault(id_, []).append((text(column), text(value)))
        return found

    def ranges(self, items: Sequence[FoundItem]) -> dict[int, list[tuple[Any, ...]]]:
        """Return the labels of time ranges of those of some items that have any, in the order of `RANGE_COLUMNS`."""
        query = (
            f"SELECT item, {', '.join(RANGE_COLUMNS)} FROM ranges"
            " WHERE item IN (SELECT value FROM json_each(?)) ORDER BY item, id"
        )
        found: dict[int, list[tuple[Any, ...]]] = {}
        for id_, *values in self._database.rows(query, _ids(items)):
            found.setdefault(id_, []).append(tuple(values))
        return found

    def runs(self, contents: Iterable[int]) -> list[StoredRun]:
        """Return the runs of some contents, in the order in which they are stored."""
        query = "WHERE content IN (SELECT value FROM json_each(?)) ORDER BY segment, first"
        return self._runs(query, json.dumps(list(contents)))

    def _runs(self, query: str, *values: Any) -> list[StoredRun]:
        rows = self._database.rows(
            "SELECT content, space, segment, first, count, checksum, record_checksum, score_checksum FROM runs "
            + query,
            *values,
        )
        found = [StoredRun(*row) for row in rows]
        with self._database.decoding():
            for run in found:
                mapped = self._segments[run.segment]
                inside = 0 <= number(run.first) < run.first + number(run.count) <= len(mapped)
                if not inside or mapped.facts.space != run.space:
                    raise ValueError(f"rows {run.first} to {run.first + run.count} of segment {run.segment}")
        return found

    def tagged(self, contents: Iterable[int]) -> set[int]:
        """Return those of some contents that an older version has tagged."""
        query = "SELECT content FROM tagged WHERE content IN (SELECT value FROM json_each(?))"
        return {content for (content,) in self._database.rows(query, json.dumps(list(contents)))}

    def run_bytes(self, run: StoredRun) -> int:
        """Return how many bytes the rows of a run have."""
        return run.count * self._row_bytes[run.segment]

    def layout(self, content: int, space: int) -> SegmentFacts | None:
        """Return the segment that the first rows of a content are in, None if it has none."""
        query = "SELECT segment FROM runs WHERE content = ? AND space = ? ORDER BY part LIMIT 1"
        rows = self._database.rows(query, content, space)
        with self._database.decoding():
            return self._segments[rows[0][0]].facts if rows else None

    def class_list(self, facts: SegmentFacts) -> ClassList | None:
        """Return the classes that the rows of a segment have scores for, None without scores."""
        with self._database.decoding():
            classes = facts.layout.classes
            return None if classes is None or facts.layout.scores is None else self._classes[facts.space][classes]

    def rows(self, content: int, space: int) -> Iterator[list[NDArray[Any]]]:
        """Yield the rows of a content as they are stored, block by block.

        Raises
        ------
        LibraryError
            At the end, if they are not those that were written.
        """
        for run in self._runs("WHERE content = ? AND space = ? ORDER BY part", content, space):
            mapped = self._segments[run.segment]
            mapped.require_size()
            step = max(1, min(_ROWS, _BYTES // mapped.facts.layout.row_bytes))
            checksums, sound = [0, 0, 0], True
            for at in range(run.first, run.first + run.count, step):
                parts = mapped.parts(at, min(step, run.first + run.count - at))
                sound &= bool((parts[1]["content"] == content).all() and np.isfinite(parts[0]).all())
                for n, part in enumerate(parts):
                    checksums[n] = zlib.crc32(as_bytes(part), checksums[n])
                yield parts
            if not sound or checksums != [*run.checksums]:
                raise self._damaged(run)

    def stretches(self, runs: Sequence[StoredRun]) -> Iterator[RowStretch]:
        """Yield the rows of some runs, those that follow each other at once.

        Parameters
        ----------
        runs : sequence of StoredRun
            Each has all rows of its content in its space; in the order of `runs`.

        Raises
        ------
        LibraryError
            If rows are not those that were written.
        """
        first = 0
        while first < len(runs):
            size, stop = self.run_bytes(runs[first]), first + 1
            while stop < len(runs) and runs[stop].follows(runs[stop - 1]):
                size += self.run_bytes(runs[stop])
                if size > STRETCH_BYTES:
                    break
                stop += 1
            yield self._stretch(runs[first:stop])
            first = stop

    def _stretch(self, runs: Sequence[StoredRun]) -> RowStretch:
        mapped = self._segments[runs[0].segment]
        mapped.require_size()
        contents, counts = np.array([run.content for run in runs]), np.array([run.count for run in runs])
        starts = np.cumsum(counts) - counts
        parts = mapped.parts(runs[0].first, int(counts.sum()))
        data = [(as_bytes(part), part.nbytes // len(part)) for part in parts]
        for run, start in zip(runs, starts.tolist()):
            for (part, width), expected in zip(data, run.checksums):
                if zlib.crc32(part[start * width : (start + run.count) * width]) != expected:
                    raise self._damaged(run)
            if len(parts) < 3 and run.score_checksum != 0:
                raise self._damaged(run)
        if not np.array_equal(parts[1]["content"], np.repeat(contents, counts)) or not np.isfinite(parts[0]).all():
            raise self._damaged(runs[0])
        highest = None
        if len(parts) > 2:
            with self._database.decoding():
                highest = highest_of(unpack(parts[2], mapped.facts.layout.class_count), counts)
        return RowStretch(mapped.facts, contents, counts, parts, [run.checksums for run in runs], highest)

    def _damaged(self, run: StoredRun) -> LibraryError:
        return LibraryError(
            f"{self._database.file.parent}: damaged (rows of content {run.content} in {self.spaces[run.space].name} "
            "are not those that were written); run `sightsound check`, restore it from a copy"
        )

    def tags(self, content: int, space: int) -> tuple[str, list[tuple[Any, ...]]] | None:
        """Return the rules and the tags of a content that an older version has tagged, None for others."""
        rules = self._database.rows("SELECT rules FROM tagged WHERE content = ? AND space = ?", content, space)
        if not rules:
            return None
        query = "SELECT label, class, start, stop, mean, peak FROM tags WHERE content = ? AND space = ? ORDER BY id"
        with self._database.decoding():
            return text(rules[0][0]), self._database.rows(query, content, space)


@contextlib.contextmanager
def reading(database: Database) -> Iterator[MergeSource]:
    """Yield a library as of one moment. It is not changed, and may be written by others meanwhile."""
    for attempt in range(_ATTEMPTS):
        with database.snapshot():
            try:
                source = MergeSource(database)
            except SegmentGone:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue
            yield source
            return


_MODALITIES = (None, *get_args(Modality))


def _modality(value: object) -> Modality | None:
    if value not in _MODALITIES:
        raise ValueError(f"expected a modality, got {value!r}")
    return cast("Modality | None", value)


def _ids(items: Sequence[FoundItem]) -> str:
    return json.dumps([item.id for item in items])
