"""The features of the scores that a library keeps."""

from __future__ import annotations

from collections import Counter

from sightsound.contract.arrays import Floats
from sightsound.contract.classlist import ClassList
from sightsound.library.content_rows import ContentRows
from sightsound.library.library import Library
from sightsound.linear.features import FeatureSpec


def scored_classes(library: Library, spec: FeatureSpec) -> ClassList | None:
    """Return the list of classes whose scores are features in a space; None where there are no scores.

    Of several lists it is the one that the spec uses, else the one that most contents have.
    """
    lists = {each.fingerprint: each for each in library.class_lists([spec.space])}
    if spec.score_list in lists:
        return lists[spec.score_list]
    if len(lists) < 2:
        return next(iter(lists.values()), None)
    counts = Counter(kept.classes.fingerprint for kept in library.scores_in(spec.space))
    return lists[max(counts, key=counts.__getitem__)] if counts else None


def score_rows(spec: FeatureSpec, classes: ClassList | None, stored: ContentRows) -> Floats | None:
    """Return the features of the scores of some rows; None where they have no scores of these classes."""
    found = None if classes is None else stored.scores()
    if found is None or classes is None or found[0].fingerprint != classes.fingerprint:
        return None
    return spec.score_rows(found[1])
