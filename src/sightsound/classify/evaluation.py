"""How good the classes of sounds are, with the ontology as a measure: a Bark for a Dog is nearer than a Siren."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sightsound.classify.ontology import Ontology
from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Prediction


@dataclass(frozen=True)
class Score:
    """Of some items: how many there are; the share for which one of the best k classes is the expected kind or lies
    below it; and the mean number of links in the ontology from the expected kind to the best class."""

    items: int
    hits: float
    distance: float


@dataclass(frozen=True)
class Evaluation:
    """The score of all items, and of those of each expected kind."""

    whole: Score
    classes: Mapping[str, Score]


def evaluate(
    expected: Sequence[str], predicted: Sequence[Sequence[Prediction]], ontology: Ontology, *, k: int = 5
) -> Evaluation:
    """Compares what was `expected` of each item, the name or mid of a kind of sound, with its predictions, best first.

    Raises `UnknownClass` for kinds that are not AudioSet's, `SightsoundError` for lists that do not fit together or
    items without a prediction.
    """
    if len(expected) != len(predicted) or not expected:
        raise SightsoundError(f"evaluation: expected one list of predictions an item, got {len(predicted)}")
    if not all(predicted):
        raise SightsoundError("evaluation: expected at least one prediction an item, got none for some")
    names = np.array([ontology[kind].name for kind in expected])
    hits = np.array([_hit(kind, best[:k], ontology) for kind, best in zip(expected, predicted)])
    links = np.array([ontology.distance(kind, _node(best[0])) for kind, best in zip(expected, predicted)])

    def score(of: object) -> Score:
        chosen = np.ones(len(names), np.bool_) if of is None else names == of
        return Score(int(chosen.sum()), float(hits[chosen].mean()), float(links[chosen].mean()))

    return Evaluation(score(None), {str(name): score(name) for name in sorted(set(names))})


def _hit(kind: str, best: Sequence[Prediction], ontology: Ontology) -> bool:
    meant = {node.id for node in ontology.subtree(kind)}
    return any(ontology[_node(prediction)].id in meant for prediction in best)


def _node(prediction: Prediction) -> str:
    return prediction.id or prediction.label
