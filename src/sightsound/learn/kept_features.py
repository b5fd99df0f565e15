"""The features of the scores that a library keeps."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sightsound.contract.arrays import Floats
from sightsound.contract.classlist import ClassList
from sightsound.library.filters import Filter
from sightsound.library.library import Library
from sightsound.linear.features import FeatureSpec


@dataclass(frozen=True)
class KeptFeatures:
    """The features of the scores of items, of one list of classes.

    Parameters
    ----------
    classes : ClassList
        The classes.
    rows : dict of float32 arrays
        By the id of the item: the rows that `FeatureSpec.score_rows` makes.
    windows : dict of int
        By the id of the item: how many windows have scores.
    """

    classes: ClassList
    rows: dict[int, Floats]
    windows: dict[int, int]

    def get(self, item_id: int | None, windows: int) -> Floats | None:
        """Return the rows of an item with so many windows; None where it has no scores, or those of others."""
        return self.rows.get(item_id or 0) if self.windows.get(item_id or 0) == windows else None


def kept_features(library: Library, spec: FeatureSpec, where: Filter | None = None) -> KeptFeatures | None:
    """Return the features of the scores in a space, pooled as a feature spec says; None where there are none.

    Of several lists of classes the one that the spec uses is taken, else the one with the most items.
    """
    rows: dict[str, dict[int, Floats]] = defaultdict(dict)
    windows: dict[str, dict[int, int]] = defaultdict(dict)
    lists: dict[str, ClassList] = {}
    for kept in library.scores_in(spec.space, where):
        key = kept.classes.fingerprint
        lists[key], made = kept.classes, spec.score_rows(kept.scores)
        for outcome in kept.outcomes:
            rows[key][outcome.item.id or 0] = made
            windows[key][outcome.item.id or 0] = len(kept.scores)
    if not lists:
        return None
    best = spec.score_list if spec.score_list in lists else max(rows, key=lambda key: len(rows[key]))
    return KeptFeatures(lists[best], rows[best], windows[best])
