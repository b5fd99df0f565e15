"""The graph of similar rows of a space: exact, block by block, or of rows in nearby lists only."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sightsound._progress import bar
from sightsound.contract.arrays import Floats
from sightsound.library.approximate.kinds import FEW_ROWS
from sightsound.library.duplicates.identical import first_of_each
from sightsound.library.duplicates.lists import Lists, entries_by_list, needed
from sightsound.library.duplicates.pairs import Pairs, best_of_each, joined, similar_pairs
from sightsound.library.duplicates.rows import Ints, SomeRows, UnitRows

log = logging.getLogger(__name__)

NEIGHBOURS = 32
"""How many neighbours a row has in the graph at most, the nearest, which bounds its memory: 20 bytes each."""
MEASURED = 1000
"""Rows that are compared with all others, to choose how many lists to look into and to tell the recall."""
TARGET = 0.995
"""Proportion of the similar pairs that is to be found, where `MOST_LISTS` are enough."""
LEAST_LISTS = 8
"""How many of its nearest lists each row is looked for in at least: a sample may have few pairs, or none."""
MOST_LISTS = 32
"""The same at most."""

_TRIED = 2**20  # comparisons that are timed for the estimate
_LONG = 30.0  # seconds, from which on the estimate is shown
_WAITING = 2**23  # pairs that are gathered, at least, before those that were found twice are discarded


@dataclass(frozen=True, eq=False)
class SimilarityGraph:
    """Pairs of similar rows.

    Parameters
    ----------
    a, b : ndarray of int64 (m,)
        The numbers of the rows, `a` the lower one.
    similarity : ndarray of float32 (m,)
        Their cosines.
    recall : float or None
        Proportion of the similar pairs of some rows that were found; None if all were compared, or there are none.
    measured : int
        How many pairs the recall was measured on.
    kind : {"", "lists"}
        Which rows were compared: all, or those in nearby lists.
    """

    a: Ints
    b: Ints
    similarity: Floats
    recall: float | None = None
    measured: int = 0
    kind: str = ""


def similarity_graph(
    rows: UnitRows,
    least: float,
    name: str,
    *,
    chosen: Ints | None = None,
    owners: Ints | None = None,
    exact: bool = False,
    progress: bool | None = None,
) -> SimilarityGraph:
    """Compare rows, and keep the nearest neighbours of each.

    Up to as many comparisons as those of `FEW_ROWS` rows with one another are done all, else those in nearby lists. Of
    rows that are identical one is compared, and the others are linked with it; not so with `owners`.

    Parameters
    ----------
    rows : UnitRows
        The rows.
    least : float
        The least cosine of a pair.
    name : str
        What is compared, for the estimate of the time.
    chosen, owners : ndarray of int64, optional
        As of `similar_pairs`.
    exact : bool
        Whether to compare all rows, however many there are.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    SimilarityGraph
    """
    first = np.arange(len(rows)) if owners is not None else first_of_each(rows)
    distinct = np.flatnonzero(first == np.arange(len(rows)))
    compared = rows if len(distinct) == len(rows) else SomeRows(rows, distinct)
    if chosen is not None:
        chosen = np.searchsorted(distinct, np.unique(first[chosen]))
    if exact or _comparisons(len(compared), chosen) <= _comparisons(FEW_ROWS, None):
        found = exact_graph(compared, least, name, chosen=chosen, owners=owners, progress=progress)
    else:
        found = approximate_graph(compared, least, chosen=chosen, owners=owners, progress=progress)
    copies = np.flatnonzero(first != np.arange(len(rows)))
    same = first[copies], copies, np.ones(len(copies), np.float32)
    pairs = _gathered([(distinct[found.a], distinct[found.b], found.similarity), same])
    return SimilarityGraph(*pairs, found.recall, found.measured, found.kind)


def exact_graph(
    rows: UnitRows,
    least: float,
    name: str,
    *,
    chosen: Ints | None = None,
    owners: Ints | None = None,
    progress: bool | None = None,
) -> SimilarityGraph:
    """Compare all rows, and keep the nearest neighbours of each.

    Parameters
    ----------
    rows, least, name, chosen, owners, progress
        As of `similarity_graph`.

    Returns
    -------
    SimilarityGraph
    """
    total = _comparisons(len(rows), chosen)
    _estimate(rows, total, name)
    with bar(total, "compare", progress, unit="pair") as shown:
        found = similar_pairs([rows], least, most=NEIGHBOURS, chosen=chosen, owners=owners, advance=shown.update)
        return SimilarityGraph(*_gathered(found))


def approximate_graph(
    rows: UnitRows,
    least: float,
    *,
    chosen: Ints | None = None,
    owners: Ints | None = None,
    progress: bool | None = None,
) -> SimilarityGraph:
    """Compare each row with those in the lists that are nearest to it, and measure what is missed by that.

    Up to `MEASURED` rows are compared with all others. Half of their similar pairs decide how many lists are looked
    into, the other half tells the recall. A pair counts as found, too, if one of the rows has `NEIGHBOURS` others.

    Parameters
    ----------
    rows, least, chosen, owners, progress
        As of `similarity_graph`.

    Returns
    -------
    SimilarityGraph
    """
    asked = np.arange(len(rows)) if chosen is None else chosen
    sample = np.sort(np.random.default_rng(0).choice(asked, min(MEASURED, len(asked)), replace=False))
    with bar(len(sample) + 2 * len(rows), "compare", progress, unit="row") as shown:
        a, b, _ = _gathered(similar_pairs([rows], least, most=NEIGHBOURS, chosen=sample, owners=owners))
        shown.update(len(sample))
        lists = Lists(rows)
        nearest = lists.nearest(None, _lists_to_look_into(lists, a[::2], b[::2], chosen), shown.update)
        expected_a, expected_b = a[1::2], b[1::2]
        parts, most = list[Pairs](), _WAITING
        for inside, near in entries_by_list(nearest, len(lists)):
            if chosen is not None:
                near = np.intersect1d(near, chosen, assume_unique=True)
            asking, among = (inside, near) if chosen is None else (near, inside)
            if len(asking) and len(among):
                parts += similar_pairs([rows], least, most=NEIGHBOURS, chosen=asking, among=among, owners=owners)
            if sum(len(each) for each, _, _ in parts) > most:
                parts = [best_of_each(_gathered(parts), NEIGHBOURS)]
                most = max(_WAITING, 2 * len(parts[0][0]))
            shown.update(len(inside))
    a, b, similarity = _gathered(parts)
    full = np.bincount(a, minlength=len(rows)) + np.bincount(b, minlength=len(rows)) >= NEIGHBOURS
    found = np.isin(expected_a * len(rows) + expected_b, a * len(rows) + b) | full[expected_a] | full[expected_b]
    return SimilarityGraph(a, b, similarity, float(found.mean()) if len(found) else None, len(found), "lists")


def _lists_to_look_into(lists: Lists, a: Ints, b: Ints, chosen: Ints | None) -> int:
    """Return how many lists to look into to find `TARGET` of some pairs, each from one of its rows that is chosen."""
    if not len(a):
        return LEAST_LISTS
    involved = np.unique(np.concatenate([a, b]))
    nearest = lists.nearest(involved, MOST_LISTS)
    near_a, near_b = (nearest[np.searchsorted(involved, each)] for each in (a, b))
    from_a, from_b = needed(near_a, near_b), needed(near_b, near_a)
    if chosen is not None:
        from_a, from_b = (
            np.where(np.isin(*of), n, MOST_LISTS) for of, n in (((a, chosen), from_a), ((b, chosen), from_b))
        )
    wanted = int(np.quantile(np.minimum(from_a, from_b), TARGET, method="higher"))
    return min(MOST_LISTS, max(LEAST_LISTS, wanted))


def _comparisons(count: int, chosen: Ints | None) -> int:
    return count * (count + 1) // 2 if chosen is None else count * len(chosen)


def _gathered(parts: Iterable[Pairs]) -> Pairs:
    """Join pairs, each once, sorted by their rows."""
    a, b, similarity = joined([*parts])
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    new = np.append(True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])) if len(a) else np.empty(0, np.bool_)
    return a[new], b[new], similarity[order][new]


def _estimate(rows: UnitRows, total: int, name: str) -> None:
    """Say how long the comparison takes, if it takes long."""
    side = int(np.sqrt(_TRIED))
    if total < 100 * _TRIED:
        return
    rows.block(0, side) @ rows.block(0, side).T  # the first call starts the threads
    before = time.perf_counter()
    for _ in range(4):
        (rows.block(0, side) @ rows.block(0, side).T >= 1).any()
    seconds = (time.perf_counter() - before) / 4 / side**2 * total
    if seconds >= _LONG:
        log.warning(
            "%s: all pairs of %s are compared, which takes about %s",
            *(name, f"{len(rows):,}", _duration(seconds)),
        )


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
