"""The writer's table of rows: where the vectors of each content are, and which are removed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import LibraryError
from sightsound.library.store.segment_file import SegmentFile
from sightsound.library.store.segment_pool import SegmentPool
from sightsound.library.store.segments import (
    DTYPES,
    RECORD,
    MappedSegment,
    SegmentFacts,
    as_bytes,
)
from sightsound.library.store.transaction import Transaction
from sightsound.media.safe_open import error_line

_COPIED = 4096  # rows that `compact` copies at once


@dataclass
class _Part:
    """Rows of a content that are next to each other in one segment, and their checksums."""

    segment: SegmentFile
    first: int
    count: int = 0
    checksum: int = 0
    record_checksum: int = 0

    def append(self, vectors: NDArray[Any], records: NDArray[Any]) -> None:
        self.segment.append(vectors, records)
        self.count += len(vectors)
        self.checksum = zlib.crc32(as_bytes(vectors), self.checksum)
        self.record_checksum = zlib.crc32(as_bytes(records), self.record_checksum)


class RowTable:
    """Rows of contents by space, as a writer changes them.

    A content's rows are written while it is under way, and found from the commit after it is complete.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    files : SegmentPool
        The files that the rows are written to.
    """

    def __init__(self, transaction: Transaction, files: SegmentPool) -> None:
        self._transaction, self._files = transaction, files
        self._pending: dict[tuple[int, int], list[_Part]] = {}

    def clear_cache(self) -> None:
        """Forget what is under way, after a rollback."""
        self._pending.clear()

    def add(self, content: int, space: int, embeddings: Floats, spans: Seconds | None) -> None:
        """Store some rows of a content, which are under way until `complete`.

        Parameters
        ----------
        content, space : int
            Numbers of the content and of the space.
        embeddings : ndarray of float32 (n, dim)
            The rows that follow those already added.
        spans : ndarray of float64 (n, 2) or None
            Their seconds; None for images.
        """
        norms = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64))
        records = np.empty(len(embeddings), RECORD)
        records["content"], records["norm"] = content, norms
        records["start"], records["stop"] = (np.nan, np.nan) if spans is None else np.asarray(spans, np.float64).T
        vectors = np.divide(
            embeddings, np.where(norms > 0, norms, 1)[:, None], dtype=np.float64, casting="same_kind"
        ).astype(DTYPES[self._files.dtype(space)])
        self._append(content, space, vectors, records)

    def _append(self, content: int, space: int, vectors: NDArray[Any], records: NDArray[Any]) -> None:
        """Add rows as they are stored."""
        parts = self._pending.setdefault((content, space), [])
        with self._files.errors():
            self._files.require_room(vectors, records)
            while len(vectors):
                if not parts or not parts[-1].segment.room:
                    segment = self._files.free_segment(space)
                    parts.append(_Part(segment, segment.tail))
                count = min(len(vectors), parts[-1].segment.room)
                parts[-1].append(vectors[:count], records[:count])
                vectors, records = vectors[count:], records[count:]

    def complete(self, content: int | None, space: int) -> None:
        """Make the rows of a content that are under way those of the content, unless it has some."""
        parts = self._pending.get((content, space), ()) if content is not None else ()
        if not parts or self.exist(content, space):
            self.give_up(content, space)
            return
        for number, part in enumerate(parts):
            self._transaction.execute(
                "INSERT INTO runs (content, space, part, segment, first, count, checksum, record_checksum)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(content, space, number, part.segment.id, part.first, part.count),
                *(part.checksum, part.record_checksum),
            )
            part.segment.complete = part.segment.tail
            part.segment.busy = False
        del self._pending[content, space]  # type: ignore[arg-type]

    def give_up(self, content: int | None, space: int) -> None:
        """Take back the rows of a content that are under way."""
        with self._files.errors():
            for part in self._pending.pop((content, space), ()):  # type: ignore[arg-type]
                self._files.return_room(part.count * (part.segment.facts.row_bytes + part.segment.facts.record_bytes))
                part.segment.give_up()

    def exist(self, content: int | None, space: int) -> bool:
        """Return whether there are complete rows of a content in a space."""
        return bool(self._transaction.read("SELECT 1 FROM runs WHERE content IS ? AND space = ?", content, space))

    def delete(self, content: int | None, space: int) -> None:
        """Delete the rows of a content in a space: they are not found any more, and `compact` gives the space back."""
        self._transaction.execute("UPDATE spaces SET generation = generation + 1 WHERE id = ?", space)
        self._transaction.execute(
            "INSERT INTO removed (segment, first, count, generation)"
            " SELECT segment, first, count, (SELECT generation FROM spaces WHERE id = runs.space) FROM runs"
            " WHERE content IS ? AND space = ?",
            *(content, space),
        )
        self._transaction.execute("DELETE FROM runs WHERE content IS ? AND space = ?", content, space)

    def delete_space(self, space: int) -> int:
        """Delete all rows of a space with their files, and return how many could be found."""
        query = "SELECT coalesce(sum(count), 0) FROM runs WHERE space = ?"
        count = int(self._transaction.execute(query, space).fetchone()[0])
        for key in [key for key in self._pending if key[1] == space]:
            del self._pending[key]
        self._transaction.execute("DELETE FROM runs WHERE space = ?", space)
        self._files.drop_space(space)
        return count

    def uncompacted(self) -> list[int]:
        """Return the numbers of the segments that have removed rows."""
        query = "SELECT id FROM segments WHERE id IN (SELECT segment FROM removed) ORDER BY id"
        return [segment for (segment,) in self._transaction.read(query)]

    def compact(self, segment: int) -> None:
        """Copy the rows of a segment that are not removed to the end of a new one, and drop the segment.

        Parameters
        ----------
        segment : int
            A number that `uncompacted` returned.
        """
        query = (
            "SELECT json_extract(p.facts, '$.dim'), s.id, s.space, s.name, s.dtype, s.rows, s.inode"
            " FROM segments s JOIN spaces p ON p.id = s.space WHERE s.id = ?"
        )
        rows = self._transaction.read(query, segment)
        with self._files.errors():
            try:
                facts = SegmentFacts(*rows[0])
            except (ValueError, IndexError) as error:
                raise self._damaged(error_line(error)) from error
            self._files.begin_anew(facts)
            if facts.rows:
                self._copy_rows(self._files.mapped(facts))
            self._transaction.execute("UPDATE spaces SET generation = generation + 1 WHERE id = ?", facts.space)
            self._files.drop(facts)

    def _copy_rows(self, source: MappedSegment) -> None:
        space = source.facts.space
        query = "SELECT content, part, first, count FROM runs WHERE segment = ? ORDER BY first"
        end = 0
        for content, part, first, count in self._transaction.read(query, source.facts.id):
            if type(first) is not int or type(count) is not int or not end <= first < first + count <= len(source):
                raise self._damaged("a run is not in its segment, or in another run")
            end = first + count
            target = self._files.free_segment(space, count)
            self._transaction.execute(
                "UPDATE runs SET segment = ?, first = ? WHERE content = ? AND space = ? AND part = ?",
                *(target.id, target.tail, content, space, part),
            )
            for at in range(first, first + count, _COPIED):
                size = min(_COPIED, first + count - at)
                target.append(source.stored(at, size), source.records(at, size))
            target.complete = target.tail
            target.busy = False

    def _damaged(self, what: str) -> LibraryError:
        return LibraryError(f"{self._files.folder}: damaged ({what}); run `sightsound check`, restore it from a copy")
