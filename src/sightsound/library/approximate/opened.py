"""An index that is open for searching, and what it was built from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.library.approximate.kinds import KINDS, IndexKind, load_faiss, threads
from sightsound.library.space_rows import SegmentRuns


@dataclass(frozen=True)
class Stamp:
    """What an index was built from.

    Parameters
    ----------
    fingerprint : str
        Of the space.
    generation : int
        Of the space at that time.
    segments : tuple of (int, str, int)
        Number and name of each segment, and how many of its rows are in the index, in its order.
    digest : str
        SHA-256 of the file.
    """

    fingerprint: str
    generation: int
    segments: tuple[tuple[int, str, int], ...]
    digest: str = ""

    @property
    def rows(self) -> int:
        """How many rows are in the index."""
        return sum(rows for _, _, rows in self.segments)

    def to_json(self) -> str:
        """Return the stamp as JSON."""
        return json.dumps({**vars(self), "segments": [list(each) for each in self.segments]})

    @classmethod
    def from_json(cls, text: str) -> Stamp:
        """Return the stamp of a JSON text, which must be one of our own."""
        found = json.loads(text)
        return cls(**{**found, "segments": tuple((int(i), str(n), int(r)) for i, n, r in found["segments"])})

    def fits(self, fingerprint: str, segments: Sequence[tuple[int, str, int]]) -> bool:
        """Return whether all rows of the index are still there.

        Parameters
        ----------
        fingerprint : str
            Of the space.
        segments : sequence of (int, str, int)
            Number, name and rows of the present segments of the space.
        """
        there = {(number, name): rows for number, name, rows in segments}
        return fingerprint == self.fingerprint and all(
            there.get((number, name), -1) >= rows for number, name, rows in self.segments
        )


def facts_of(runs: Sequence[SegmentRuns]) -> list[tuple[int, str, int]]:
    """Return number, name and rows of segments."""
    return [(each.segment.facts.id, each.segment.facts.name, len(each.segment)) for each in runs]


class OpenIndex:
    """An index that can be asked. Rows have numbers in the order of the segments of its stamp.

    Parameters
    ----------
    file : str
        A file that FAISS may read: one that was written here, and verified.
    kind : IndexKind
        What it is.
    stamp : Stamp
        What it was built from.
    """

    def __init__(self, file: str, kind: IndexKind, stamp: Stamp) -> None:
        self._faiss = load_faiss()
        mapped = getattr(self._faiss, "IO_FLAG_MMAP_IFC", self._faiss.IO_FLAG_MMAP)
        self.kind, self.stamp = kind, stamp
        self._index = self._faiss.read_index(file, mapped)
        if self._index.ntotal != stamp.rows:
            raise ValueError(f"{file}: expected {stamp.rows} rows, got {self._index.ntotal}")

    @property
    def most(self) -> int:
        """The greatest effort that makes a difference."""
        return int(self._index.nlist) if self.kind.effort == "nprobe" else 2**12

    def ask(self, queries: Floats, count: int, effort: int, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Return the numbers of the rows that are roughly the nearest.

        Parameters
        ----------
        queries : ndarray of float32 (q, dim)
            Rows at unit length.
        count : int
            How many rows to return for each.
        effort : int
            The value of `kind.effort`.
        allowed : ndarray of bool (rows,) or None
            Which rows may be returned; None for all.

        Returns
        -------
        ndarray of int64 (q, count)
            Nearest first; -1 where there are no more.
        """
        named: dict[str, Any] = {self.kind.effort: effort}
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            named["sel"] = self._faiss.IDSelectorBitmap(bits)
        make = self._faiss.SearchParametersIVF if self.kind.effort == "nprobe" else self._faiss.SearchParametersHNSW
        with threads():
            found: NDArray[np.int64] = self._index.search(queries, count, params=make(**named))[1]
        return found


def kind_of(name: str) -> IndexKind:
    """Return the kind of a stored name; raise `LookupError` if there is none."""
    return KINDS[name]


def own_path(number: int) -> str:
    """Return a path of an open file, under which nobody can put another one."""
    return f"/dev/fd/{number}"
