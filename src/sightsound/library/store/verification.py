"""Whether the rows on disk are those that were written, by their checksums."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from sightsound.library.store.database import Database
from sightsound.library.store.segments import MappedSegment, as_bytes
from sightsound.library.store.validation import number

_ROWS = 2**14  # that are read at once


def changed_contents(database: Database, segment: MappedSegment) -> Iterator[int]:
    """Yield the number of each content whose rows in a segment are not those that were written.

    Runs that do not lie in the segment, or that overlap another one, are left out.
    """
    query = (
        "SELECT content, first, count, checksum, record_checksum, score_checksum FROM runs WHERE segment = ?"
        " ORDER BY first"
    )
    end = 0
    for content, first, count, *expected in database.iterate(query, segment.facts.id):
        with database.decoding():
            inside = end <= number(first) < first + number(count) <= len(segment)
        if inside:
            end = first + count
            if not _is_sound(segment, content, first, count, expected):
                yield content


def _is_sound(segment: MappedSegment, content: int, first: int, count: int, expected: list[int]) -> bool:
    checksums = [0, 0, 0]
    for at in range(first, first + count, _ROWS):
        size = min(_ROWS, first + count - at)
        parts = segment.parts(at, size)
        if not ((parts[1]["content"] == content).all() and np.isfinite(parts[0]).all()):
            return False
        checksums[: len(parts)] = [zlib.crc32(as_bytes(part), before) for part, before in zip(parts, checksums)]
    return checksums == expected
