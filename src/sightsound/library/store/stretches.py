"""Rows of several contents that follow each other, which a writer adds at once as another library has them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
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

    def add(self, space: int, stretch: RowStretch, contents: NDArray[np.int64]) -> None:
        """Store the rows of contents that are new.

        Parameters
        ----------
        space : int
            Number of the space, in which `SegmentPool.keep_scores` was told what scores the rows have.
        stretch : RowStretch
            The rows, none of more than `room` rows.
        contents : ndarray of int64 (n,)
            The numbers that the contents have here.
        """
        layout = self._files.layout(space)
        records = np.array(stretch.parts[1], RECORD)
        records["content"] = np.repeat(contents, stretch.counts)
        vectors = stretch.parts[0].astype(DTYPES[layout.dtype])
        parts = [vectors, records, *(np.array(part) for part in stretch.parts[2:])]
        converted = vectors.dtype != stretch.parts[0].dtype
        ends, first, done = np.cumsum(stretch.counts), 0, 0
        with self._files.errors():
            self._files.require_room(*parts)
            while first < len(contents):
                segment = self._files.free_segment(space, int(stretch.counts[first]))
                stop = int(np.searchsorted(ends, done + segment.room, "right"))
                runs, at = [], segment.tail
                for number in range(first, stop):
                    begin, end = int(ends[number] - stretch.counts[number]), int(ends[number])
                    vector_checksum, _, score_checksum = stretch.checksums[number]
                    if converted:
                        vector_checksum = zlib.crc32(as_bytes(vectors[begin:end]))
                    checksums = vector_checksum, zlib.crc32(as_bytes(records[begin:end])), score_checksum
                    runs.append((int(contents[number]), space, segment.id, at + begin - done, end - begin, *checksums))
                segment.append([part[done : int(ends[stop - 1])] for part in parts])
                segment.complete, segment.busy = segment.tail, False
                self._transaction.execute_many(
                    "INSERT INTO runs (content, space, part, segment, first, count, checksum, record_checksum,"
                    " score_checksum) VALUES (?, ?, 0, ?, ?, ?, ?, ?, ?)",
                    runs,
                )
                first, done = stop, int(ends[stop - 1])
        if stretch.highest is not None:
            assert layout.classes is not None
            self._scores.add_highest(space, layout.classes, contents, stretch.highest)
