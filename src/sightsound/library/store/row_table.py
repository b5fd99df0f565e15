"""The writer's table of rows: where the vectors of each content are, and which are removed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import LibraryError
from sightsound.library.store.score_format import pack, unpack
from sightsound.library.store.score_table import ScoreTable
from sightsound.library.store.segment_file import SegmentFile
from sightsound.library.store.segment_pool import SegmentPool
from sightsound.library.store.segments import DTYPES, RECORD, SEGMENT_COLUMNS, MappedSegment, SegmentFacts, as_bytes
from sightsound.library.store.transaction import Transaction
from sightsound.media.safe_open import error_line

PARTIAL_SCORES = "scores"
"""A fact of items whose rows have only some of the scores of the network: those that a table had."""
_COPIED = 4096  # rows that `compact` copies at once
_RUNS = 10_000  # that it reads at once


@dataclass
class _Part:
    """Rows of a content that are next to each other in one segment, and the checksums of their parts in each file."""

    segment: SegmentFile
    first: int
    count: int = 0
    checksums: list[int] = field(default_factory=lambda: [0, 0, 0])

    def append(self, parts: Sequence[NDArray[Any]]) -> None:
        self.segment.append(parts)
        self.count += len(parts[0])
        for number, part in enumerate(parts):
            self.checksums[number] = zlib.crc32(as_bytes(part), self.checksums[number])


class RowComparison:
    """Compares rows that come block by block with those that a content has, by their checksums.

    Parameters
    ----------
    content : int
        Number of the content.
    parts : sequence of tuple
        Type of the numbers, number of rows, and CRC-32 of vectors and of records, for each part of its rows.
    """

    def __init__(self, content: int, parts: Sequence[tuple[Any, ...]]) -> None:
        self._content, self._expected = content, [*reversed(parts)]
        self._count, self._checksums, self._same = 0, [0, 0], True

    def add(self, embeddings: Floats, spans: Seconds | None) -> None:
        """Compare the rows that follow; parameters as of `RowTable.add`."""
        first = 0
        while first < len(embeddings) and self._same:
            if not self._expected:
                self._same = False
                return
            dtype, count, *checksums = self._expected[-1]
            stop = min(len(embeddings), first + count - self._count)
            chosen = None if spans is None else spans[first:stop]
            for number, part in enumerate(as_stored(self._content, embeddings[first:stop], chosen, dtype)):
                self._checksums[number] = zlib.crc32(as_bytes(part), self._checksums[number])
            self._count, first = self._count + stop - first, stop
            if self._count == count:
                self._same = self._checksums == checksums
                self._count, self._checksums = 0, [0, 0]
                self._expected.pop()

    @property
    def same(self) -> bool:
        """Whether the rows that were added are those that the content has, all of them."""
        return self._same and not self._expected


def as_stored(
    content: int | NDArray[np.int64], embeddings: Floats, spans: Seconds | None, dtype: str
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return rows at unit length, and their records, as they are stored.

    Parameters
    ----------
    content : int or ndarray of int64 (n,)
        Number of their content, or of each.
    embeddings : ndarray of float32 (n, dim)
        The rows.
    spans : ndarray of float64 (n, 2) or None
        Their seconds; None for images.
    dtype : {"f32", "f16"}
        The type of the numbers.
    """
    norms = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings, dtype=np.float64))
    records = np.empty(len(embeddings), RECORD)
    records["content"], records["norm"] = content, norms
    records["start"], records["stop"] = (np.nan, np.nan) if spans is None else np.asarray(spans, np.float64).T
    lengths = np.where(norms > 0, norms, 1)[:, None]
    vectors = np.divide(embeddings, lengths, dtype=np.float64, casting="same_kind").astype(DTYPES[dtype])
    return vectors, records


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
        self._scores = ScoreTable(transaction)

    def clear_cache(self) -> None:
        """Forget what is under way, after a rollback."""
        self._pending.clear()
        self._scores.clear_cache()

    def keep_scores(self, space: int, kind: str | None, classes: ClassList | None) -> None:
        """Say what scores the rows have that are added to a space from now on; none by default."""
        if classes is None:
            self._files.keep_scores(space, None, None, 0)
        else:
            self._files.keep_scores(space, kind, self._scores.list_id(classes), len(classes))

    def add(
        self, content: int, space: int, embeddings: Floats, spans: Seconds | None, scores: Floats | None = None
    ) -> None:
        """Store some rows of a content, which are under way until `complete`.

        Parameters
        ----------
        content, space : int
            Numbers of the content and of the space.
        embeddings : ndarray of float32 (n, dim)
            The rows that follow those already added.
        spans : ndarray of float64 (n, 2) or None
            Their seconds; None for images.
        scores : ndarray of float32 (n, classes) or None
            Their scores, which are stored as `SegmentPool.keep_scores` says.
        """
        layout = self._files.layout(space)
        parts: list[NDArray[Any]] = [*as_stored(content, embeddings, spans, layout.dtype)]
        if layout.scores is not None:
            assert scores is not None
            parts.append(pack(scores, layout.scores))
            assert layout.classes is not None
            self._scores.add(content, space, layout.classes, unpack(parts[2], layout.class_count))
        self._append(content, space, parts)

    def add_stored(self, content: int, space: int, parts: Sequence[NDArray[Any]]) -> None:
        """Store some rows of a content as another library has them, without computing them anew.

        Parameters
        ----------
        content, space : int
            Numbers of the content and of the space.
        parts : sequence of ndarray
            Vectors at unit length, records, and scores where `SegmentPool.keep_scores` says so, as they are stored.
        """
        layout = self._files.layout(space)
        records = np.array(parts[1], RECORD)
        records["content"] = content
        rows: list[NDArray[Any]] = [parts[0].astype(DTYPES[layout.dtype]), records]
        if layout.scores is not None:
            assert layout.classes is not None
            rows.append(np.array(parts[2]))
            self._scores.add(content, space, layout.classes, unpack(rows[2], layout.class_count))
        self._append(content, space, rows)

    def comparison(self, content: int, space: int) -> RowComparison | None:
        """Return what compares rows with those that a content has in a space, None if it has none."""
        query = (
            "SELECT s.dtype, r.count, r.checksum, r.record_checksum FROM runs r JOIN segments s ON s.id = r.segment"
            " WHERE r.content = ? AND r.space = ? ORDER BY r.part"
        )
        found = self._transaction.read(query, content, space)
        return RowComparison(content, found) if found else None

    def _append(self, content: int, space: int, rows: list[NDArray[Any]]) -> None:
        """Add rows as they are stored."""
        parts = self._pending.setdefault((content, space), [])
        with self._files.errors():
            self._files.require_room(*rows)
            while len(rows[0]):
                if not parts or not parts[-1].segment.room:
                    segment = self._files.free_segment(space)
                    parts.append(_Part(segment, segment.tail))
                count = min(len(rows[0]), parts[-1].segment.room)
                parts[-1].append([each[:count] for each in rows])
                rows = [each[count:] for each in rows]

    def complete(self, content: int | None, space: int) -> None:
        """Make the rows of a content that are under way those of the content, unless it has some."""
        parts = self._pending.get((content, space), ()) if content is not None else ()
        if not parts or (self.exist(content, space) and not self._adds_scores(content, space, parts)):
            self.give_up(content, space)
            return
        if self.exist(content, space):
            self.delete(content, space)
        for number, part in enumerate(parts):
            self._transaction.execute(
                "INSERT INTO runs (content, space, part, segment, first, count, checksum, record_checksum,"
                " score_checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(content, space, number, part.segment.id, part.first, part.count),
                *part.checksums,
            )
            part.segment.complete = part.segment.tail
            part.segment.busy = False
        assert content is not None
        if parts[0].segment.facts.layout.scores is not None:
            for table in ("tags", "tagged"):  # of an older version, which the scores replace
                self._transaction.execute(f"DELETE FROM {table} WHERE content = ? AND space = ?", content, space)
        self._scores.complete(content, space)
        del self._pending[content, space]

    def _adds_scores(self, content: int | None, space: int, parts: Sequence[_Part]) -> bool:
        """Return whether rows that are under way have scores, and those that the content has do not."""
        return parts[0].segment.facts.layout.scores is not None and not self.have_all_scores(content, space)

    def have_scores(self, content: int | None, space: int) -> bool:
        """Return whether a content has rows with scores in a space."""
        query = (
            "SELECT 1 FROM runs r JOIN segments s ON s.id = r.segment WHERE r.content IS ? AND r.space = ?"
            " AND s.scores IS NOT NULL"
        )
        return bool(self._transaction.read(query, content, space))

    def have_all_scores(self, content: int | None, space: int) -> bool:
        """Return whether a content has rows with scores in a space, and not only some, from a table."""
        query = (
            "SELECT 1 FROM outcomes WHERE content IS ? AND space = ?"
            " AND iif(json_valid(facts), json_extract(facts, ?), NULL) IS NOT NULL"
        )
        partial = self._transaction.read(query, content, space, f"$.{PARTIAL_SCORES}")
        return self.have_scores(content, space) and not partial

    def give_up(self, content: int | None, space: int) -> None:
        """Take back the rows of a content that are under way."""
        self._scores.give_up(content, space)
        with self._files.errors():
            for part in self._pending.pop((content, space), ()):  # type: ignore[arg-type]
                self._files.return_room(part.count * part.segment.facts.layout.row_bytes)
                part.segment.give_up()

    def exist(self, content: int | None, space: int) -> bool:
        """Return whether there are complete rows of a content in a space."""
        return bool(self._transaction.read("SELECT 1 FROM runs WHERE content IS ? AND space = ?", content, space))

    def move(self, space: int, into: int) -> None:
        """Move the rows of a space to another one; those of contents that have rows there are deleted."""
        both = "SELECT content FROM runs WHERE space = ? INTERSECT SELECT content FROM runs WHERE space = ?"
        for (content,) in self._transaction.read(both, space, into):
            self.delete(content, space)
        self._transaction.execute("UPDATE spaces SET generation = generation + 1 WHERE id = ?", into)
        self._transaction.execute(
            "UPDATE removed SET generation = (SELECT generation FROM spaces WHERE id = ?)"
            " WHERE segment IN (SELECT id FROM segments WHERE space = ?)",
            *(into, space),
        )
        self._files.move_space(space, into)
        for table in ("runs", "highest", "tags", "tagged"):
            self._transaction.execute(f"UPDATE {table} SET space = ? WHERE space = ?", into, space)

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
        self._scores.delete(content, space)

    def delete_space(self, space: int) -> int:
        """Delete all rows of a space with their files, and return how many could be found."""
        query = "SELECT coalesce(sum(count), 0) FROM runs WHERE space = ?"
        count = int(self._transaction.execute(query, space).fetchone()[0])
        for key in [key for key in self._pending if key[1] == space]:
            del self._pending[key]
        self._transaction.execute("DELETE FROM runs WHERE space = ?", space)
        self._scores.delete_space(space)
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
            f"SELECT json_extract(p.facts, '$.dim'), {SEGMENT_COLUMNS} FROM segments s"
            " JOIN spaces p ON p.id = s.space WHERE s.id = ?"
        )
        rows = self._transaction.read(query, segment)
        with self._files.errors():
            try:
                facts = SegmentFacts.of(rows[0][0], rows[0][1:])
            except (ValueError, IndexError) as error:
                raise self._damaged(error_line(error)) from error
            self._files.begin_anew(facts)
            if facts.rows:
                self._copy_rows(self._files.mapped(facts))
            self._transaction.execute("UPDATE spaces SET generation = generation + 1 WHERE id = ?", facts.space)
            self._files.drop(facts)

    def _copy_rows(self, source: MappedSegment) -> None:
        space = source.facts.space
        query = f"SELECT content, part, first, count FROM runs WHERE segment = ? ORDER BY first LIMIT {_RUNS}"
        end = 0
        while runs := self._transaction.read(query, source.facts.id):  # those that were copied are in another segment
            for content, part, first, count in runs:
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
                    target.append(source.parts(at, size))
                target.complete = target.tail
                target.busy = False

    def _damaged(self, what: str) -> LibraryError:
        return LibraryError(f"{self._files.folder}: damaged ({what}); run `sightsound check`, restore it from a copy")
