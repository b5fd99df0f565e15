"""Groups of similar rows, each around the one to keep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.library.duplicates.graph import SimilarityGraph
from sightsound.library.duplicates.rows import Ints, UnitRows

_MEMBERS = 2**14  # that are compared at once with the one to keep


def around_kept(rows: UnitRows, graph: SimilarityGraph, preferred: Ints, least: float) -> tuple[Ints, Floats]:
    """Divide the rows of a graph into groups.

    The best row of each connected part of the graph is kept first, with all rows of that part that are similar to it
    itself; then the best of what is left, and so on. So a chain, in which each row is similar to the next one only, is
    no group: every row is similar to the one for which it would be given up.

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
    places = [order[np.searchsorted(preferred, each, sorter=order)] for each in (graph.a, graph.b)]
    kept, similarity = preferred.copy(), np.ones(len(preferred), np.float32)
    for members in _parts(len(preferred), *places):
        left = members
        while len(left) > 1:
            scores = _scores(rows, preferred[left[0]], preferred[left])
            scores[0] = 1
            close = scores >= least
            kept[left[close]], similarity[left[close]] = preferred[left[0]], scores[close]
            left = left[~close]
    return kept, similarity


def _parts(count: int, a: NDArray[np.intp], b: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield the connected parts of two nodes or more, each sorted."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(a), np.bool_), (a, b)), shape=(count, count))
    _, part = connected_components(links, directed=False)
    order = np.argsort(part, kind="stable")
    sizes = np.bincount(part, minlength=1)
    ends = np.cumsum(sizes)
    for number in np.flatnonzero(sizes > 1).tolist():
        yield order[ends[number] - sizes[number] : ends[number]]


def _scores(rows: UnitRows, one: int, others: Ints) -> Floats:
    """Return the cosines of a row with others."""
    row = rows.take(np.array([one]))[0]
    parts = [rows.take(others[at : at + _MEMBERS]) @ row for at in range(0, len(others), _MEMBERS)]
    found: Floats = np.clip(np.concatenate(parts), -1, 1)
    return found
