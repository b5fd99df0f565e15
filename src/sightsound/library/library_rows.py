"""The rows and scores of a library, by space and content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList
from sightsound.contract.results import Item, Outcome
from sightsound.contract.space import Space
from sightsound.library.filters import Filter
from sightsound.library.space_reader import KeptScores, SpaceReader
from sightsound.library.space_rows import RowsView
from sightsound.library.store.database import Database
from sightsound.library.tables import LibraryTables


class LibraryRows(LibraryTables):
    """What a library has of its items: `Library` is one, with searches.

    Parameters
    ----------
    path : pathlib.Path
        The folder of the library.
    database : Database
        The library.
    """

    def __init__(self, path: Path, database: Database) -> None:
        super().__init__(path, database)
        self._reader = SpaceReader(database)

    def vectors(self, space: Space, content: bytes) -> tuple[Floats, Seconds | None] | None:
        """Return the stored rows of a content in a space.

        Parameters
        ----------
        space : Space
            The space.
        content : bytes
            SHA-256 of the content, as `content` returns it.

        Returns
        -------
        rows : ndarray of float32 (n, dim)
            The vectors in the order of their windows.
        spans : ndarray of float64 (n, 2) or None
            Start and stop of the windows in seconds; None for images.

        None instead of both if the library does not have the content in the space.
        """
        return self._reader.vectors(space, content)

    def contents_in(self, space: Space, where: Filter | None = None) -> Iterator[tuple[list[Item], Floats, Seconds]]:
        """Yield every content that has rows in a space, in the order of their numbers.

        Parameters
        ----------
        space : Space
            A space of the library; `SpaceMismatch` is raised for any other.
        where : Filter or None
            Which items to return; None for all.

        Yields
        ------
        items : list of Item
            The items that have the content, and match the filter. At least one.
        rows : ndarray of float32 (n, dim)
            The vectors of its windows.
        spans : ndarray of float64 (n, 2)
            Start and stop of the windows in seconds; NaN for images.
        """
        self.require(space)
        return self._reader.contents(space, where or Filter())

    def vectors_in(self, space: Space, where: Filter | None = None) -> Iterator[tuple[list[Outcome], Floats, Seconds]]:
        """Yield every content that has rows in a space, as `contents_in`, with the outcomes of its items.

        Parameters
        ----------
        space : Space
            A space of the library; `SpaceMismatch` is raised for any other.
        where : Filter or None
            Which items; None for all.

        Yields
        ------
        outcomes : list of Outcome
            Of the items that have the content, and match the filter. At least one.
        rows : ndarray of float32 (n, dim)
            The vectors of its windows.
        spans : ndarray of float64 (n, 2)
            Start and stop of the windows in seconds; NaN for images.
        """
        self.require(space)
        return self._reader.vectors_by_content(space, where or Filter())

    def class_lists(self, spaces: Iterable[Space]) -> list[ClassList]:
        """Return the lists of classes that any rows of some spaces have scores for."""
        return self._reader.class_lists(spaces)

    def scores_in(self, space: Space, where: Filter | None = None) -> Iterator[KeptScores]:
        """Yield the scores of every content that has some in a space, with the outcomes of its items.

        Parameters
        ----------
        space : Space
            A space of the library; `SpaceMismatch` is raised for any other.
        where : Filter or None
            Which items; None for all.

        Yields
        ------
        KeptScores
            Scores have the precision of float16; of a softmax over many classes all but the best twenty are 0.
        """
        self.require(space)
        return self._reader.scores(space, where or Filter())

    def sample_rows(self, space: Space, count: int) -> Floats:
        """Return some rows from all over a space.

        Parameters
        ----------
        space : Space
            A space of the library.
        count : int
            About how many.

        Returns
        -------
        ndarray of float32 (n, dim)
        """
        self.require(space)
        return self._reader.sample(space, count)

    def mapped_rows(self, space: Space) -> tuple[int, int, RowsView]:
        """Return all rows of a space as they are now, mapped into memory.

        Parameters
        ----------
        space : Space
            A space of the library.

        Returns
        -------
        space_id, generation : int
            Number of the space, and its counter of changes.
        rows : RowsView
            Its segments.
        """
        with self._reader.reading(space) as (space_id, rows):
            return space_id, rows.generation, rows.view()
