"""Search by vectors: the nearest items in one space, and the fusion of several."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.results import Hit, Item
from sightsound.contract.space import Space
from sightsound.library.approximate.indexes import Indexes, VectorIndex
from sightsound.library.approximate.kinds import FEW_ROWS
from sightsound.library.approximate.search import ApproximateSearch
from sightsound.library.exact_search import ExactSearch, Pair
from sightsound.library.filters import Filter
from sightsound.library.matching import MatchingContents, matching_contents
from sightsound.library.query_types import QueryVectors
from sightsound.library.space_reader import SpaceReader
from sightsound.library.space_rows import SpaceRows, count_of_contents
from sightsound.library.store.database import Database
from sightsound.library.store.queries import read_labels_of

log = logging.getLogger(__name__)

FUSION_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""

FUSION_DEPTH = 1000
"""Ranks that are fused; lower ranks add less than 1/1060 to a score."""

MOST_QUERY_ROWS = 64
"""A query of more rows is searched exactly; queries of fewer are put to an index so many rows at a time."""

MOST_CONTENTS = 1000
"""More contents are searched for exactly."""

_WINDOWS = 8
"""How many windows are looked for at first, for each that is wanted, since some touch others."""


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
    windows : bool
        Whether to find windows, rather than the items of the best ones.
    copies : bool
        Whether the query's own content may be found.
    exact : bool
        Whether to compare all rows, also where there is an index.
    """

    k: int
    min_score: float | None
    where: Filter
    windows: bool = False
    copies: bool = False
    exact: bool = False


class VectorSearch:
    """The nearest items in a space of a library. Rows stay on disk; what was committed meanwhile is taken up.

    Parameters
    ----------
    database : Database
        The library.
    reader : SpaceReader
        Its rows.

    Attributes
    ----------
    used : dict of Space to (VectorIndex, bool)
        The indexes that were used, and whether there was a filter.
    """

    def __init__(self, database: Database, reader: SpaceReader) -> None:
        self._database, self._reader = database, reader
        self._indexes = Indexes(database)
        self.used: dict[Space, tuple[VectorIndex, bool]] = {}

    def index_facts(self, space_id: int, space: Space) -> VectorIndex | None:
        """Return what was measured of the index of a space, None if it has none."""
        return self._indexes.facts(space_id, space.fingerprint, space.dim)

    def search(self, space: Space, queries: Sequence[QueryVectors], limits: Limits) -> list[list[Hit]]:
        """Return the nearest items or windows for each query, best first.

        Parameters
        ----------
        space : Space
            A space of the library.
        queries : sequence of QueryVectors
            All have rows in the space.
        limits : Limits
            What to return.
        """
        with self._reader.reading(space) as (space_id, rows):
            matching = matching_contents(self._database, space_id, limits.where)
            own = [None if limits.copies else self._content_id(query.content) for query in queries]
            vectors = [query.vectors[space] for query in queries]
            if limits.windows:
                found = [self._windows(rows, *each, matching, limits) for each in zip(vectors, own)]
            else:
                found = self._nearest(space_id, rows, vectors, own, matching, limits)
            lowest = -1.0 if limits.min_score is None else limits.min_score
            found = [[pair for pair in pairs if pair.score >= lowest][: limits.k] for pairs in found]
            items = matching.items(self._database, space_id, {pair.content for pairs in found for pair in pairs})
            labels = read_labels_of(self._database, {item.id or 0 for each in items.values() for item in each})
            spans = [query.spans.get(space) for query in queries]
            return [_hits(pairs, matching, items, labels, each, space)[: limits.k] for pairs, each in zip(found, spans)]

    def _nearest(
        self,
        space_id: int,
        rows: SpaceRows,
        queries: list[Floats],
        own: list[int | None],
        matching: MatchingContents,
        limits: Limits,
    ) -> list[list[Pair]]:
        """Return the best contents for each query, through the index if there is one and it fits the search."""
        contents, found = matching.contents, dict[int, list[Pair]]()
        large = limits.k > MOST_CONTENTS or any(len(query) > MOST_QUERY_ROWS for query in queries)
        few = contents is not None and count_of_contents(rows.runs, contents) < FEW_ROWS
        some_windows = matching.windows is not None
        usable = None if limits.exact or large or few or some_windows else self._indexes.usable(space_id, rows)
        if usable is not None:
            effort = usable.facts.parameters[f"{usable.index.kind.effort}{'' if contents is None else ' filtered'}"]
            for group in _groups([len(query) for query in queries]):
                given = [queries[n] for n in group], limits.k, contents, [own[n] for n in group]
                search = ApproximateSearch(rows, usable.index, effort, *given)
                answers = search.pairs()
                found |= {n: pairs for at, (n, pairs) in enumerate(zip(group, answers)) if at not in search.short}
            if found:
                self._tell(rows.space, usable.facts, contents is not None)
        left = [number for number in range(len(queries)) if number not in found]
        if left:
            given = [queries[n] for n in left], limits.k, contents, [own[n] for n in left]
            found |= zip(left, ExactSearch(matching.rows(rows), *given).pairs())
        return [found[number] for number in range(len(queries))]

    def _tell(self, space: Space, facts: VectorIndex, filtered: bool) -> None:
        self.used[space] = facts, filtered
        log.info("%s: %s", space.name, facts.describe(filtered=filtered))

    def _windows(
        self, rows: SpaceRows, query: Floats, own: int | None, matching: MatchingContents, limits: Limits
    ) -> list[Pair]:
        """Return the best windows of one query, merged where they touch, at least `k` if there are as many."""
        wanted, view = _WINDOWS * limits.k, matching.rows(rows)
        while True:
            found = ExactSearch(view, [query], wanted, matching.contents, [own], windows=True).pairs()[0]
            merged = _merged(found)
            if len(merged) >= limits.k or len(found) < wanted:
                return merged
            wanted *= _WINDOWS

    def _content_id(self, content: bytes | None) -> int | None:
        found = self._database.rows("SELECT id FROM contents WHERE hash = ?", content)
        return int(found[0][0]) if found else None


def _groups(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Yield numbers of queries that are searched together, of at most `MOST_QUERY_ROWS` rows."""
    group: list[int] = []
    for number in range(len(sizes)):
        if group and sum(sizes[each] for each in [*group, number]) > MOST_QUERY_ROWS:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _hits(
    pairs: Sequence[Pair],
    matching: MatchingContents,
    items: Mapping[int, Sequence[Item]],
    labels: Mapping[int, Mapping[str, tuple[str, ...]]],
    spans: Seconds | None,
    space: Space,
) -> list[Hit]:
    """Return a hit for each item of the content of each pair; `spans` are the seconds of the rows of the query."""
    hits = []
    for pair in pairs:
        query_seconds = None
        if spans is not None:
            start, stop = spans[pair.query_row].tolist()
            query_seconds = start, stop
        copies = items.get(pair.content, ())
        for item in copies if len(copies) == 1 else [each for each in copies if matching.keeps(each, pair.seconds)]:
            of_item = labels.get(item.id or 0, {})
            hits.append(Hit(item, pair.score, pair.seconds, query_seconds, of_item, (space.name,)))
    return hits


def _merged(pairs: Sequence[Pair]) -> list[Pair]:
    """Join the windows of a recording that touch or overlap into one with the best score; best first."""
    joined: list[Pair] = []
    for pair in sorted(pairs, key=lambda pair: (pair.content, pair.seconds or ())):
        last = joined[-1] if joined and joined[-1].content == pair.content else None
        if last and last.seconds and pair.seconds and pair.seconds[0] <= last.seconds[1]:
            better = max(last, pair, key=lambda each: each.score)
            seconds = last.seconds[0], max(last.seconds[1], pair.seconds[1])
            joined[-1] = replace(better, seconds=seconds)
        else:
            joined.append(pair)
    return sorted(joined, key=lambda pair: (-pair.score, pair.content, pair.seconds or ()))


def fuse(ranked: Mapping[Space, list[Hit]]) -> list[Hit]:
    """Return the hits of several spaces by reciprocal rank fusion, best first.

    Each ranking adds 1 / (60 + rank) to the score of an item, with ranks from 1. The seconds of a hit come from the
    space in which the item has the best rank.
    """
    scores: dict[tuple[str, int], float] = {}
    best: dict[tuple[str, int], tuple[int, Hit]] = {}
    spaces: dict[tuple[str, int], tuple[str, ...]] = {}
    for space, hits in ranked.items():
        for rank, hit in enumerate(hits, 1):
            key = hit.library, hit.item.id or 0
            scores[key] = scores.get(key, 0.0) + 1 / (FUSION_K + rank)
            spaces[key] = (*spaces.get(key, ()), space.name)
            if key not in best or rank < best[key][0]:
                best[key] = rank, hit
    order = sorted(scores, key=lambda key: (-scores[key], key[1]))
    return [replace(best[key][1], score=scores[key], spaces=spaces[key]) for key in order]
