"""Rows in several arrays that are multiplied like one, without being joined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS = 4096  # in a block; products with as many are as fast as with all


class Pieces:
    """Rows (n, r) in contiguous pieces, which are multiplied like one array, without being joined.

    Parameters
    ----------
    *parts : arrays (m, r)
        The pieces, of one dtype.
    """

    def __init__(self, *parts: NDArray[Any], transposed: bool = False) -> None:
        self._parts, self._transposed = [part for part in parts if len(part)], transposed
        self.dtype = parts[0].dtype
        self.shape = (sum(map(len, self._parts)), parts[0].shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def T(self) -> Pieces:
        """The transpose (r, n)."""
        return Pieces(*self._parts, transposed=True)

    def astype(self, dtype: Any, *, copy: bool = True) -> Pieces:
        """Return the same, or the pieces in another precision. `copy` is ignored."""
        return self if dtype == self.dtype else Pieces(*(part.astype(dtype) for part in self._parts))

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield parts of the pieces, and where they stand."""
        at = 0
        for part in self._parts:
            for start in range(0, len(part), _ROWS):
                block = part[start : start + _ROWS]
                yield slice(at, at + len(block)), block
                at += len(block)

    def __matmul__(self, other: NDArray[Any]) -> NDArray[Any]:
        at, dtype = 0, np.result_type(self.dtype, other.dtype)
        found = np.zeros((self.shape[1], other.shape[1]), dtype)
        if self._transposed:
            for part in self._parts:
                found += part.T @ other[at : at + len(part)]
                at += len(part)
            return found
        found = np.empty((len(self), other.shape[1]), dtype)
        for part in self._parts:
            np.matmul(part, other, out=found[at : at + len(part)])
            at += len(part)
        return found


def blocks(Z: NDArray[Any] | Pieces) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield blocks of rows and where they stand; an array is one block."""
    if isinstance(Z, Pieces):
        yield from Z.blocks()
    else:
        yield slice(0, len(Z)), Z
