"""Rows of several contents that follow each other, which a writer adds at once as another library has them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Seconds
from sightsound.library.store.row_table import as_stored
from sightsound.library.store.score_format import pack, unpack
from sightsound.library.store.score_table import ScoreTable
from sightsound.library.store.segment_pool import SegmentPool
from sightsound.library.store.segments import DTYPES, RECORD, SegmentFacts, as_bytes
from sightsound.library.store.transaction import Transaction


@dataclass(frozen=True, eq=False)
class RowStretch:
    """Rows of several contents that are next to each other in one segment, all rows of each content.

    Parameters
    ----------
    facts : SegmentFacts
        The segment, in the other library.
    contents : ndarray of int64 (n,)
        The numbers of the contents there, in the order of their rows.
    counts : ndarray of int64 (n,)
        How many rows each has.
    parts : list of ndarray
        Vectors at unit length, records, and scores if there are any, as they are stored.
    checksums : list of tuple of int
        CRC-32 of vectors, records and scores of each content.
    highest : ndarray of float32 (n, classes) or None
        The highest score of each class in each content; None without scores.
    """

    facts: SegmentFacts
    contents: NDArray[np.int64]
    counts: NDArray[np.int64]
    parts: list[NDArray[Any]]
    checksums: list[tuple[int, int, int]]
    highest: Floats | None


class StretchTable:
    """Adds rows of contents that have none.

    Parameters
    ----------
    transaction : Transaction
        Where the changes gather.
    files : SegmentPool
        The files that the rows are written to.
    """

    def __init__(self, transaction: Transaction, files: SegmentPool) -> None:
        self._transaction, self._files, self._scores = transaction, files, ScoreTable(transaction)

    def clear_cache(self) -> None:
        """Forget what was looked up, after a rollback."""
        self._scores.clear_cache()

    def room(self, space: int) -> int:
        """Return how many rows of a space follow each other at most."""
        return self._files.layout(space).room

    def add_stored(self, space: int, stretch: RowStretch, contents: NDArray[np.int64]) -> None:
        """Store the rows of contents that are new, as another library has them.

        Parameters
        ----------
        space : int
            Number of the space, in which `SegmentPool.keep_scores` was told what scores the rows have.
        stretch : RowStretch
            The rows; no content has more than `room`.
        contents : ndarray of int64 (n,)
            The numbers that the contents have here.
        """
        layout = self._files.layout(space)
        records = np.array(stretch.parts[1], RECORD)
        records["content"] = np.repeat(contents, stretch.counts)
        vectors = stretch.parts[0].astype(DTYPES[layout.dtype])
        parts = [vectors, records, *(np.array(part) for part in stretch.parts[2:])]
        known: list[tuple[int | None, ...]] = [(each[0], None, each[2]) for each in stretch.checksums]
        if vectors.dtype != stretch.parts[0].dtype:
            known = [(None, None, each[2]) for each in stretch.checksums]
        self._append(space, contents, stretch.counts, parts, known)
        if stretch.highest is not None:
            assert layout.classes is not None
            self._scores.add_highest(space, layout.classes, contents, stretch.highest)

    def add(
        self,
        space: int,
        contents: NDArray[np.int64],
        counts: NDArray[np.int64],
        embeddings: Floats,
        spans: Seconds | None,
        scores: Floats | None,
    ) -> None:
        """Store the rows of contents that are new.

        Parameters
        ----------
        space : int
            Number of the space, in which `SegmentPool.keep_scores` was told what scores the rows have.
        contents, counts : ndarray of int64 (n,)
            The numbers of the contents, and how many rows each has, not more than `room`.
        embeddings : ndarray of float32 (rows, dim)
            The rows, one content after the other.
        spans : ndarray of float64 (rows, 2) or None
            Their seconds; None for images.
        scores : ndarray of float32 (rows, classes) or None
            Their scores.
        """
        layout = self._files.layout(space)
        parts: list[NDArray[Any]] = [*as_stored(np.repeat(contents, counts), embeddings, spans, layout.dtype)]
        if layout.scores is not None:
            assert scores is not None and layout.classes is not None
            parts.append(pack(scores, layout.scores))
            kept = unpack(parts[2], layout.class_count)
            self._scores.add_highest(space, layout.classes, contents, highest_of(kept, counts))
        known = [(None, None, None if layout.scores else 0)] * len(contents)
        self._append(space, contents, counts, parts, known)

    def _append(
        self,
        space: int,
        contents: NDArray[np.int64],
        counts: NDArray[np.int64],
        parts: Sequence[NDArray[Any]],
        known: Sequence[tuple[int | None, ...]],
    ) -> None:
        """Add rows as they are stored, with those of the checksums of each content that are known already."""
        ends, first, done = np.cumsum(counts), 0, 0
        with self._files.errors():
            self._files.require_room(*parts)
            while first < len(contents):
                segment = self._files.free_segment(space, int(counts[first]))
                stop = int(np.searchsorted(ends, done + segment.room, "right"))
                runs = []
                for number in range(first, stop):
                    begin, end = int(ends[number] - counts[number]), int(ends[number])
                    checksums = (
                        zlib.crc32(as_bytes(parts[n][begin:end])) if checksum is None else checksum
                        for n, checksum in enumerate(known[number])
                    )
                    place = segment.id, segment.tail + begin - done, end - begin
                    runs.append((int(contents[number]), space, *place, *checksums))
                segment.append([part[done : int(ends[stop - 1])] for part in parts])
                segment.complete, segment.busy = segment.tail, False
                self._transaction.execute_many(
                    "INSERT INTO runs (content, space, part, segment, first, count, checksum, record_checksum,"
                    " score_checksum) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?)",
                    runs,
                )
                first, done = stop, int(ends[stop - 1])


def highest_of(scores: Floats, counts: NDArray[np.int64]) -> Floats:
    """Return the highest score of each class in each content, float32 (n, classes).

    Parameters
    ----------
    scores : ndarray of float32 (rows, classes)
        The scores of the rows, one content after the other.
    counts : ndarray of int64 (n,)
        How many rows each content has.
    """
    found: Floats = np.maximum.reduceat(scores, np.cumsum(counts) - counts)
    return found
