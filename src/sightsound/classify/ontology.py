"""The AudioSet ontology: 632 kinds of sound and the links between them (Gemmeke et al., ICASSP 2017).

>>> ontology = sightsound.load_ontology()
>>> ontology.children("Dog")
>>> ontology.lowest_common_ancestor("Bark", "Meow").name
'Domestic animals, pets'
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sightsound.classify import graph
from sightsound.contract.card import Card
from sightsound.contract.classlist import NamedClasses
from sightsound.contract.errors import UnknownClass
from sightsound.contract.paths import nearest

SUBTREE_PREFIX = "subtree:"
"""`subtree:Animal` stands for Animal and every kind of sound below it."""


@dataclass(frozen=True)
class OntologyNode:
    """A kind of sound.

    Parameters
    ----------
    id : str
        The machine identifier of AudioSet, such as `/m/05tny_`.
    name : str
        The English name, such as `Bark`.
    description : str
        One or two sentences.
    citation : str
        The address of a page that explains the sound, or "".
    abstract : bool
        Whether the node only groups others.
    blacklisted : bool
        Whether Google's raters did not use it, because it was too obscure.
    """

    id: str
    name: str
    description: str = ""
    citation: str = ""
    abstract: bool = False
    blacklisted: bool = False

    def __str__(self) -> str:
        return self.name


class Ontology:
    """Kinds of sound, and links from each to the more specific kinds below it.

    Nodes are kept in the order of the file; a node may have several parents. Methods take a node by its name (in any
    case), by its id, or as the `OntologyNode` itself. They raise `UnknownClass` for other names and suggest the most
    similar one. An ontology does not change after it was made.

    Parameters
    ----------
    nodes : iterable of OntologyNode
        The kinds of sound.
    children : mapping of str to sequences of str
        The ids of the nodes directly below each node, by its id.

    Raises
    ------
    ValueError
        If a node lies below itself.
    KeyError
        If a child is not among the nodes.
    """

    def __init__(self, nodes: Iterable[OntologyNode], children: Mapping[str, Sequence[str]]) -> None:
        self._nodes = tuple(nodes)
        self._by_id = {node.id: i for i, node in enumerate(self._nodes)}
        self._by_name = {node.name.casefold(): i for i, node in enumerate(self._nodes)}
        self._children = tuple(tuple(self._by_id[id_] for id_ in children.get(node.id, ())) for node in self._nodes)
        parents: list[list[int]] = [[] for _ in self._nodes]
        for parent, below in enumerate(self._children):
            for child in below:
                parents[child].append(parent)
        self._parents = tuple(map(tuple, parents))
        if any(i in graph.reachable(i, self._children) for i in range(len(self._nodes))):
            raise ValueError("a node lies below itself")

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[OntologyNode]:
        return iter(self._nodes)

    def __contains__(self, node: object) -> bool:
        return isinstance(node, str | OntologyNode) and self._position(node) is not None

    def __getitem__(self, node: str | OntologyNode) -> OntologyNode:
        return self._nodes[self.index(node)]

    def index(self, node: str | OntologyNode) -> int:
        """Return the position of a node in the order of the file."""
        position = self._position(node)
        if position is None:
            raise UnknownClass(self._unknown(str(node)))
        return position

    @property
    def links(self) -> tuple[tuple[OntologyNode, OntologyNode], ...]:
        """Every link, as (parent, child)."""
        return tuple((self._nodes[i], self._nodes[j]) for i, below in enumerate(self._children) for j in below)

    @property
    def roots(self) -> tuple[OntologyNode, ...]:
        """The nodes without a parent, which are the most general ones: seven in AudioSet."""
        return self._at(i for i, above in enumerate(self._parents) if not above)

    @cached_property
    def descendant_matrix(self) -> NDArray[np.bool_]:
        """Whether node j is a descendant of node i, a read-only bool array (n, n) in the order of the nodes."""
        found = np.zeros((len(self), len(self)), np.bool_)
        for i in range(len(self)):
            found[i, list(graph.reachable(i, self._children))] = True
        found.flags.writeable = False
        return found

    # -- relations between nodes ---------------------------------------------------------------------------------

    def children(self, node: str | OntologyNode) -> tuple[OntologyNode, ...]:
        """Return the nodes directly below."""
        return self._at(self._children[self.index(node)])

    def parents(self, node: str | OntologyNode) -> tuple[OntologyNode, ...]:
        """Return the nodes directly above: usually one, none for a root."""
        return self._at(self._parents[self.index(node)])

    def ancestors(self, node: str | OntologyNode) -> tuple[OntologyNode, ...]:
        """Return every node above, the nearest first."""
        return self._at(graph.reachable(self.index(node), self._parents))

    def descendants(self, node: str | OntologyNode) -> tuple[OntologyNode, ...]:
        """Return every node below, the nearest first."""
        return self._at(graph.reachable(self.index(node), self._children))

    def subtree(self, node: str | OntologyNode) -> tuple[OntologyNode, ...]:
        """Return the node and all its descendants."""
        return (self[node], *self.descendants(node))

    def lineage(self, node: str | OntologyNode) -> tuple[OntologyNode, ...]:
        """Return the shortest path from a root down to the node, both ends included."""
        return self._at(min(graph.paths_to_roots(self.index(node), self._parents), key=len)[::-1])

    def lowest_common_ancestor(self, a: str | OntologyNode, b: str | OntologyNode) -> OntologyNode | None:
        """Return the common ancestor on the shortest path between two nodes.

        Parameters
        ----------
        a, b : str or OntologyNode
            Two nodes. A node counts as its own ancestor.

        Returns
        -------
        OntologyNode or None
            None where the nodes have no common ancestor.
        """
        ancestor, _ = graph.lowest_common_ancestor(self.index(a), self.index(b), self._parents)
        return None if ancestor is None else self._nodes[ancestor]

    def path(self, a: str | OntologyNode, b: str | OntologyNode) -> tuple[OntologyNode, ...]:
        """Return the nodes from one node up to the lowest common ancestor and down to another.

        Parameters
        ----------
        a, b : str or OntologyNode
            The first and the last node of the path.

        Returns
        -------
        tuple of OntologyNode
            Nodes without a common ancestor are joined by an imaginary node above two roots. It is not in the result.
        """
        return self._at(graph.path_between(self.index(a), self.index(b), self._parents))

    def distance(self, a: str | OntologyNode, b: str | OntologyNode) -> int:
        """Return the number of links between two nodes.

        Parameters
        ----------
        a, b : str or OntologyNode
            Two nodes.

        Returns
        -------
        int
            The length of `path`. The two links to the imaginary node above the roots count where the path needs them.
        """
        return graph.lowest_common_ancestor(self.index(a), self.index(b), self._parents)[1]

    # -- search --------------------------------------------------------------------------------------------------

    def find(self, words: str) -> tuple[OntologyNode, ...]:
        """Return the nodes that match all of these words, best match first.

        A match of the whole name comes first, then whole words of the name, parts of the name, whole words of the
        description, and parts of the description.
        """
        if not words.split():
            return ()
        ranks = [(_match_rank(node, words), i) for i, node in enumerate(self._nodes)]
        return self._at(i for _, i in sorted((rank, i) for rank, i in ranks if rank is not None))

    def expand(self, text: str) -> tuple[OntologyNode, ...]:
        """Return the nodes that a name, an id or `subtree:NAME` stands for."""
        if text.startswith(SUBTREE_PREFIX):
            return self.subtree(text.removeprefix(SUBTREE_PREFIX))
        return (self[text],)

    def classes(self, card: Card | NamedClasses) -> tuple[OntologyNode | None, ...]:
        """Return the node of each class of a network, by its id, and None for classes that are not AudioSet's."""
        ids = card.label_ids or [""] * len(card.labels)
        return tuple(self._nodes[self._by_id[id_]] if id_ in self._by_id else None for id_ in ids)

    def _at(self, positions: Iterable[int]) -> tuple[OntologyNode, ...]:
        return tuple(self._nodes[i] for i in positions)

    def _position(self, node: str | OntologyNode) -> int | None:
        text = node.id if isinstance(node, OntologyNode) else node
        position = self._by_id.get(text)
        return position if position is not None else self._by_name.get(text.strip().casefold())

    def _unknown(self, text: str) -> str:
        """Return the message for a name that is not in the ontology."""
        near = nearest(text, (node.name for node in self._nodes), cutoff=0.5)
        similar = [self[near]] if near else self.find(text)
        advice = f"did you mean {similar[0].name!r}?" if similar else "try `sightsound ontology find WORD`"
        return f"no kind of sound {text!r} among {len(self)}; {advice}"


def _match_rank(node: OntologyNode, words: str) -> int | None:
    """Return how well a node matches all words, 0 for the best match, or None."""
    wanted = words.casefold().split()
    name, text = node.name.casefold(), f"{node.name} {node.description}".casefold()
    matches = (
        name == words.casefold().strip(),
        all(word in _words(name) for word in wanted),
        all(word in name for word in wanted),
        all(word in _words(text) for word in wanted),
        all(word in text for word in wanted),
    )
    return matches.index(True) if any(matches) else None


def _words(text: str) -> set[str]:
    return set("".join(letter if letter.isalnum() else " " for letter in text).split())
