"""The library that another one takes in, as of one moment."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.card import Modality
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Item, Outcome
from sightsound.library.store.database import Database
from sightsound.library.store.intake import HAS_RANGES, RANGE_COLUMNS
from sightsound.library.store.lookup import FoundItem, Lookup
from sightsound.library.store.queries import read_class_lists, read_segments, read_spaces
from sightsound.library.store.segments import MappedSegment, SegmentFacts, SegmentGone, as_bytes
from sightsound.library.store.validation import decode_item, decode_outcome, digest, number, text

_ROWS = 2**14  # that are copied at once
_BYTES = 2**25
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
        self._classes = {id_: read_class_lists(database, id_) for id_ in self.spaces}

    def __len__(self) -> int:
        ((count,),) = self._database.rows("SELECT count(*) FROM items")
        return int(count)

    def items(self) -> Iterator[tuple[FoundItem, tuple[int, int], Modality | None]]:
        """Yield each item, with size and mtime_ns of its file and the modality of its content."""
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

    def outcomes(self, item: FoundItem) -> list[StoredOutcome]:
        """Return the outcomes of an item."""
        query = (
            "SELECT o.space, o.content, c.hash, c.modality, o.status, o.reason, o.flags, o.seconds, o.facts"
            " FROM outcomes o LEFT JOIN contents c ON c.id = o.content WHERE o.item = ? ORDER BY o.space"
        )
        rows = self._database.rows(query, item.id)
        with self._database.decoding():
            found = decode_item(item.root, item.path, item.id)
            of = Item(found.root, found.path)
            return [
                StoredOutcome(
                    decode_outcome(of, *outcome), number(space), content, hash_ and digest(hash_), _modality(modality)
                )
                for space, content, hash_, modality, *outcome in rows
            ]

    def ranges(self, item: FoundItem) -> list[tuple[Any, ...]]:
        """Return the labels of time ranges of an item, in the order of `RANGE_COLUMNS`."""
        if not HAS_RANGES:
            return []
        return self._database.rows(f"SELECT {', '.join(RANGE_COLUMNS)} FROM ranges WHERE item = ? ORDER BY id", item.id)

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
        query = (
            "SELECT segment, first, count, checksum, record_checksum, score_checksum FROM runs"
            " WHERE content = ? AND space = ? ORDER BY part"
        )
        for segment, first, count, *expected in self._database.rows(query, content, space):
            with self._database.decoding():
                mapped = self._segments[segment]
                if not 0 <= number(first) < first + number(count) <= len(mapped):
                    raise ValueError(f"rows {first} to {first + count} of segment {segment}")
            mapped.require_size()
            step = max(1, min(_ROWS, _BYTES // mapped.facts.layout.row_bytes))
            checksums, sound = [0, 0, 0], True
            for at in range(first, first + count, step):
                parts = mapped.parts(at, min(step, first + count - at))
                sound &= bool((parts[1]["content"] == content).all() and np.isfinite(parts[0]).all())
                for n, part in enumerate(parts):
                    checksums[n] = zlib.crc32(as_bytes(part), checksums[n])
                yield parts
            if not sound or checksums != expected:
                raise LibraryError(
                    f"{self._database.file.parent}: damaged (rows of content {content} in {self.spaces[space].name} "
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
    return cast(Modality | None, value)
