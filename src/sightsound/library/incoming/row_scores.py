"""The best classes of rows in a table, read as scores again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightsound.contract.arrays import BEST_KEPT, Floats
from sightsound.contract.classlist import ClassList
from sightsound.contract.errors import PluginError
from sightsound.contract.row_names import BEST, CLASSES, SCORE_KIND, TOP_IDS, TOP_LABELS, TOP_SCORES, stated
from sightsound.library.store.score_format import KINDS

_MOST_CLASSES = 2**16
_COLUMNS = (TOP_LABELS, TOP_IDS, TOP_SCORES, "scores")
UNKNOWN_CLASSES = "the file does not say of which classes they are; `sightsound index --scores` computes them"
"""Why the scores in a file cannot be taken that has no list of classes."""


@dataclass(frozen=True)
class StatedScores:
    """The scores that a table has of its rows.

    Parameters
    ----------
    kind : {"sigmoid", "softmax"}
        What they are.
    classes : ClassList
        All classes.
    best : int
        How many of the best ones a row has at most.
    """

    kind: str
    classes: ClassList
    best: int

    @property
    def complete(self) -> bool:
        """Whether they are all that a library keeps, and not fewer of the best ones."""
        return self.best >= (min(BEST_KEPT, len(self.classes)) if self.kind == "softmax" else len(self.classes))

    @property
    def column(self) -> str:
        """The column that names the classes: their ids, or the names of classes that have none."""
        return TOP_IDS if self.classes.ids else TOP_LABELS


def has_scores(columns: Collection[str]) -> bool:
    """Return whether a table has a column of scores, or of the best classes."""
    return any(name in columns for name in _COLUMNS)


def stated_scores(said: Mapping[str, str], columns: Collection[str]) -> StatedScores | str:
    """Return what scores a table has.

    Parameters
    ----------
    said : mapping of str to str
        What it says of all its rows.
    columns : collection of str
        Its columns.

    Returns
    -------
    StatedScores or str
        A text says why its scores cannot be taken; it is empty for a table without scores.
    """
    if not has_scores(columns):
        return ""
    kind, listed, best = (stated(said, name) for name in (SCORE_KIND, CLASSES, BEST))
    if not listed:
        return UNKNOWN_CLASSES
    try:
        facts = json.loads(listed)
        classes = ClassList(facts["name"], tuple(facts["labels"]), tuple(facts["ids"]))
        found = StatedScores(kind, classes, int(best))
    except (ValueError, TypeError, KeyError, RecursionError, PluginError):
        return f"its list of classes ({CLASSES}, {BEST}) cannot be read"
    if kind not in KINDS or not 0 < len(classes) <= _MOST_CLASSES or found.best < 1:
        return f"expected {SCORE_KIND} {' or '.join(KINDS)}, and at most {_MOST_CLASSES} classes"
    if not classes.ids and len(set(classes.labels)) < len(classes):
        return "two of its classes have the same name, and no ids"
    if missing := {found.column, TOP_SCORES}.difference(columns):
        return f"the column {min(missing)} is missing"
    return found


def read_scores(batch: Any, said: StatedScores) -> Floats:
    """Return the scores of some rows, float32 (n, classes); classes that are not among the best of a row have 0.

    Parameters
    ----------
    batch : pyarrow.RecordBatch
        The rows.
    said : StatedScores
        What scores they are.

    Raises
    ------
    ValueError
        If a class is not in the list, a row has not one score for each class, or a score is not from 0 to 1.
    """
    import pyarrow
    import pyarrow.compute as pc

    names, scores = batch.column(said.column), batch.column(TOP_SCORES)
    counts = [pc.fill_null(pc.list_value_length(each), 0).to_numpy(zero_copy_only=False) for each in (names, scores)]
    if not np.array_equal(*counts):
        raise ValueError(f"{TOP_SCORES}: expected as many as {said.column} in each row")
    known = pyarrow.array(said.classes.ids or said.classes.labels, pyarrow.string())
    columns = pc.index_in(pc.cast(pc.list_flatten(names), pyarrow.string()), known)
    if columns.null_count:
        raise ValueError(f"{said.column}: a class is not in the list of classes")
    values = pc.list_flatten(scores).to_numpy(zero_copy_only=False).astype(np.float32)
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{TOP_SCORES}: expected numbers from 0 to 1")
    found = np.zeros((len(names), len(said.classes)), np.float32)
    found[np.repeat(np.arange(len(names)), counts[0]), columns.to_numpy(zero_copy_only=False)] = values
    return found
