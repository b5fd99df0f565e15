"""The classes of one network as a user asks for them: which count, and which lie below which in the ontology."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sightsound.classify.ontology import SUBTREE, Ontology
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.errors import SightsoundError, UnknownClass
from sightsound.contract.results import Prediction

FAINT = 0.1
"""Scores below this are no evidence for a kind above: hundreds of classes, each at 0.002, would add up to something."""


@dataclass(frozen=True)
class Classes:
    """`labels` and `ids` of c classes; `wanted` bool (c,), which of them count; `below` bool (c, c), whether class j
    lies below class i in the ontology (nowhere, where there is no ontology).

    With back-off the kinds of sound that no class stands for follow the network's own classes, and `_steps` says how
    their evidence is worked out: (kind, kinds directly below), the lowest first.
    """

    labels: tuple[str, ...]
    ids: tuple[str, ...]
    wanted: NDArray[np.bool_]
    below: NDArray[np.bool_]
    _steps: tuple[tuple[int, tuple[int, ...]], ...] = field(default=(), repr=False)
    _silent: NDArray[np.bool_] | None = field(default=None, repr=False)

    def evidence(self, scores: Floats) -> Floats:
        """Scores (n, labels of the network) -> (n, c): the same, or with back-off the evidence for every kind.

        The evidence for a kind is its own score or, where that is higher, the chance that one of the kinds directly
        below it is there, as if they were independent: 1 - (1 - a)(1 - b)..., of those that are not faint (0.1). So
        a Dog that might bark (0.3) or howl (0.25) is a Dog (0.475), although none of the three is over 0.35.
        """
        if not self._steps:
            return scores
        found = np.zeros((len(scores), len(self.labels)), np.float32)
        found[:, : scores.shape[1]] = scores
        if self._silent is not None:
            found[:, self._silent] = 0
        for kind, children in self._steps:
            likely = found[:, list(children)]
            likely = np.where(likely < FAINT, np.float32(0), likely)
            found[:, kind] = np.maximum(found[:, kind], 1 - np.prod(1 - likely, axis=1))
        return found

    def top(self, scores: Floats, k: int, threshold: float) -> tuple[Prediction, ...]:
        """The `k` best of scores (labels of the network,), best first.

        With back-off the most specific kinds whose evidence is at least `threshold` come first, then the other classes.
        """
        values = self.evidence(scores[None])[0]
        out, first = ~self.wanted, np.zeros(len(values), np.bool_)
        if self._steps:
            strong = (values >= threshold) & self.wanted
            first = strong & ~(self.below & strong).any(axis=1)
            said = (self.below & first).any(axis=1)  # by the more specific ones
            out = out | said | (np.arange(len(values)) >= len(scores)) & ~first
        best = [int(i) for i in np.argsort(-(values + first), kind="stable") if not out[i]][: max(0, k)]
        return tuple(Prediction(self.labels[i], float(values[i]), self.ids[i]) for i in best)


def audioset(card: Card) -> bool:
    """Whether a network's classes are AudioSet's, by the form of their ids."""
    return any(id_.startswith(("/m/", "/t/", "/g/")) for id_ in card.label_ids)


def choose(
    card: Card,
    ontology: Ontology | None = None,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    backoff: bool = False,
) -> Classes:
    """The classes of a card that count. Without an `ontology` no class lies below another.

    Raises `SightsoundError` for a network without classes, and `UnknownClass` for a name that stands for none of them.
    """
    if not card.labels:
        advice = "name a model with classes, see `sightsound models`"
        raise SightsoundError(f"{card.name} has no classes, only embeddings; {advice}")
    labels, ids = list(card.labels), list(card.label_ids or [""] * len(card.labels))
    nodes = ontology.classes(card) if ontology else (None,) * len(labels)
    if backoff and ontology and any(nodes):
        beyond = [node for node in ontology if node not in nodes and node not in ontology.roots]
        labels, ids, nodes = labels + [n.name for n in beyond], ids + [n.id for n in beyond], (*nodes, *beyond)
    wanted = np.ones(len(labels), np.bool_)
    if include:
        wanted = _meant(include, card, labels, ids, ontology)
    silent = _meant(exclude, card, labels, ids, ontology)
    below = np.zeros((len(labels),) * 2, np.bool_)
    known = [i for i, node in enumerate(nodes) if node is not None]
    steps: tuple[tuple[int, tuple[int, ...]], ...] = ()
    if ontology and known:
        places = [ontology.index(node) for node in nodes if node is not None]
        below[np.ix_(known, known)] = ontology.below[np.ix_(places, places)]
        if backoff:
            steps = _steps(ontology, dict(zip(places, known)))
    return Classes(tuple(labels), tuple(ids), wanted & ~silent, below, steps, silent if exclude else None)


def _steps(ontology: Ontology, at: dict[int, int]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """(kind, the kinds directly below it), every kind after all that lie below it."""
    depth = ontology.below.sum(axis=1)  # a kind has more below it than any of those
    found, nodes = [], list(ontology)
    for i in sorted(at, key=lambda i: int(depth[i])):
        children = tuple(at[ontology.index(child)] for child in ontology.children(nodes[i]))
        if children:
            found.append((at[i], children))
    return tuple(found)


def _meant(
    texts: Sequence[str], card: Card, labels: Sequence[str], ids: Sequence[str], ontology: Ontology | None
) -> NDArray[np.bool_]:
    """bool (c,): the classes that these names, ids and subtrees stand for."""
    found = np.zeros(len(labels), np.bool_)
    for text in texts:
        if text.startswith(SUBTREE):
            if ontology is None:
                raise UnknownClass(f"{text}: the classes of {card.name} are not AudioSet's; name classes of its own")
            meant = {node.id for node in ontology.expand(text)}
            hits = [id_ in meant for id_ in ids]
        else:
            wanted = text.strip().casefold()
            hits = [wanted == id_.casefold() or wanted == label.casefold() for label, id_ in zip(labels, ids)]
        if not any(hits):
            raise UnknownClass(_unknown(text, card, labels, ontology))
        found |= hits
    return found


def _unknown(text: str, card: Card, labels: Sequence[str], ontology: Ontology | None) -> str:
    if ontology is not None and text in ontology:
        return f"{card.name} has no class {text!r} of its own; did you mean '{SUBTREE}{ontology[text].name}'?"
    near = difflib.get_close_matches(text.casefold(), [label.casefold() for label in labels], n=1, cutoff=0.5)
    named = [label for label in labels if label.casefold() in near]
    advice = f"did you mean {named[0]!r}?" if named else "`sightsound ontology find WORD` finds AudioSet's"
    return f"{card.name} has no class {text!r} among {len(labels)}; {advice}"
