"""How good an index is: recall against exact search, and the least effort that is good enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound._progress import bar
from sightsound.contract.arrays import Floats
from sightsound.library.approximate.opened import OpenIndex
from sightsound.library.approximate.search import ApproximateSearch
from sightsound.library.exact_search import ExactSearch
from sightsound.library.space_rows import RowsView

HELD_OUT = 1000
"""Rows that are queries when an index is measured: half of them choose the effort, the others tell the recall."""
TARGET = 0.95
"""Recall of the ten nearest that the effort is chosen for."""

_DEPTHS = (10, 100)
_CHOOSING, _STATING = slice(0, None, 2), slice(1, None, 2)
_EQUAL = 1e-6  # cosines that differ by less are of the same rank


@dataclass
class _Condition:
    """Contents that may be found, and the exact answers for each query and depth: the lowest cosine, and how many."""

    contents: NDArray[np.int64] | None
    exact: dict[int, list[tuple[float, int]]]


class Measurement:
    """Recall of an index, with rows of the space as queries, whose own contents are left out.

    Parameters
    ----------
    rows : RowsView
        The rows that the index was built from.
    index : OpenIndex
        The index.
    seed : int
        Of the choice of the queries, and of the contents of the filter.
    """

    def __init__(self, rows: RowsView, index: OpenIndex, seed: int = 0) -> None:
        self._rows, self._index = rows, index
        random = np.random.default_rng(seed)
        self._queries, self._own = _held_out(rows, random)
        every = np.unique(np.concatenate([runs.contents[runs.alive] for runs in rows.runs]))
        few = min(len(every), max(max(_DEPTHS), len(every) // 100))
        filter_ = np.sort(random.choice(every, few, replace=False))
        self._conditions = {"": self._exact(None), " filtered": self._exact(filter_)}

    def _exact(self, contents: NDArray[np.int64] | None) -> _Condition:
        found = ExactSearch(self._rows, self._queries, max(_DEPTHS), contents, self._own).pairs()
        exact = {}
        for depth in _DEPTHS:
            tops = [pairs[:depth] for pairs in found]
            exact[depth] = [(top[-1].score if top else 0.0, len(top)) for top in tops]
        return _Condition(contents, exact)

    def run(self, progress: bool | None) -> tuple[dict[str, int], dict[str, float]]:
        """Choose the least effort, a power of two, whose recall of the ten nearest is `TARGET`, else the greatest.

        Parameters
        ----------
        progress : bool or None
            Whether to show a progress bar.

        Returns
        -------
        parameters : dict
            FAISS's name of the effort -> the effort, also with "filtered".
        recall : dict
            As of `VectorIndex`.
        """
        parameters, recall = {}, {}
        efforts = [2**power for power in range(self._index.most.bit_length())]
        with bar(0, "measure", progress, unit="search") as shown:
            for name, condition in self._conditions.items():
                low, high = 0, len(efforts) - 1
                while low < high:
                    middle = (low + high) // 2
                    good = self._recall(condition, efforts[middle], 10, _CHOOSING) >= TARGET
                    shown.update(len(self._queries[_CHOOSING]))
                    low, high = (low, middle) if good else (middle + 1, high)
                parameters[f"{self._index.kind.effort}{name}"] = efforts[low]
                for depth in _DEPTHS:  # not with the queries that chose it, for which it is better by chance
                    recall[f"{depth}{name}"] = self._recall(condition, efforts[low], depth, _STATING)
        return parameters, recall

    def _recall(self, condition: _Condition, effort: int, depth: int, part: slice) -> float:
        """Return the mean proportion of the nearest contents that some queries find; each is searched alone."""
        proportions = []
        chosen = (each[part] for each in (self._queries, self._own, condition.exact[depth]))
        for query, own, (lowest, count) in zip(*chosen):
            if count:
                search = ApproximateSearch(self._rows, self._index, effort, [query], depth, condition.contents, [own])
                (pairs,) = search.pairs()
                found = sum(pair.score >= lowest - _EQUAL for pair in pairs[:depth])
                proportions.append(min(1.0, found / count))
        return float(np.mean(proportions)) if proportions else 1.0


def _held_out(rows: RowsView, random: np.random.Generator) -> tuple[list[Floats], list[int]]:
    """Return some rows, each float32 (1, dim), and their contents."""
    ends = np.cumsum([len(runs.segment) for runs in rows.runs])
    total = int(ends[-1])
    queries, own = list[Floats](), list[int]()
    for row in random.choice(total, min(total, 2 * HELD_OUT), replace=False).tolist():
        at = int(np.searchsorted(ends, row, "right"))
        runs, local = rows.runs[at], row - (int(ends[at - 1]) if at else 0)
        run = int(np.searchsorted(runs.starts, local, "right")) - 1
        if runs.alive[run] and len(queries) < HELD_OUT:
            queries.append(np.array(runs.segment.unit_rows(local, 1)))
            own.append(int(runs.contents[run]))
    return queries, own
