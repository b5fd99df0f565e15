"""Which classes of a network the names of folders mean, and whether the best scores name them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats
from sightsound.contract.classlist import ClassList

TOP = 5
"""How many of the best classes are kept of each item."""


def match_classes(names: Iterable[str], classes: ClassList) -> tuple[dict[str, int], tuple[str, ...]]:
    """Find the classes that names mean: by id, by label, or by one of the synonyms that a label separates by commas.

    Case does not count, and spaces, underscores, hyphens and slashes are the same.

    Parameters
    ----------
    names : iterable of str
        The names of folders.
    classes : ClassList
        The classes of a network.

    Returns
    -------
    dict of str to int
        The column of each name that means one class.
    tuple of str
        The names that mean several classes.

    Examples
    --------
    >>> match_classes(["N02", "tiger_cat"], ClassList("cats", ("tabby, tabby cat", "tiger cat"), ("n02", "n03")))
    ({'N02': 0, 'tiger_cat': 1}, ())
    """
    tables = [_columns((each,) for each in texts) for texts in (classes.ids, classes.labels)]
    tables.append(_columns(label.split(",") for label in classes.labels))
    found: dict[str, int] = {}
    ambiguous = []
    for name in names:
        meant = next((table[_key(name)] for table in tables if _key(name) in table), set())
        if len(meant) == 1:
            found[name] = min(meant)
        elif meant:
            ambiguous.append(name)
    return found, tuple(ambiguous)


def best_classes(scores: Floats) -> NDArray[np.intp]:
    """Return the columns (5,) of the highest scores (classes,), the highest first, -1 where there are fewer classes."""
    best = np.full(TOP, -1, np.intp)
    order = np.argsort(-scores, kind="stable")[:TOP]
    best[: len(order)] = order
    return best


def _columns(texts: Iterable[Sequence[str]]) -> dict[str, set[int]]:
    """Return the columns that have each of the texts."""
    columns: dict[str, set[int]] = defaultdict(set)
    for column, names in enumerate(texts):
        for name in names:
            if _key(name):
                columns[_key(name)].add(column)
    return columns


def _key(text: str) -> str:
    return re.sub(r"[\s_/-]+", " ", text).strip().casefold()
