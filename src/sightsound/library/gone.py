"""Which items of a library have no file any more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from sightsound.contract.paths import PathLike, as_list
from sightsound.library.library import Library, open_library
from sightsound.library.store.items import is_missing


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

    items: int
    roots: dict[str, int]


def count_gone(paths: PathLike | Sequence[PathLike], library: PathLike | Library) -> Gone:
    """Count the items that have no file any more.

    Parameters
    ----------
    paths : path or sequence of paths
        The files of items below these paths are looked for. Of other items only the indexed folder is.
    library : path or Library
        The library.

    Returns
    -------
    Gone
    """
    above = tuple(os.path.join(os.path.abspath(path), "") for path in as_list(paths))
    items, roots = 0, dict[str, int]()
    with open_library(library) as opened:
        absent = {root for root in opened.roots if is_missing(root)}
        for item in opened.items():
            if item.root in absent:
                roots[item.root] = roots.get(item.root, 0) + 1
            elif os.path.join(item.root, item.path).startswith(above) and is_missing(item.file):
                items += 1
    return Gone(items, roots)
