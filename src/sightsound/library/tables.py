"""The tables of a library: items, outcomes, labels, spaces and tags."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.card import Modality
from sightsound.contract.errors import SpaceMismatch
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item, Outcome, Status, TimeRange
from sightsound.contract.space import Space, hint
from sightsound.formats.columns import Column
from sightsound.library.fact_columns import read_fact_columns
from sightsound.library.fact_conditions import check_facts, fact_names
from sightsound.library.filters import Filter
from sightsound.library.item_choice import chosen_items
from sightsound.library.store.database import Database
from sightsound.library.store.queries import (
    count_items,
    count_vectors,
    read_all_facts,
    read_all_labels,
    read_content_hash,
    read_content_hashes,
    read_facts_of,
    read_item,
    read_items,
    read_label_columns,
    read_labels,
    read_outcomes,
    read_ranges,
    read_roots,
    read_setting,
    read_spaces,
    read_store,
    read_tag_classes,
    read_time_rules,
)
from sightsound.media.facts.times import TimeRules

Decoded = TypeVar("Decoded")


class LibraryTables:
    """What a library says of its items; `Library` is one, with their rows.

    Parameters
    ----------
    path : pathlib.Path
        The folder of the library.
    database : Database
        The library.
    """

    def __init__(self, path: Path, database: Database) -> None:
        self.path, self._database = path, database

    def __len__(self) -> int:
        return count_items(self._database)

    @property
    def roots(self) -> list[str]:
        """The folders that were indexed."""
        return read_roots(self._database)

    @property
    def spaces(self) -> dict[Space, int]:
        """Every space with the number of its searchable vectors."""
        counts = count_vectors(self._database)
        return {space: counts.get(id_, 0) for id_, space in read_spaces(self._database).items()}

    def items(self) -> list[Item]:
        """Return all items in the order of their ids."""
        return list(self.each_item())

    def each_item(self) -> Iterator[Item]:
        """Yield all items in the order of their ids, in memory that does not grow with their number."""
        return read_items(self._database)

    def item(self, id_: int) -> Item:
        """Return the item of an id; raise `LibraryError` if there is none."""
        return read_item(self._database, id_)

    def labels(self, id_: int) -> dict[str, tuple[str, ...]]:
        """Return the labels of an item: column -> values."""
        return read_labels(self._database, id_)

    def all_labels(self) -> Iterator[tuple[int, str, str]]:
        """Yield every label as (id of the item, column, value), sorted."""
        return read_all_labels(self._database)

    def label_columns(self, *, ranges: bool | None = None) -> list[str]:
        """Return the names of the columns of labels, sorted.

        Parameters
        ----------
        ranges : bool or None
            Whether of those of time ranges, or of whole items; None for both.

        Returns
        -------
        list of str
        """
        return read_label_columns(self._database, ranges=ranges)

    def ranges(self, id_: int) -> list[TimeRange]:
        """Return the labels of the time ranges of a recording, by their beginning."""
        return read_ranges(self._database, id_)

    def facts(self, id_: int) -> dict[str, Any]:
        """Return the facts of an item, with the `seconds` of a recording; empty without an outcome."""
        return next((facts for _, facts in read_facts_of(self._database, [id_])), {})

    def facts_of(self, ids: Collection[int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the id and the facts of some items that have an outcome, in the order of their ids.

        Where several networks saw an item, its facts are those of the first.
        """
        return read_facts_of(self._database, ids)

    def all_facts(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the id and the facts of every item that has an outcome, in the order of their ids."""
        return read_all_facts(self._database)

    def require_facts(self, where: Filter) -> None:
        """Raise `SightsoundError` if a filter names a fact that no file has or can have, with the nearest one."""
        check_facts(self._database, where.facts)

    def fact_columns(self, modality: Modality | None = None) -> list[Column]:
        """Return the columns that tables have for the facts of items, all or those of a modality."""
        return read_fact_columns(self._database, modality)

    def fact_names(self) -> list[str]:
        """Return the names of all facts that items have or can have, sorted."""
        return fact_names(self._database)

    def contents(self, ids: Collection[int]) -> dict[int, bytes]:
        """Return the id of each of some items -> the SHA-256 of its content, of those that were ever read."""
        return read_content_hashes(self._database, ids)

    def outcomes(self, status: Status | None = None) -> list[tuple[Outcome, str]]:
        """Return every outcome, or those of a status, with the name of its space, '' where no model was run."""
        return read_outcomes(self._database, status)

    def content(self, id_: int) -> bytes:
        """Return the SHA-256 of an item's content when it was last read; raise `LibraryError` if there is none."""
        return read_content_hash(self._database, id_)

    @property
    def store(self) -> str:
        """In what precision vectors are kept: "f32" or "f16"."""
        return read_store(self._database)

    @property
    def time_rules(self) -> TimeRules:
        """How the times of files are read: the zone of local times, and patterns of their names."""
        return read_time_rules(self._database)

    def setting(self, name: str) -> object:
        """Return a setting of the library as it is stored, None if it has none of this name."""
        return read_setting(self._database, name)

    def tag_classes(self, *, known: bool = False) -> list[tuple[str, str]]:
        """Return the classes that were found in any content, as label and id.

        Parameters
        ----------
        known : bool, default=False
            Whether to return all classes that there are scores for.

        Returns
        -------
        list of tuple
            The id is '' for classes without ids.
        """
        return read_tag_classes(self._database, known=known)

    def chosen_items(self, paths: Sequence[PathLike] = (), where: Filter | None = None) -> NDArray[np.int64]:
        """Return the ids of the items at or below some paths that a filter keeps, sorted.

        Parameters
        ----------
        paths : sequence of path-like
            Files and folders, which need not exist any more; all items if empty.
        where : Filter or None
            What the items must have, too.

        Returns
        -------
        ndarray of int64 (n,)

        Raises
        ------
        LibraryError
            If no item is at or below one of the paths.
        """
        return chosen_items(self._database, paths, where or Filter())

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of an SQL query on the tables, for what has no method of its own.

        Parameters
        ----------
        query : str
            SQL text with `?` for each value. The tables are defined in `sightsound.library.store.schema`.
        *values
            The values, in the order of the question marks.

        Returns
        -------
        list of tuple
            A tuple for each row, with a value for each column of the query.
        """
        return self._database.rows(query, *values)

    def iterate(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of an SQL query one by one; parameters as of `rows`."""
        return self._database.iterate(query, *values)

    def snapshot(self) -> AbstractContextManager[None]:
        """Return a context in which all reads see the same state, even if a writer commits meanwhile."""
        return self._database.snapshot()

    def decoding(self) -> AbstractContextManager[None]:
        """Return a context in which values that cannot be decoded are reported as damage of the library."""
        return self._database.decoding()

    def decoded(self, query: str, decode: Callable[..., Decoded], *values: Any) -> list[Decoded]:
        """Return what a function makes of each row of an SQL query; what it cannot decode is reported as damage.

        Parameters
        ----------
        query : str
            As of `rows`.
        decode : callable
            Gets the values of a row.
        *values
            As of `rows`.
        """
        rows = self._database.rows(query, *values)
        with self._database.decoding():
            return [decode(*row) for row in rows]

    def require(self, space: Space) -> None:
        """Raise `SpaceMismatch` if the library has no such space, with the differences from one of the same name."""
        query = "SELECT 1 FROM spaces WHERE name = ? AND fingerprint = ? AND facts = ?"
        if not self._database.rows(query, space.name, space.fingerprint, space.facts):
            raise _mismatch(self.path.name, self.spaces, space)


def _mismatch(name: str, spaces: Mapping[Space, int], wanted: Space) -> SpaceMismatch:
    """Return the error for a space that a library does not have."""
    for other in spaces:
        if other.name == wanted.name:
            differences = "; ".join(other.differences(wanted)) + hint(other, wanted)
            return SpaceMismatch(f"{name} has vectors of {wanted.name} from another space: {differences}")
    have = ", ".join(f"{space.name!r} ({count} vectors)" for space, count in spaces.items()) or "none"
    return SpaceMismatch(
        f"{name} has no vectors in space {wanted.name!r}; it has {have}; "
        f"index with the model {wanted.name}, or search with one of those"
    )
