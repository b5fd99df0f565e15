"""Parts of recordings that sound the same: runs of consecutive windows with a constant lag."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.space import Space
from sightsound.library.duplicates.graph import SimilarityGraph
from sightsound.library.duplicates.rows import Ints, StoredRows

LEAST_WINDOWS = 3
"""Windows of a run at least. One alone may be like another one by chance."""
MISSING = 1
"""Windows of a run that follow each other and need not be similar."""

_COMPARED = 64  # windows of a run that tell how many distinct ones it has


@dataclass(frozen=True, eq=False)
class Runs:
    """Parts of pairs of recordings that sound the same.

    Parameters
    ----------
    contents : ndarray of int64 (n, 2)
        The numbers of the two contents, the lower one first.
    seconds : ndarray of float64 (n, 2, 2)
        Start and stop in each.
    similarity : ndarray of float32 (n,)
        The mean cosine of the windows.
    """

    contents: Ints
    seconds: Seconds
    similarity: Floats


def matching_runs(rows: StoredRows, graph: SimilarityGraph, space: Space, least: float) -> Runs:
    """Find the runs in the similar windows of recordings.

    Of the runs of two recordings that overlap in one of them, the one with the most windows is kept. A run counts if
    `LEAST_WINDOWS` of its windows are not similar to an earlier one of it: silence, hum or rain fits at any lag.

    Parameters
    ----------
    rows : StoredRows
        The windows of the space.
    graph : SimilarityGraph
        The similar pairs of windows of different recordings.
    space : Space
        The space of a network for sounds.
    least : float
        The least cosine.

    Returns
    -------
    Runs
        Sorted by contents and seconds.
    """
    a, b = graph.a, graph.b
    swapped = rows.contents[a] > rows.contents[b]
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    begins = [rows.spans(each)[:, 0] for each in (a, b)]
    hop = _hop(space, np.concatenate(begins))
    at = [np.round(each / hop).astype(np.int64) for each in begins]
    keys = (rows.contents[a], rows.contents[b], at[1] - at[0], at[0])
    order = np.lexsort(keys[::-1])
    first, second, lag, window = (key[order] for key in keys)
    a, b, cosine = a[order], b[order], graph.similarity[order]
    breaks = (np.diff(first) != 0) | (np.diff(second) != 0) | (np.diff(lag) != 0) | (np.diff(window) > 1 + MISSING)
    starts = np.flatnonzero(np.append(True, breaks)) if len(a) else np.empty(0, np.int64)
    counts = np.diff(np.append(starts, len(a)))
    long = counts >= LEAST_WINDOWS
    starts, counts = starts[long], counts[long]
    apart = _apart(np.stack([first, second, window, lag], axis=1)[starts], window[starts + counts - 1], counts)
    lengths = {n: _distinct(rows, a[starts[n] : starts[n] + counts[n]], least) for n in apart}
    kept = np.array([n for n, distinct in lengths.items() if distinct >= LEAST_WINDOWS], np.int64)
    starts, counts = starts[kept], counts[kept]
    ends = starts + counts - 1
    seconds = np.stack(
        [np.stack([rows.spans(each[starts])[:, 0], rows.spans(each[ends])[:, 1]], axis=1) for each in (a, b)], axis=1
    )
    means = [float(cosine[start : start + count].mean()) for start, count in zip(starts, counts)]
    return Runs(np.stack([first[starts], second[starts]], axis=1), seconds, np.array(means, np.float32))


def _hop(space: Space, starts: Seconds) -> float:
    """Return the seconds from the start of a window to that of the next one.

    A space that was made elsewhere may not say so: then it is the least difference of two starts.
    """
    facts = json.loads(space.facts)
    if facts.get("hop") and facts.get("sample_rate"):
        return float(facts["hop"]) / float(facts["sample_rate"])
    steps = np.diff(np.unique(starts.round(6)))
    return float(steps.min()) if len(steps) else 1.0


def _apart(runs: Ints, highs: Ints, counts: Ints) -> Iterator[int]:
    """Yield the numbers of the runs that do not overlap a longer one of the same recordings, ascending.

    `runs` has the two contents, the first window and the lag of each, `highs` the last window.
    """
    changes = np.any(np.diff(runs[:, :2], axis=0), axis=1)
    before = 0
    for end in [*(np.flatnonzero(changes) + 1).tolist(), len(runs)]:
        taken: list[tuple[int, int, int, int]] = []
        chosen: list[int] = []
        for number in (before + np.argsort(-counts[before:end], kind="stable")).tolist():
            low, lag, high = int(runs[number, 2]), int(runs[number, 3]), int(highs[number])
            if all(_are_apart(low, high, each[:2]) and _are_apart(low + lag, high + lag, each[2:]) for each in taken):
                taken.append((low, high, low + lag, high + lag))
                chosen.append(number)
        yield from sorted(chosen)
        before = end


def _are_apart(low: int, high: int, other: tuple[int, int]) -> bool:
    return high < other[0] or low > other[1]


def _distinct(rows: StoredRows, numbers: Ints, least: float) -> int:
    """Return how many windows of a run are not similar to an earlier one of it."""
    chosen = np.unique(np.linspace(0, len(numbers) - 1, min(len(numbers), _COMPARED)).round().astype(np.int64))
    vectors = rows.take(numbers[chosen])
    earlier = np.tril(vectors @ vectors.T >= least, -1)
    return int((~earlier.any(axis=1)).sum())
