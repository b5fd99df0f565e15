"""Paths in a directed acyclic graph, whose nodes are integers.

A graph is given by its links: `children[i]` are the nodes directly below node `i`, `parents[i]` those directly above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Links = Sequence[Sequence[int]]


def reachable(start: int, links: Links) -> dict[int, int]:
    """Return every node that can be reached from `start`, found by breadth-first search.

    Parameters
    ----------
    start : int
        The node to start from. It is not part of the result unless the graph has a cycle.
    links : sequence of sequences of int
        The children, or the parents, of each node.

    Returns
    -------
    dict of int to int
        The nodes in order of their distance from `start`, each with the node before it on a shortest path.
    """
    found: dict[int, int] = {}
    queue = [start]
    for node in queue:
        for neighbour in links[node]:
            if neighbour not in found:
                found[neighbour] = node
                queue.append(neighbour)
    return found


def paths_up(start: int, parents: Links) -> dict[int, list[int]]:
    """Return a shortest path from `start` to itself and to each of its ancestors, both ends included."""
    paths = {start: [start]}
    for ancestor, previous in reachable(start, parents).items():
        paths[ancestor] = [*paths[previous], ancestor]
    return paths


def paths_to_roots(start: int, parents: Links) -> list[list[int]]:
    """Return a shortest path from `start` to each node above it that has no parent."""
    return _to_roots(paths_up(start, parents), parents)


def lowest_common_ancestor(a: int, b: int, parents: Links) -> tuple[int | None, int]:
    """Return the common ancestor with the shortest path from `a` to `b` over it, and the length of that path.

    Parameters
    ----------
    a, b : int
        Two nodes. A node counts as its own ancestor.
    parents : sequence of sequences of int
        The parents of each node.

    Returns
    -------
    ancestor : int or None
        None where `a` and `b` have no common ancestor.
    length : int
        The number of links of the path. Without a common ancestor the path goes over the nearest root of each node
        and an imaginary node above both roots.
    """
    from_a, from_b = paths_up(a, parents), paths_up(b, parents)
    shared = [(len(from_a[node]) + len(from_b[node]) - 2, node) for node in from_a if node in from_b]
    if shared:
        length, ancestor = min(shared)
        return ancestor, length
    return None, sum(min(map(len, _to_roots(paths, parents))) for paths in (from_a, from_b))


def path_between(a: int, b: int, parents: Links) -> list[int]:
    """Return the nodes from `a` up to the lowest common ancestor and down to `b`.

    Without a common ancestor the path goes up to the root nearest to `a` and continues at the root nearest to `b`.
    """
    from_a, from_b = paths_up(a, parents), paths_up(b, parents)
    ancestor, _ = lowest_common_ancestor(a, b, parents)
    if ancestor is not None:
        return [*from_a[ancestor], *from_b[ancestor][-2::-1]]
    up, down = (min(_to_roots(paths, parents), key=len) for paths in (from_a, from_b))
    return [*up, *down[::-1]]


def _to_roots(paths: Mapping[int, list[int]], parents: Links) -> list[list[int]]:
    return [path for node, path in paths.items() if not parents[node]]
