"""Search by vectors: the nearest items in one space, and the fusion of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.results import Hit, Item
from sightsound.contract.space import Space
from sightsound.library.exact_search import ExactSearch, Pair
from sightsound.library.filters import Filter, MatchingContents, matching_contents
from sightsound.library.space_reader import SpaceReader
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_labels

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


class VectorSearch:
    """The nearest items in a space of a library. Rows stay on disk; what was committed meanwhile is taken up.

    Parameters
    ----------
    database : Database
        The library.
    reader : SpaceReader
        Its rows.
    """

    def __init__(self, database: Database, reader: SpaceReader) -> None:
        self._database, self._reader = database, reader

    def search(
        self, space: Space, queries: Sequence[Floats], limits: Limits, query_spans: Sequence[Seconds | None]
    ) -> list[list[Hit]]:
        """Return the nearest items for each query, best first.

        Parameters
        ----------
        space : Space
            A space of the library.
        queries : sequence of ndarray of float32 (q, dim)
            The rows of each query.
        limits : Limits
            What to return.
        query_spans : sequence of ndarray of float64 (q, 2) or None
            Seconds of the rows of each query.
        """
        with self._reader.reading(space) as (space_id, rows):
            matching = matching_contents(self._database, space_id, limits.where, limits.leave_out)
            found = ExactSearch(rows, queries, limits.k, matching).pairs()
            items = self._items(space_id, matching, found, limits)
            return [
                [self._hit(pair, item, space, spans) for pair, item in _paired(pairs, items, limits)]
                for pairs, spans in zip(found, query_spans)
            ]

    def _items(
        self, space_id: int, matching: MatchingContents, found: Sequence[Sequence[Pair]], limits: Limits
    ) -> dict[int, list[Item]]:
        """Return the items of the contents that were found."""
        contents = {pair.content for pairs in found for pair in pairs[: limits.k]}
        return matching.items(self._database, space_id, contents)

    def _hit(self, pair: Pair, item: Item, space: Space, query_spans: Seconds | None) -> Hit:
        query_seconds = None
        if query_spans is not None:
            query_start, query_stop = query_spans[pair.query_row].tolist()
            query_seconds = query_start, query_stop
        labels = read_labels(self._database, item.id or 0)
        return Hit(item, pair.score, pair.seconds, query_seconds, labels, (space.name,))


def _paired(pairs: Sequence[Pair], items: Mapping[int, Sequence[Item]], limits: Limits) -> list[tuple[Pair, Item]]:
    """Return the best pairs with the items of their contents, at most as many as are wanted."""
    lowest = -1.0 if limits.min_score is None else limits.min_score
    return [(pair, item) for pair in pairs if pair.score >= lowest for item in items.get(pair.content, ())][: limits.k]


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
