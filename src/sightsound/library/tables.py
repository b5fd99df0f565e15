"""The tables of a library: items, outcomes, labels, spaces and tags."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sightsound.contract.errors import SpaceMismatch
from sightsound.contract.results import Item, Outcome, Status
from sightsound.contract.space import Space, hint
from sightsound.library.store.database import Database
from sightsound.library.store.queries import (
    count_items,
    count_vectors,
    read_all_labels,
    read_content_hash,
    read_content_hashes,
    read_item,
    read_items,
    read_labels,
    read_outcomes,
    read_roots,
    read_setting,
    read_spaces,
    read_store,
    read_tag_classes,
)


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
        return read_items(self._database)

    def item(self, id_: int) -> Item:
        """Return the item of an id; raise `LibraryError` if there is none."""
        return read_item(self._database, id_)

    def labels(self, id_: int) -> dict[str, tuple[str, ...]]:
        """Return the labels of an item: column -> values."""
        return read_labels(self._database, id_)

    def all_labels(self) -> list[tuple[int, str, str]]:
        """Return every label as (id of the item, column, value), sorted."""
        return read_all_labels(self._database)

    def contents(self) -> dict[int, bytes]:
        """Return the id of each item that was ever read -> the SHA-256 of its content."""
        return read_content_hashes(self._database)

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

    def setting(self, name: str) -> object:
        """Return a setting of the library as it is stored, None if it has none of this name."""
        return read_setting(self._database, name)

    def iterate(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of an SQL query on the tables one by one, as `rows` without holding them all.

        Parameters
        ----------
        query : str
            SQL text with `?` for each value.
        *values
            The values, in the order of the question marks.

        Yields
        ------
        tuple
            With a value for each column of the query.
        """
        return self._database.iterate(query, *values)

    def decoding(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that reports a stored value which cannot be decoded as damage, see `Database.decoding`."""
        return self._database.decoding()

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
