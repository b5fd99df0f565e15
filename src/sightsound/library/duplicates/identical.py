"""Rows that are identical, as those of files of other bytes that decode to the same."""

from __future__ import annotations

import hashlib

import numpy as np

from sightsound.library.duplicates.rows import Ints, UnitRows

_ROWS = 2**12  # that are read at once


def first_of_each(rows: UnitRows) -> Ints:
    """Return, for each row, the number of the first row that is identical, int64 (n,): its own if there is none before.

    Rows of zeros are similar to nothing, and are their own.
    """
    count = len(rows)
    keys = np.zeros((count, 2), np.uint64)
    zero = np.zeros(count, np.bool_)
    for start in range(0, count, _ROWS):
        block = np.ascontiguousarray(rows.block(start, min(count, start + _ROWS)))
        zero[start : start + len(block)] = ~block.any(axis=1)
        digests = b"".join(hashlib.blake2b(row, digest_size=16).digest() for row in block)
        keys[start : start + len(block)] = np.frombuffer(digests, np.uint64).reshape(-1, 2)
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal ones stay in their order
    new = np.append(True, (keys[order[1:]] != keys[order[:-1]]).any(axis=1))[:count] | zero[order]
    first = np.empty(count, np.int64)
    first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return first
