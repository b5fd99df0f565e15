"""A process that reads a library again and again while another one writes, and checks what it finds.

    python crowd_reader.py LIBRARY STOP

Content N has 1 + N % 7 rows; the first number of row R is N, the second R. Contents of even numbers are never
forgotten. When it has read ten times it makes a file STOP.PROCESS; it ends when the file STOP exists. Anything wrong
is a traceback.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np

from sightsound import Library, check, stats


def main(folder: str, stop: str) -> None:
    """Read until told to stop."""
    seen, count, chance = set[int](), 0, random.Random()
    with Library(folder) as kept:
        while not Path(stop).exists():
            if chance.random() < 0.1:
                with Library(folder) as new:
                    read(new, set(seen))
            seen |= read(kept, seen)
            count += 1
            if count == 10:
                Path(f"{stop}.{os.getpid()}").touch()
            if chance.random() < 0.02:
                assert check(folder) == [] and stats(folder).items


def read(library: Library, seen: set[int]) -> set[int]:
    """Return the even numbers that are found, after all that must hold was examined."""
    (space,) = library.spaces
    hits = library.search({space: np.ones((1, space.dim), np.float32)}, 10_000)
    by_search = {int(hit.item.path) for hit in hits}
    assert len(by_search) == len(hits) and seen <= by_search, sorted(seen - by_search)
    found = {}
    for items, rows, spans in library.contents_in(space):
        number = int(items[0].path)
        assert number not in found
        found[number] = rows
        assert len(items) == 1 and len(rows) == len(spans) == 1 + number % 7, (number, rows)
        assert (np.abs(rows[:, 0] - number) < 1e-4 * (number + 1)).all()
        assert (np.abs(rows[:, 1] - np.arange(len(rows))) < 1e-3).all()
        assert spans[:, 0].tolist() == list(range(len(rows)))
    even = {number for number in by_search if number % 2 == 0}
    assert even <= found.keys(), "the later snapshot has all that the earlier one had"
    number = min(even)
    rows, _ = library.vectors(space, library.content(next(hit.item.id for hit in hits if hit.item.path == str(number))))
    assert len(rows) == 1 + number % 7
    return even


if __name__ == "__main__":
    main(*sys.argv[1:])
