"""The rows and scores of a library, by space and content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item, Outcome
from sightsound.contract.space import Space
from sightsound.formats.parquet import arrow_schema, arrow_table
from sightsound.library.content_rows import ContentRows
from sightsound.library.filters import Filter
from sightsound.library.row_blocks import RowBlock, row_blocks
from sightsound.library.row_table import row_batches, row_columns, row_metadata, score_metadata
from sightsound.library.space_names import meant_space, only_space
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
        return ((each.items, *each.read()) for each in self._reader.contents(space, where or Filter()))

    def stored_contents(self, space: Space, where: Filter | None = None) -> Iterator[ContentRows]:
        """Yield every content that has rows in a space, as `contents_in`; rows and scores are read when asked for."""
        self.require(space)
        return self._reader.contents(space, where or Filter())

    def stored_items(self, space: Space, where: Filter | None = None) -> Iterator[ContentRows]:
        """Yield the rows of every item, in the order of their ids; memory does not grow with their number.

        `space` and `where` are as of `contents_in`. Each `ContentRows` has one item.
        """
        self.require(space)
        return self._reader.items(space, where or Filter())

    def vectors_in(self, space: Space, where: Filter | None = None) -> Iterator[tuple[list[Outcome], Floats, Seconds]]:
        """Yield every content that has rows in a space, as `contents_in`, with the outcomes of its items.

        Parameters
        ----------
        space, where : Space, Filter or None
            As of `contents_in`.

        Yields
        ------
        outcomes : list of Outcome
            Of the items that have the content, and match the filter. At least one.
        rows, spans
            As of `contents_in`.
        """
        self.require(space)
        return self._reader.vectors_by_content(space, where or Filter())

    def class_lists(self, spaces: Iterable[Space]) -> list[ClassList]:
        """Return the lists of classes that any rows of some spaces have scores for."""
        return self._reader.class_lists(spaces)

    def scored_classes(self, space: Space) -> tuple[str, ClassList] | None:
        """Return what the scores in a space are: "sigmoid" or "softmax", and the list of their classes.

        None if there are no scores, or scores of several lists.
        """
        return self._reader.scored_classes(space)

    def scores_of(self, space: Space, content: bytes) -> KeptScores | None:
        """Return the scores of a content, known by its SHA-256, without outcomes; None if it has none in the space."""
        return self._reader.scores_of(space, content)

    def scores_in(self, space: Space, where: Filter | None = None) -> Iterator[KeptScores]:
        """Yield the scores of every content that has some in a space, with the outcomes of its items.

        Parameters
        ----------
        space, where : Space, Filter or None
            As of `contents_in`.

        Yields
        ------
        KeptScores
            Scores have the precision of float16; of a softmax over many classes all but the best twenty are 0.
        """
        self.require(space)
        return self._reader.scores(space, where or Filter())

    def row_blocks(self, space: Space, where: Filter | None = None, *, best: int = 0) -> Iterator[RowBlock]:
        """Yield the rows of a space with their items, block by block; memory does not grow with their number.

        Parameters
        ----------
        space : Space
            A space of the library; `SpaceMismatch` is raised for any other.
        where : Filter or None
            Which items; None for all.
        best : int
            How many of the best classes of a row to return at most, where the library keeps scores.

        Yields
        ------
        RowBlock
            In the order in which contents were indexed. Rows of a content that several items have are there for each.
        """
        self.require(space)
        return row_blocks(self._database, self._reader, space, where or Filter(), best)

    def to_arrow(self, space: Space | str | None = None, where: Filter | None = None, *, best: int = 5) -> Any:
        """Return the rows of a space as a table of pyarrow, with the columns of `export_rows`. All are in memory.

        Parameters
        ----------
        space : Space, str or None
            A space of the library: itself, the name of its model, or the first 8 digits of its fingerprint. None for
            the only one.
        where : Filter or None
            Which items; None for all.
        best : int
            How many of the best classes of a row the columns `top_labels` and `top_scores` have at most; 0 for no
            such columns.

        Returns
        -------
        pyarrow.Table
            The schema's metadata has the name and the fingerprint of the space.

        Raises
        ------
        LibraryError
            If the library does not have the space.
        SightsoundError
            If pyarrow is missing (extra `tables`).
        """
        chosen = self.chosen_space(space)
        labels = self.label_columns(ranges=False), self.label_columns(ranges=True)
        facts = self.fact_columns(chosen.modality)
        columns = row_columns(chosen, *labels, facts, best)
        schema = arrow_schema(columns, {**row_metadata(chosen), **score_metadata(self.scored_classes(chosen), best)})
        batches = row_batches(self.row_blocks(chosen, where, best=best), *labels, facts, self.facts_of, best)
        return arrow_table(columns, batches, schema)

    def to_pandas(self, space: Space | str | None = None, where: Filter | None = None, *, best: int = 5) -> Any:
        """Return the rows of a space as a data frame of pandas, with arguments and errors as of `to_arrow`.

        The column `embedding` has an array for each row: `np.stack(frame["embedding"])` has them all.
        """
        if find_spec("pandas") is None:
            raise SightsoundError("pandas is not installed; run `pip install sightsound[tables]`")
        return self.to_arrow(space, where, best=best).to_pandas()

    def chosen_space(self, space: Space | str | None) -> Space:
        """Return the space that is meant; None means the only one.

        Parameters
        ----------
        space : Space, str or None
            A space, the name of its model, or the first 8 digits of its fingerprint.

        Returns
        -------
        Space

        Raises
        ------
        LibraryError
            If the library does not have it, or has several for None.
        """
        if isinstance(space, Space):
            self.require(space)
            return space
        return only_space(self.spaces, self.path.name) if space is None else meant_space(space, self.spaces)

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
