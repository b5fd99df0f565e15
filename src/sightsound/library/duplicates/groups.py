"""Groups of similar rows, each around the one to keep."""

from __future__ import annotations

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.library.duplicates.graph import SimilarityGraph
from sightsound.library.duplicates.rows import Ints, UnitRows

_MEMBERS = 2**14  # that are compared at once with the one to keep


def around_kept(rows: UnitRows, graph: SimilarityGraph, preferred: Ints, least: float) -> tuple[Ints, Floats]:
    """Divide the rows of a graph into groups.

    The best row is kept first, with all rows that are similar to it itself and that are linked with it, directly or
    through each other; then the best of what is left, and so on. So a chain, in which each row is similar to the next
    one only, is no group: every row is similar to the one for which it would be given up. A row is compared with the
    neighbours of a group only, so the time grows with the number of links.

    Parameters
    ----------
    rows : UnitRows
        The rows.
    graph : SimilarityGraph
        Their similar pairs.
    preferred : ndarray of int64 (n,)
        All rows that the graph has, and any others, sorted by preference: the one to keep comes first.
    least : float
        The least cosine with the row to keep.

    Returns
    -------
    kept : ndarray of int64 (n,)
        The row to keep for each of `preferred`, itself for those that are kept or alone.
    similarity : ndarray of float32 (n,)
        The cosine with that row, 1 with itself.
    """
    order = np.argsort(preferred)
    neighbours = _Neighbours(
        len(preferred), *(order[np.searchsorted(preferred, each, sorter=order)] for each in (graph.a, graph.b))
    )
    kept, similarity = preferred.copy(), np.ones(len(preferred), np.float32)
    free, asked = np.ones(len(preferred), np.bool_), np.full(len(preferred), -1)
    for node in neighbours.linked.tolist():
        if not free[node]:
            continue
        free[node] = False
        row, reached = rows.take(preferred[[node]])[0], np.array([node])
        while len(reached):
            near = neighbours.of(reached)
            near = near[free[near] & (asked[near] != node)]
            asked[near] = node
            scores = _scores(rows, row, preferred[near])
            close = scores >= least
            reached = near[close]
            kept[reached], similarity[reached], free[reached] = preferred[node], scores[close], False
    return kept, similarity


class _Neighbours:
    """The links of a graph, from both ends.

    Parameters
    ----------
    count : int
        Number of nodes.
    a, b : ndarray of int64 (m,)
        The nodes of each link.

    Attributes
    ----------
    linked : ndarray of int64
        The nodes that have links, ascending.
    """

    def __init__(self, count: int, a: Ints, b: Ints) -> None:
        starts, ends = np.concatenate([a, b]), np.concatenate([b, a])
        self._ends = ends[np.argsort(starts, kind="stable")]
        degrees = np.bincount(starts, minlength=count)
        self._stops = np.cumsum(degrees)
        self._begins = self._stops - degrees
        self.linked = np.flatnonzero(degrees)

    def of(self, nodes: Ints) -> Ints:
        """Return the nodes that are linked with some nodes, sorted, each once."""
        found = [self._ends[start:stop] for start, stop in zip(self._begins[nodes], self._stops[nodes])]
        return np.unique(np.concatenate(found))


def _scores(rows: UnitRows, row: Floats, others: Ints) -> Floats:
    """Return the cosines of a row with others."""
    parts = [rows.take(others[at : at + _MEMBERS]) @ row for at in range(0, len(others), _MEMBERS)]
    found: Floats = np.clip(np.concatenate([*parts, np.empty(0, np.float32)]), -1, 1)
    return found
