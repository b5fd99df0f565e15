"""Which items of a library have no file any more."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sightsound.contract.paths import PathLike, as_list
from sightsound.library.library import Library
from sightsound.library.store.renamed import is_missing


@dataclass(frozen=True)
class Gone:
    """Items without a file.

    Parameters
    ----------
    items : int
        How many items below some paths have no file any more, although their folder is there.
    roots : dict of str to int
        Each indexed folder that is not there -> the number of its items. It may have been moved or unplugged.
    """

    items: int = 0
    roots: dict[str, int] = field(default_factory=dict)


def count_gone(paths: PathLike | Sequence[PathLike], library: Library, seen: Collection[tuple[str, str]] = ()) -> Gone:
    """Count the items that have no file any more.

    Parameters
    ----------
    paths : path or sequence of paths
        The files of items below these paths are looked for. Of other items only the indexed folder is.
    library : Library
        The library.
    seen : collection of tuple of str
        (root, path) of items whose files are known to exist, and are not looked for again.

    Returns
    -------
    Gone
    """
    above = tuple(os.path.join(os.path.abspath(path), "") for path in as_list(paths))
    items, roots = 0, dict[str, int]()
    absent = {root for root in library.roots if is_missing(root)}
    for item in library.items():
        if item.root in absent:
            roots[item.root] = roots.get(item.root, 0) + 1
        elif (item.root, item.path) not in seen and os.path.join(item.root, item.path).startswith(above):
            items += is_missing(item.file)
    return Gone(items, roots)
