"""The graph of similar rows of a space: exact, block by block, or through the approximate index of the library."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sightsound._progress import bar
from sightsound.contract.arrays import Floats
from sightsound.library.approximate.indexes import UsableIndex
from sightsound.library.duplicates.pairs import Pairs, best_of_each, cosines, similar_pairs
from sightsound.library.duplicates.rows import Ints, StoredRows, UnitRows

log = logging.getLogger(__name__)

NEIGHBOURS = 32
"""How many neighbours a row has in the graph at most, the nearest, which bounds its memory: 16 bytes each."""
MEASURED = 1000
"""Rows that are compared exactly to tell the recall of an approximate graph."""

_ASKED = 1024  # rows that an index is asked about at once
_MOST_ASKED = 256  # neighbours of a row that are asked for, since an index knows rows only roughly
_TRIED = 2**20  # comparisons that are timed for the estimate
_LONG = 30.0  # seconds, from which on the estimate is shown


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
        Proportion of the exact pairs of some rows that were found; None if all were compared exactly.
    measured : int
        How many pairs the recall was measured on.
    kind : str
        The kind of the index, "" without one.
    """

    a: Ints
    b: Ints
    similarity: Floats
    recall: float | None = None
    measured: int = 0
    kind: str = ""


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
    rows : UnitRows
        The rows.
    least : float
        The least cosine of a pair.
    name : str
        What is compared, for the estimate of the time.
    chosen, owners : ndarray of int64, optional
        As of `similar_pairs`.
    progress : bool, optional
        Whether to show a progress bar.

    Returns
    -------
    SimilarityGraph
    """
    count = len(rows)
    total = count * (count + 1) // 2 if chosen is None else count * len(chosen)
    _estimate(rows, total, name)
    with bar(total, "compare", progress, unit="pair") as shown:
        return SimilarityGraph(
            *_gathered(
                similar_pairs([rows], least, most=NEIGHBOURS, chosen=chosen, owners=owners, advance=shown.update)
            )
        )


def approximate_graph(
    rows: StoredRows,
    usable: UsableIndex,
    least: float,
    *,
    chosen: Ints | None = None,
    owners: Ints | None = None,
    progress: bool | None = None,
) -> SimilarityGraph:
    """Ask an index for the neighbours of each row, compare these exactly, and measure what was missed.

    Rows that are newer than the index are compared with all rows.

    Parameters
    ----------
    rows : StoredRows
        The rows.
    usable : UsableIndex
        The index of their space.
    least, chosen, owners, progress
        As of `exact_graph`.

    Returns
    -------
    SimilarityGraph
    """
    index, effort = usable.index, usable.facts.parameters[usable.index.kind.effort]
    known = rows.known_to(index.stamp)
    asked = np.arange(len(rows)) if chosen is None else chosen
    newer, asked = asked[~known[asked]], asked[known[asked]]
    count = min(index.stamp.rows, _MOST_ASKED, int(np.ceil(index.kind.spare * NEIGHBOURS)) + 1)
    parts: list[Pairs] = []
    with bar(len(asked), "compare", progress, unit="row") as shown:
        for start in range(0, len(asked), _ASKED):
            part = asked[start : start + _ASKED]
            found = rows.numbers_of(index.stamp, index.ask(rows.take(part), count, effort, None))
            parts.append(_close(rows, np.repeat(part, found.shape[1]), found.ravel(), least, owners))
            shown.update(len(part))
    parts += similar_pairs([rows], least, most=NEIGHBOURS, chosen=newer, owners=owners) if len(newer) else []
    a, b, similarity = _gathered(parts)
    recall, measured = _recall(rows, a, b, asked, least, owners)
    return SimilarityGraph(a, b, similarity, recall, measured, usable.facts.kind)


def _close(rows: StoredRows, a: Ints, b: Ints, least: float, owners: Ints | None) -> Pairs:
    wanted = (b >= 0) & (a != b)
    if owners is not None:
        wanted[wanted] = owners[a[wanted]] != owners[b[wanted]]
    a, b = a[wanted], b[wanted]
    similarity = cosines(rows, a, b)
    close = similarity >= least
    a, b, similarity = best_of_each((a[close], b[close], similarity[close]), NEIGHBOURS)
    return np.minimum(a, b), np.maximum(a, b), similarity


def _gathered(parts: Iterable[Pairs]) -> Pairs:
    """Join pairs, each once, sorted by their rows."""
    found = [*parts]
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    a, b, similarity = (np.concatenate(each) for each in zip(*found))
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    new = np.append(True, (a[1:] != a[:-1]) | (b[1:] != b[:-1])) if len(a) else np.empty(0, np.bool_)
    return a[new], b[new], similarity[order][new]


def _recall(
    rows: StoredRows, a: Ints, b: Ints, asked: Ints, least: float, owners: Ints | None
) -> tuple[float | None, int]:
    """Return which part of the exact pairs of some rows is among those found, and how many these are."""
    if not len(asked):
        return None, 0
    sample = np.sort(np.random.default_rng(0).choice(asked, min(MEASURED, len(asked)), replace=False))
    exact_a, exact_b, _ = _gathered(similar_pairs([rows], least, most=NEIGHBOURS, chosen=sample, owners=owners))
    if not len(exact_a):
        return None, 0
    count = len(rows)
    found = np.isin(exact_a * count + exact_b, a * count + b)
    return float(found.mean()), len(exact_a)


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
            "%s: all pairs of %s are compared, which takes about %s; `sightsound index-build` makes it faster",
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
