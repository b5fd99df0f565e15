"""Search by vectors: the indexes of the spaces in memory, the nearest items in one space, and the fusion of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import LibraryError
from sightsound.contract.results import Hit, Item
from sightsound.contract.space import Space
from sightsound.library.filters import Filter, matching_items
from sightsound.library.store.database import Database
from sightsound.library.store.queries import decode_vector, read_labels
from sightsound.library.vector_index import Pair, VectorIndex

FUSION_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""

FUSION_DEPTH = 1000
"""Ranks that are fused; lower ranks add less than 1/1060 to a score."""


@dataclass(frozen=True)
class Limits:
    """What a search may return.

    Parameters
    ----------
    k : int
        Number of hits.
    min_score : float or None
        Lowest cosine.
    where : Filter
        Conditions on the items.
    leave_out : bytes or None
        SHA-256 of a content that must not be found, usually that of the query.
    """

    k: int
    min_score: float | None
    where: Filter
    leave_out: bytes | None = None


@dataclass
class _Loaded:
    generation: int
    index: VectorIndex


class VectorSearch:
    """The nearest items in a space of a library. Vectors are loaded at the first search and after each change.

    Parameters
    ----------
    database : Database
        The library.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaded: dict[int, _Loaded] = {}

    def search(self, space: Space, rows: Floats, limits: Limits, query_spans: Seconds | None = None) -> list[Hit]:
        """Return the nearest items, best first.

        Parameters
        ----------
        space : Space
            A space of the library.
        rows : ndarray of float32 (q, dim)
            Rows of the query.
        limits : Limits
            What to return.
        query_spans : ndarray of float64 (q, 2) or None
            Seconds of the rows of the query.
        """
        with self._database.snapshot():
            space_id, index = self.load(space)
            items = matching_items(self._database, space_id, limits.where, limits.leave_out)
            allowed = np.isin(index.contents, np.fromiter(items, np.int64, len(items)))
            lowest = -1.0 if limits.min_score is None else limits.min_score
            pairs = index.search(rows, limits.k, allowed=allowed, min_score=lowest)
            hits = [self._hit(pair, item, space, index, query_spans) for pair in pairs for item in items[pair.content]]
        return hits[: limits.k]

    def items_and_vectors(self, space: Space, where: Filter) -> tuple[VectorIndex, dict[int, list[Item]]]:
        """Return all searchable vectors of a space, and the items that match a filter by number of their content."""
        with self._database.snapshot():
            space_id, index = self.load(space)
            return index, matching_items(self._database, space_id, where)

    def load(self, space: Space) -> tuple[int, VectorIndex]:
        """Return the number of a space and its vectors, which are read again if the space has changed."""
        query = "SELECT id, generation FROM spaces WHERE name = ? AND fingerprint = ?"
        rows = self._database.rows(query, space.name, space.fingerprint)
        if not rows:
            raise LibraryError(
                f"{self._database.file.parent}: space {space.name} was forgotten meanwhile, or the library is damaged; "
                "run `sightsound check`"
            )
        ((space_id, generation),) = rows
        loaded = self._loaded.get(space_id)
        if loaded is None or loaded.generation != generation:
            loaded = self._loaded[space_id] = _Loaded(generation, self._read(space_id, space))
        return space_id, loaded.index

    def _read(self, space_id: int, space: Space) -> VectorIndex:
        complete = (
            "FROM vectors v WHERE v.space = ? AND v.content IN"
            " (SELECT content FROM outcomes WHERE space = ? AND status = 'ok')"
        )
        ((count,),) = self._database.rows(f"SELECT count(*) {complete}", space_id, space_id)
        query = f"SELECT v.id, v.content, v.start, v.stop, v.embedding {complete} ORDER BY v.id"
        rows = self._database.iterate(query, space_id, space_id)
        with self._database.decoding():
            dim = space.dim
            vectors = np.empty((count, dim), np.float32)
            contents, spans = np.empty(count, np.int64), np.full((count, 2), np.nan)
            for at, (id_, content, start, stop, embedding) in enumerate(rows):
                vectors[at] = decode_vector(id_, embedding, space, dim)
                contents[at] = content
                if start is not None:
                    spans[at] = start, stop
        return VectorIndex(vectors, contents, spans)

    def _hit(self, pair: Pair, item: Item, space: Space, index: VectorIndex, query_spans: Seconds | None) -> Hit:
        start, stop = index.spans[pair.row].tolist()
        seconds = None if np.isnan(start) else (start, stop)
        query_seconds = None
        if query_spans is not None:
            query_start, query_stop = query_spans[pair.query_row].tolist()
            query_seconds = query_start, query_stop
        labels = read_labels(self._database, item.id or 0)
        return Hit(item, pair.score, seconds, query_seconds, labels, (space.name,))


def fuse(ranked: Mapping[Space, list[Hit]]) -> list[Hit]:
    """Return the hits of several spaces by reciprocal rank fusion, best first.

    Each ranking adds 1 / (60 + rank) to the score of an item, with ranks from 1. The seconds of a hit come from the
    space in which the item has the best rank.
    """
    scores: dict[int | None, float] = {}
    best: dict[int | None, tuple[int, Hit]] = {}
    spaces: dict[int | None, tuple[str, ...]] = {}
    for space, hits in ranked.items():
        for rank, hit in enumerate(hits, 1):
            id_ = hit.item.id
            scores[id_] = scores.get(id_, 0.0) + 1 / (FUSION_K + rank)
            spaces[id_] = (*spaces.get(id_, ()), space.name)
            if id_ not in best or rank < best[id_][0]:
                best[id_] = rank, hit
    order = sorted(scores, key=lambda id_: (-scores[id_], id_ or 0))
    return [
        Hit(hit.item, scores[id_], hit.seconds, hit.query_seconds, hit.labels, spaces[id_])
        for id_ in order
        for hit in (best[id_][1],)
    ]
