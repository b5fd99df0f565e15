"""What is in a library, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sightsound.contract.results import Outcome
from sightsound.library.library import Library
from sightsound.media.files import LIBRARY_FILE


@dataclass(frozen=True)
class Stats:
    """Counts of a library: items, outcomes as (space, status) -> items, flags, searchable vectors and dimension by
    space, labels as (column, value) -> items, seconds of sound by space, tags as label -> (items, seconds; 0 for those
    of pictures), the outcomes that failed, bytes on disk."""

    items: int
    roots: tuple[str, ...]
    outcomes: dict[tuple[str, str], int]
    flags: dict[str, int]
    spaces: dict[str, tuple[str, int, int]]
    labels: dict[tuple[str, str], int]
    seconds: dict[str, float]
    tags: dict[str, tuple[int, float]]
    failed: tuple[Outcome, ...]
    bytes: int


def stats(library: Library) -> Stats:
    """Counts everything; `spaces` maps `name` (with the fingerprint's first digits where two have one name) to
    (fingerprint, dimension, vectors)."""
    outcomes: Counter[tuple[str, str]] = Counter()
    flags: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    failed = []
    for outcome, space in library.outcomes():
        outcomes[space, outcome.status] += 1
        flags.update(outcome.flags)
        if outcome.status == "failed":
            failed.append(outcome)
        if outcome.seconds:
            seconds[space] += outcome.seconds  # type: ignore[assignment]
    labels: Counter[tuple[str, str]] = Counter()
    items = list(library.items())
    for item in items:
        assert item.id is not None
        labels.update((column, value) for column, values in library.labels(item.id).items() for value in values)
    size = sum(path.stat().st_size for path in library.path.glob(f"{LIBRARY_FILE}*"))
    return Stats(
        len(items),
        tuple(library.roots),
        dict(outcomes),
        dict(flags),
        _spaces(library),
        dict(labels),
        dict(seconds),
        _tags(library),
        tuple(failed),
        size,
    )


def _tags(library: Library) -> dict[str, tuple[int, float]]:
    """Each class with the items that have it and their seconds, most items first."""
    query = (
        "SELECT t.label, count(DISTINCT o.item), total(t.stop - t.start) FROM tags t"
        " JOIN outcomes o ON o.content = t.content AND o.space = t.space GROUP BY t.label ORDER BY 2 DESC, 3 DESC, 1"
    )
    return {label: (items, seconds) for label, items, seconds in library.rows(query)}


def _spaces(library: Library) -> dict[str, tuple[str, int, int]]:
    names = Counter(space.name for space in library.spaces)
    found = {}
    for space, count in library.spaces.items():
        shown = space.name if names[space.name] == 1 else f"{space.name} ({space.fingerprint[:8]})"
        found[shown] = space.fingerprint, space.dim, count
    return found
