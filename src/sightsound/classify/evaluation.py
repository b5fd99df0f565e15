"""How well the classes of sounds match the expected ones, measured in the ontology.

The ontology tells small errors from large ones: for a Dog, the class Bark is closer than Siren.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sightsound.classify.ontology import Ontology
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Prediction


@dataclass(frozen=True)
class TagScore:
    """The score of a set of items.

    Parameters
    ----------
    items : int
        The number of items.
    hit_rate : float
        The fraction of items for which one of the k best classes is the expected kind of sound or a descendant of it.
    distance : float
        The mean number of links in the ontology between the expected kind and the best class.
    """

    items: int
    hit_rate: float
    distance: float


@dataclass(frozen=True)
class TagEvaluation:
    """The score of all items, and of those of each expected kind of sound.

    Parameters
    ----------
    overall : TagScore
        The score of all items.
    by_class : mapping of str to TagScore
        The score of the items of each kind, by its name.
    """

    overall: TagScore
    by_class: Mapping[str, TagScore]


def evaluate_tags(
    expected: Sequence[str], predicted: Sequence[Sequence[Prediction]], ontology: Ontology, *, k: int = 5
) -> TagEvaluation:
    """Compare predicted classes with the expected kinds of sound.

    Parameters
    ----------
    expected : sequence of str, length n
        The name or id of the kind of sound of each item.
    predicted : sequence of sequences of Prediction, length n
        The classes of each item, best first, as in `Classified.top`. They are identified by their id, or by their label
        where they have none.
    ontology : Ontology
        The kinds of sound, see `load_ontology`.
    k : int
        How many of the best classes count for `TagScore.hit_rate`.

    Returns
    -------
    TagEvaluation

    Raises
    ------
    UnknownClass
        If a kind of sound is not in the ontology.
    SightsoundError
        If the lists differ in length, are empty, or an item has no prediction.
    """
    if len(expected) != len(predicted) or not expected:
        raise SightsoundError(f"evaluation: expected one list of predictions an item, got {len(predicted)}")
    if not all(predicted):
        raise SightsoundError("evaluation: expected at least one prediction an item, got none for some")
    names = np.array([ontology[kind].name for kind in expected])
    hits = np.array([_is_hit(kind, best[:k], ontology) for kind, best in zip(expected, predicted)])
    links = np.array([ontology.distance(kind, _key(best[0])) for kind, best in zip(expected, predicted)])

    def score(rows: NDArray[np.bool_]) -> TagScore:
        return TagScore(int(rows.sum()), float(hits[rows].mean()), float(links[rows].mean()))

    by_class = {str(name): score(names == name) for name in sorted(set(names))}
    return TagEvaluation(score(np.ones(len(names), np.bool_)), by_class)


def _is_hit(kind: str, best: Sequence[Prediction], ontology: Ontology) -> bool:
    accepted = {node.id for node in ontology.subtree(kind)}
    return any(ontology[_key(prediction)].id in accepted for prediction in best)


def _key(prediction: Prediction) -> str:
    """Return what identifies a class in the ontology."""
    return prediction.id or prediction.label
