"""The library: one folder for the vectors of every model and both modalities, open for reading."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightsound.classify.ontology import Ontology
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Hit
from sightsound.contract.space import Space
from sightsound.library.approximate.indexes import UsableIndex, VectorIndex
from sightsound.library.filters import Filter
from sightsound.library.library_rows import LibraryRows
from sightsound.library.merging.labels import Prefer
from sightsound.library.merging.merge import MergeReport
from sightsound.library.merging.take import require_agreement, take_in
from sightsound.library.notebook import library_html
from sightsound.library.query_types import Per, QueryVectors
from sightsound.library.space_reader import SpaceReader
from sightsound.library.store import database
from sightsound.library.store.queries import read_spaces
from sightsound.library.store.writer import Writer, open_writer
from sightsound.library.tag_search import TagSearch, find_tagged
from sightsound.library.vector_search import FUSION_DEPTH, Limits, VectorSearch, fuse
from sightsound.media.files import LIBRARY_FILE


class Library(LibraryRows, contextlib.AbstractContextManager["Library"]):
    """A library, open for reading.

    Readers see what was committed last, also while another process writes. Changes are made by the functions of
    `sightsound`, such as `index` and `forget`, or in a `writing` block. `with Library("zoo") as zoo:` closes it.

    Parameters
    ----------
    path : path-like
        The folder of the library.
    create : bool, default=False
        Make an empty library if the folder does not exist or is empty.

    Raises
    ------
    LibraryError
        If there is no library at `path`, if it cannot be read, is damaged, or has a newer format.
    """

    def __init__(self, path: PathLike, *, create: bool = False) -> None:
        folder = _absolute(path)
        self._file = folder / LIBRARY_FILE
        _require_library(self._file, create=create)
        super().__init__(folder, database.Database(self._file))
        self._vector_search = VectorSearch(self._database, self._reader)

    def __bool__(self) -> bool:  # an empty library is one too
        return True

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return library_html(str(self.path), len(self), self.spaces, self.label_columns(ranges=False))

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the library; every later read raises `LibraryError`."""
        self._database.close()

    @contextlib.contextmanager
    def writing(self, *, max_bytes: int | None = None) -> Iterator[Writer]:
        """Yield the writer of this library, commit at the end, and roll back to the last commit after an error.

        Parameters
        ----------
        max_bytes : int or None
            Largest size of the library; None for no limit.

        Raises
        ------
        LibraryError
            If another process is writing, if the folder cannot be written, or if the disk is full.
        """
        with open_writer(self._file, max_bytes=max_bytes) as writer:
            self._reopen_after_migration()
            yield writer

    def _reopen_after_migration(self) -> None:
        if self._database.reopen_after_migration():
            self._reader = SpaceReader(self._database)
            self._vector_search = VectorSearch(self._database, self._reader)

    def merge(self, other: Library, *, prefer: Prefer | None = None, progress: bool | None = None) -> MergeReport:
        """Take in the items, labels, rows and scores of another library, which stays as it is.

        Parameters
        ----------
        other : Library
            The other one.
        prefer : {"a", "b", "both"} or None
            Whose labels count where they differ: those of this library ("a"), of the other one, or all. None refuses.
        progress : bool or None
            Whether to show a progress bar. None stands for "on a terminal".

        Returns
        -------
        MergeReport

        Raises
        ------
        LibraryError
            A `MergeConflict` if labels or contents differ, and `prefer` is None; nothing is changed then.
        """
        if prefer is None:
            require_agreement(self.path, other.path)
        report = MergeReport()
        with self.writing() as writer:
            take_in(writer, other.path, prefer or "a", report, progress)
        return report

    def search(
        self,
        queries: Mapping[Space, Floats],
        k: int = 10,
        *,
        min_score: float | None = None,
        where: Filter | None = None,
        leave_out: bytes | None = None,
        query_spans: Mapping[Space, Seconds | None] | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Return the items nearest to a query, best first.

        In one space the score of an item is the highest cosine of any of its windows with any row of the query. Over
        several spaces it is the sum of 1 / (60 + rank), reciprocal rank fusion.

        Parameters
        ----------
        queries : mapping of Space to ndarray of float32 (q, dim)
            The rows of the query in each space to search.
        k : int, default=10
            Number of items.
        min_score : float or None
            Lowest cosine, from -1 to 1, also before a fusion.
        where : Filter or None
            Which items may be found.
        leave_out : bytes or None
            SHA-256 of a content that must not be found, usually that of the query.
        query_spans : mapping of Space to ndarray of float64 (q, 2), optional
            Seconds of the rows of the query, for `Hit.query_seconds`.
        exact : bool, default=False
            Whether to compare the query with all rows, also where `build_index` has built an approximate index.

        Returns
        -------
        list of Hit
            Best first.

        Raises
        ------
        SpaceMismatch
            If the library does not have one of the spaces.
        SightsoundError
            If rows do not have the dimension of their space, or `where` is not valid.
        """
        query = QueryVectors(dict(queries), dict(query_spans or {}), leave_out)
        return self.search_many([query], k, min_score=min_score, where=where, exact=exact)[0]

    def search_many(
        self,
        queries: Sequence[QueryVectors],
        k: int = 10,
        *,
        min_score: float | None = None,
        where: Filter | None = None,
        per: Per = "item",
        copies: bool = False,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """Return the items, or windows, nearest to each of several queries, which are compared together.

        Parameters
        ----------
        queries : sequence of QueryVectors
            The vectors of the queries by space.
        k : int, default=10
            Number of hits for each query.
        min_score, where : float or None, Filter or None
            As of `search`, for each query.
        per, copies, exact : str, bool, bool
            As of `sightsound.search`.

        Returns
        -------
        list of list of Hit
            For each query, best first.
        """
        fused = any(len(query.vectors) > 1 for query in queries)
        how: dict[str, Any] = {"min_score": min_score, "where": where, "per": per, "copies": copies, "exact": exact}
        found = self.search_spaces(queries, k, fused=fused, **how)
        return [
            (fuse(each) if len(each) > 1 else [hit for hits in each.values() for hit in hits])[:k] for each in found
        ]

    def search_spaces(
        self,
        queries: Sequence[QueryVectors],
        k: int,
        *,
        fused: bool,
        min_score: float | None,
        where: Filter | None,
        per: Per,
        copies: bool,
        exact: bool,
    ) -> list[dict[Space, list[Hit]]]:
        """Return what `search_many` combines: the hits in each space, more than `k` where ranks are to be `fused`.

        Parameters
        ----------
        queries, k, min_score, where, per, copies, exact
            As of `search_many`.
        fused : bool
            Whether the ranks of several spaces are combined afterwards.

        Returns
        -------
        list of dict of Space to list of Hit
            For each query.
        """
        where, found = where or Filter(), [dict[Space, list[Hit]]() for _ in queries]
        if fused and per == "window":
            raise SightsoundError("windows of several networks cannot be ranked together; name one model")
        limits = Limits(max(k, FUSION_DEPTH) if fused else k, min_score, where, per == "window", copies, exact)
        self._vector_search.used.clear()
        for space in dict.fromkeys(space for query in queries for space in query.vectors):
            self.require(space)
            if where.modality not in (None, space.modality):
                continue
            chosen = [number for number, query in enumerate(queries) if space in query.vectors]
            for number in chosen:
                _require_dim(queries[number].vectors[space], space)
            hits = self._vector_search.search(space, [queries[number] for number in chosen], limits)
            for number, each in zip(chosen, hits):
                found[number][space] = each
        return found

    @property
    def approximated(self) -> dict[Space, str]:
        """The spaces in which the last search used an approximate index, each with a line about its recall."""
        used = self._vector_search.used
        return {space: facts.describe(filtered=filtered) for space, (facts, filtered) in used.items()}

    def indexes(self) -> dict[Space, VectorIndex]:
        """Return the approximate index of each space that has one, also of those that searches cannot use."""
        spaces = read_spaces(self._database).items()
        found = {space: self._vector_search.index_facts(id_, space) for id_, space in spaces}
        return {space: facts for space, facts in found.items() if facts is not None}

    def usable_index(self, space: Space) -> UsableIndex | None:
        """Return the approximate index of a space, open, or None if it has none that this user may use here."""
        return self._vector_search.usable_index(space)

    def search_tags(
        self,
        tags: Collection[str],
        k: int = 10,
        *,
        spaces: Collection[str] = (),
        min_score: float | None = None,
        where: Filter | None = None,
        ontology: Ontology | None = None,
    ) -> list[Hit]:
        """Return the segments of sounds and the images with the highest mean score for any of some classes.

        Parameters
        ----------
        tags : collection of str
            Labels or ids of the classes.
        k : int, default=10
            Number of hits.
        spaces : collection of str
            Names of the spaces whose tags count; all if empty.
        min_score : float or None
            Lowest mean score.
        where : Filter or None
            Which items may be found.
        ontology : Ontology or None
            How classes of sounds are related: of two that overlap, the more specific one is a hit.

        Returns
        -------
        list of Hit
            Highest mean score first.
        """
        how = TagSearch(k, spaces, min_score, where or Filter(), ontology)
        return find_tagged(self._database, self._reader, tags, how)


@contextlib.contextmanager
def open_library(library: PathLike | Library, *, create: bool = False) -> Iterator[Library]:
    """Yield an open library, and close it at the end if it was given by its path.

    Parameters
    ----------
    library : path-like or Library
        The folder of a library, or one that is open already and stays so.
    create : bool, default=False
        Make an empty library if there is none at the path.
    """
    if isinstance(library, Library):
        yield library
    else:
        with Library(library, create=create) as opened:
            yield opened


def _absolute(path: PathLike) -> Path:
    """Return the absolute path of a library; raise `LibraryError` for an empty one, often an unset variable."""
    if not os.fspath(path):
        raise LibraryError('library "": an empty path; name a folder, or "." for the working folder')
    return Path(os.path.abspath(path))


def _require_library(file: Path, *, create: bool) -> None:
    """Raise `LibraryError` if there is no library, or make an empty one."""
    if not database.exists(file):
        if not create:
            raise LibraryError(f"no library at {file.parent}; make one: sightsound index PATH --library {file.parent}")
        database.create(file)


def _require_dim(rows: Floats, space: Space) -> None:
    if np.ndim(rows) != 2 or np.shape(rows)[1] != space.dim:
        raise SightsoundError(f"query: expected rows of {space.dim} numbers for {space.name}, got {np.shape(rows)}")
