"""Which classes of a network count, how they are related in the ontology, and the evidence for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sightsound.classify.ontology import SUBTREE_PREFIX, Ontology, OntologyNode
from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.classlist import NamedClasses
from sightsound.contract.errors import SightsoundError, UnknownClass
from sightsound.contract.paths import nearest
from sightsound.contract.results import Prediction

LEAST_EVIDENCE = 0.1
"""Scores below this add no evidence to the classes above them. Otherwise the sum of hundreds of classes with a score of
0.002 each would count as evidence."""

BackoffStep = tuple[int, tuple[int, ...]]
"""A class and the classes directly below it in the ontology, by their positions."""

MIDS = ("/m/", "/t/", "/g/")
"""How the ids of AudioSet's classes begin."""
_FEW = 10  # classes that an error lists


@dataclass(frozen=True)
class ClassSelection:
    """Classes that may be reported, and their relations in the ontology.

    Parameters
    ----------
    labels : tuple of str
        The names of c classes. The network's own come first, in the order of its scores. With back-off, kinds of sound
        that the network has no class for follow.
    ids : tuple of str
        The id of each class, "" where it has none.
    selected : ndarray of bool, shape (c,)
        Which classes may be reported.
    descendants : ndarray of bool, shape (c, c)
        Whether class j is a descendant of class i in the ontology. All false without an ontology.
    backoff : tuple of BackoffStep
        The classes whose evidence comes from those directly below, lowest first. Empty without back-off.
    excluded : ndarray of bool, shape (c,), optional
        Classes that give no evidence for those above them either. None stands for no class.
    """

    labels: tuple[str, ...]
    ids: tuple[str, ...]
    selected: NDArray[np.bool_]
    descendants: NDArray[np.bool_]
    backoff: tuple[BackoffStep, ...] = field(default=(), repr=False)
    excluded: NDArray[np.bool_] | None = field(default=None, repr=False)

    def evidence(self, scores: Floats) -> Floats:
        """Return the evidence for each class.

        Without back-off this is the score. With back-off it is the higher of the score and the probability that at
        least one of the classes directly below is present, 1 - (1 - a)(1 - b)..., as if they were independent. Classes
        below with a value under `LEAST_EVIDENCE` are ignored. For example Dog gets 0.475 from a score of 0.3 for Bark
        and of 0.25 for Howl.

        Parameters
        ----------
        scores : ndarray of float32, shape (n, labels of the network)
            The scores of n windows.

        Returns
        -------
        ndarray of float32, shape (n, c)
        """
        if not self.backoff:
            return scores
        values = np.zeros((len(scores), len(self.labels)), np.float32)
        values[:, : scores.shape[1]] = scores
        if self.excluded is not None:
            values[:, self.excluded] = 0
        for parent, children in self.backoff:
            below = values[:, list(children)]
            below = np.where(below < LEAST_EVIDENCE, np.float32(0), below)
            values[:, parent] = np.maximum(values[:, parent], 1 - np.prod(1 - below, axis=1))
        return values

    def top(self, scores: Floats, k: int, threshold: float) -> tuple[Prediction, ...]:
        """Return the classes with the most evidence, best first.

        With back-off the most specific classes whose evidence reaches the threshold come first. They replace the
        classes above them, and kinds of sound that the network has no class for are left out otherwise.

        Parameters
        ----------
        scores : ndarray of float32, shape (labels of the network,)
            The scores of one window, or their mean over many.
        k : int
            How many classes to return at most.
        threshold : float
            The least evidence, from 0 to 1. It is used with back-off alone.

        Returns
        -------
        tuple of Prediction
        """
        values = self.evidence(scores[None])[0]
        omitted, first = ~self.selected, np.zeros(len(values), np.bool_)
        if self.backoff:
            strong = (values >= threshold) & self.selected
            first = strong & ~(self.descendants & strong).any(axis=1)
            replaced = (self.descendants & first).any(axis=1)
            added = np.arange(len(values)) >= len(scores)
            omitted = omitted | replaced | added & ~first
        best = [int(i) for i in np.argsort(-(values + first), kind="stable") if not omitted[i]][: max(0, k)]
        return tuple(Prediction(self.labels[i], float(values[i]), self.ids[i]) for i in best)


def has_audioset_classes(card: Card | NamedClasses) -> bool:
    """Return whether a network's classes are those of AudioSet, by the form of their ids."""
    return any(id_.startswith(MIDS) for id_ in card.label_ids)


def select_classes(
    card: Card | NamedClasses,
    ontology: Ontology | None = None,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    backoff: bool = False,
) -> ClassSelection:
    """Select classes of a network by name, id or subtree of the ontology.

    Parameters
    ----------
    card : Card or NamedClasses
        The card of the network.
    ontology : Ontology, optional
        How its classes are related. Without it no class is a descendant of another.
    include : sequence of str
        Names, ids and `subtree:NAME` of the classes that count. All count where it is empty.
    exclude : sequence of str
        The same for classes that do not count.
    backoff : bool
        Whether kinds of sound of the ontology that no class stands for count too. See `ClassSelection.evidence`.

    Returns
    -------
    ClassSelection

    Raises
    ------
    SightsoundError
        If the network has no classes.
    UnknownClass
        If a name stands for none of the classes.
    """
    if not card.labels:
        advice = "name a model with classes, see `sightsound models`"
        raise SightsoundError(f"{card.name} has no classes, only embeddings; {advice}")
    nodes = list(ontology.classes(card)) if ontology else [None] * len(card.labels)
    labels, ids = list(card.labels), list(card.label_ids or [""] * len(card.labels))
    backoff = backoff and any(nodes)
    if ontology and backoff:
        added = [node for node in ontology if node not in nodes and node not in ontology.roots]
        labels, ids, nodes = labels + [n.name for n in added], ids + [n.id for n in added], [*nodes, *added]
    matcher = _Matcher(card, labels, ids, ontology)
    selected = matcher.matches(include) if include else np.ones(len(labels), np.bool_)
    excluded = matcher.matches(exclude)
    return ClassSelection(
        labels=tuple(labels),
        ids=tuple(ids),
        selected=selected & ~excluded,
        descendants=_descendants(ontology, nodes),
        backoff=_backoff_steps(ontology, nodes) if ontology and backoff else (),
        excluded=excluded if exclude else None,
    )


def _descendants(ontology: Ontology | None, nodes: Sequence[OntologyNode | None]) -> NDArray[np.bool_]:
    """Return whether class j is a descendant of class i, given the node of each class."""
    found = np.zeros((len(nodes),) * 2, np.bool_)
    if ontology:
        known = [i for i, node in enumerate(nodes) if node is not None]
        places = [ontology.index(node) for node in nodes if node is not None]
        found[np.ix_(known, known)] = ontology.descendant_matrix[np.ix_(places, places)]
    return found


def _backoff_steps(ontology: Ontology, nodes: Sequence[OntologyNode | None]) -> tuple[BackoffStep, ...]:
    """Return each class with the classes directly below it, every class after its descendants."""
    columns = {node: i for i, node in enumerate(nodes) if node is not None}
    counts = ontology.descendant_matrix.sum(axis=1)  # a node has more descendants than any node below it
    steps = []
    for node in sorted(columns, key=lambda node: int(counts[ontology.index(node)])):
        children = tuple(columns[child] for child in ontology.children(node) if child in columns)
        if children:
            steps.append((columns[node], children))
    return tuple(steps)


@dataclass(frozen=True)
class _Matcher:
    """Finds the classes that names, ids and subtrees stand for."""

    card: Card | NamedClasses
    labels: Sequence[str]
    ids: Sequence[str]
    ontology: Ontology | None

    def matches(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return which classes are meant by any of these texts, bool (c,)."""
        found = np.zeros(len(self.labels), np.bool_)
        for text in texts:
            hits = self._subtree(text) if text.startswith(SUBTREE_PREFIX) else self._named(text)
            if not any(hits):
                raise UnknownClass(self._unknown(text))
            found |= hits
        return found

    def _subtree(self, text: str) -> list[bool]:
        if self.ontology is None:
            raise UnknownClass(f"{text}: the classes of {self.card.name} are not AudioSet's; name classes of its own")
        meant = {node.id for node in self.ontology.expand(text)}
        return [id_ in meant for id_ in self.ids]

    def _named(self, text: str) -> list[bool]:
        wanted = text.strip().casefold()
        return [wanted in (id_.casefold(), label.casefold()) for label, id_ in zip(self.labels, self.ids)]

    def _unknown(self, text: str) -> str:
        name = self.card.name
        if self.ontology is not None and text in self.ontology:
            subtree = f"{SUBTREE_PREFIX}{self.ontology[text].name}"
            return f"{name} has no class {text!r} of its own; did you mean '{subtree}'?"
        near = nearest(text, self.labels, cutoff=0.5)
        advice = f"did you mean {near!r}?" if near else self._where_to_look()
        return f"{name} has no class {text!r} among {len(self.labels)}; {advice}"

    def _where_to_look(self) -> str:
        if self.ontology is not None:
            return "`sightsound ontology find WORD` finds AudioSet's"
        few = ", ".join(map(repr, self.labels[:_FEW]))
        return f"they are {few}" + ", ..." * (len(self.labels) > _FEW)
