"""Searching a library by vectors and by classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sightsound.classify.ontology import Ontology
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Hit
from sightsound.contract.space import Space
from sightsound.library.approximate.indexes import VectorIndex
from sightsound.library.filters import Filter
from sightsound.library.library_rows import LibraryRows
from sightsound.library.query_types import Per, QueryVectors
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_spaces
from sightsound.library.tag_search import TagSearch, find_tagged
from sightsound.library.vector_search import FUSION_DEPTH, Limits, VectorSearch, fuse


class LibrarySearch(LibraryRows):
    """Finds items of a library; `Library` is one.

    Parameters
    ----------
    path : pathlib.Path
        The folder of the library.
    database : Database
        The library.
    """

    def __init__(self, path: Path, database: Database) -> None:
        super().__init__(path, database)
        self._vector_search = VectorSearch(self._database, self._reader)

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


def _require_dim(rows: Floats, space: Space) -> None:
    if np.ndim(rows) != 2 or np.shape(rows)[1] != space.dim:
        raise SightsoundError(f"query: expected rows of {space.dim} numbers for {space.name}, got {np.shape(rows)}")
