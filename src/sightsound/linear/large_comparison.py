"""Choose how the rows of a large set are prepared, by a sample of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightsound.linear.cross_validation import CLEARLY
from sightsound.linear.large_search import LargeSearch
from sightsound.linear.large_set import LargeSet
from sightsound.linear.scaling import Preparation


def compare(
    given: LargeSet, preparations: Sequence[Preparation], Cs: Sequence[float]
) -> tuple[LargeSearch, NDArray[np.bool_] | None]:
    """Return the search for C with the preparation that serves best.

    A sample tells which other preparation may be better than the usual one. It is taken where it is clearly better
    there, and where that is not clear, both are compared on all folds. The rotated rows of one preparation are in
    memory at a time.

    Parameters
    ----------
    given : LargeSet
        The set.
    preparations : sequence of Preparation
        The usual one first, and one or more others.
    Cs : sequence of float
        Values of C to choose from.

    Returns
    -------
    search : LargeSearch
        The search for the chosen preparation.
    compared : bool array (m,), optional
        Whether each held-out row, by the order of folds, was correct with the other preparation, if both were compared
        on all folds.
    """
    sample = given.sample()
    searches = [LargeSearch(sample, each, Cs) for each in preparations]
    for search in searches[:0:-1]:
        search.screen()
        search.unload()
    usual, others = searches[0], searches[1:]
    correct = usual.correct(sample.first)
    gains = [other.gain(correct, sample.first) for other in others]
    (gain, error), rival = max(zip(gains, others), key=lambda pair: pair[0][0])
    if sample is not given:
        usual, rival = (LargeSearch(given, each.preparation, Cs) for each in (usual, rival))
    if gain <= 0:
        return usual, None
    if gain <= CLEARLY * error:
        correct = usual.correct(given.folds)
        usual.unload()
        gain, error = rival.gain(correct, given.folds)
        if gain <= CLEARLY * error:
            rival.unload()
            return usual, rival.correct(given.folds)
        return rival, correct
    usual.unload()
    return rival, None
