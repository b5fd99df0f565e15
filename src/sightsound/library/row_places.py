"""Where the rows of contents are, in arrays: a few numbers for each content of a large library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound.library.space_rows import SpaceRows, members
from sightsound.library.store.segments import MappedSegment

Ints = NDArray[np.int64]
Part = tuple[MappedSegment, int, int]
"""Segment, first row, number of rows: what `SpaceRows.read` takes."""


@dataclass
class RowPlaces:
    """Runs of rows of one content each, in the order of contents: parallel arrays.

    Parameters
    ----------
    content : ndarray of int64 (n,)
        Numbers of the contents.
    segment : ndarray of int64 (n,)
        Numbers of the segments in `SpaceRows.runs`.
    first, count : ndarray of int64 (n,)
        First row in the segment, and number of rows.
    """

    content: Ints
    segment: Ints
    first: Ints
    count: Ints

    def chosen(self, index: NDArray[np.bool_] | slice) -> RowPlaces:
        """Return some of the pieces."""
        return RowPlaces(self.content[index], self.segment[index], self.first[index], self.count[index])

    def parts_of(self, content: int, segments: Sequence[MappedSegment]) -> list[Part]:
        """Return where the rows of a content are, in the order of its parts; empty if it has none.

        Parameters
        ----------
        content : int
            Number of the content.
        segments : sequence of MappedSegment
            Those that `segment` numbers.
        """
        at = slice(*np.searchsorted(self.content, [content, content + 1]).tolist())
        numbers = (values[at].tolist() for values in (self.segment, self.first, self.count))
        return [(segments[segment], first, count) for segment, first, count in zip(*numbers)]


def find_places(rows: SpaceRows, contents: Ints | None) -> RowPlaces:
    """Return where the rows of all or some contents are.

    Parameters
    ----------
    rows : SpaceRows
        The rows of a space; call it inside `SpaceReader.reading`.
    contents : ndarray of int64 (n,) or None
        Numbers of the contents, sorted; None for all.
    """
    found = []
    for number, runs in enumerate(rows.runs):
        chosen = runs.alive if contents is None else runs.alive & members(runs.contents, contents)
        counts = (runs.stops - runs.starts)[chosen]
        found.append((runs.contents[chosen], np.full(len(counts), number), runs.starts[chosen], counts))
    columns = [np.concatenate([np.empty(0, np.int64), *(each[i] for each in found)]) for i in range(4)]
    pieces = RowPlaces(*columns)
    several = rows.in_parts()
    if several:  # `compact` may have changed the order of their parts
        numbers = {id(runs.segment): number for number, runs in enumerate(rows.runs)}
        numbered = np.array([*several], np.int64)
        present = set(numbered[members(numbered, np.unique(pieces.content))].tolist())
        pieces = pieces.chosen(~np.isin(pieces.content, numbered))
        ordered = [
            (content, numbers[id(segment)], first, count)
            for content, parts in several.items()
            if content in present
            for segment, first, count in parts
        ]
        more = np.array(ordered, np.int64).reshape(-1, 4)
        pieces = RowPlaces(*(np.concatenate([old, new]) for old, new in zip(vars(pieces).values(), more.T)))
    order = np.argsort(pieces.content, kind="stable")
    return RowPlaces(*(values[order] for values in vars(pieces).values()))
