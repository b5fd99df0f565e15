"""The rows of one content of a library, which are read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList
from sightsound.contract.results import Item
from sightsound.library.row_places import Part
from sightsound.library.space_rows import SpaceRows


@dataclass(frozen=True)
class ContentRows:
    """The rows of one content in a space, as of one commit.

    Parameters
    ----------
    items : list of Item
        The items that have the content, and match the filter that was asked for.
    rows : SpaceRows
        The rows of the space.
    lists : mapping of int to ClassList
        What scores may be of.
    parts : sequence of Part
        Where the rows are.
    """

    items: list[Item]
    rows: SpaceRows = field(repr=False)
    lists: Mapping[int, ClassList] = field(repr=False)
    parts: Sequence[Part] = field(repr=False)

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(count for _, _, count in self.parts)

    def read(self) -> tuple[Floats, Seconds]:
        """Return the vectors, float32 (n, dim), and the start and stop of their windows, float64 (n, 2).

        Raises `LibraryError` for vectors that are not finite.
        """
        return self.rows.read(list(self.parts))

    def spans(self) -> Seconds:
        """Return the start and stop of the windows alone, float64 (n, 2)."""
        return self.rows.spans(self.parts)

    def scores(self) -> tuple[ClassList, Floats] | None:
        """Return what the scores of the rows are of, and the scores, float32 (n, classes); None if there are none."""
        found = self.rows.scores(self.parts)
        return None if found is None or found[0] not in self.lists else (self.lists[found[0]], found[1])
