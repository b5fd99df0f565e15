"""What is in a library, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sightsound.classify.segments import SegmentRules
from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Outcome
from sightsound.library.approximate.indexes import VectorIndex
from sightsound.library.library import Library, open_library
from sightsound.library.space_names import named_spaces
from sightsound.library.store.files import library_bytes


@dataclass(frozen=True)
class Stats:
    """Counts of a library.

    Parameters
    ----------
    items : int
        Number of items.
    roots : tuple of str
        The folders that were indexed.
    outcomes : dict
        (name of the space, status) -> number of items; the name is '' for items that no model was run on.
    flags : dict
        Flag of an outcome, such as `padded` -> number of items.
    spaces : dict
        Name of a space -> (fingerprint, dimension, number of searchable vectors). The first digits of the fingerprint
        are added to a name that two spaces have.
    labels : dict
        (column, value) -> number of items.
    ranges : dict
        (column, value) -> (number of items, number of their time ranges).
    seconds : dict
        Name of a space -> seconds of sound.
    tags : dict
        Label of a class -> (number of items with a score of 0.35 or more, seconds), most items first. Seconds are those
        of segments that an older version has stored, else 0.
    failed : tuple of Outcome
        The outcomes of the items that failed.
    indexes : dict
        Name of a space -> its approximate index, a `VectorIndex`. A space without one is absent.
    bytes : int
        Size of the library on disk.
    store : {"f32", "f16"}
        In what precision vectors are kept.
    """

    items: int
    roots: tuple[str, ...]
    outcomes: dict[tuple[str, str], int]
    flags: dict[str, int]
    spaces: dict[str, tuple[str, int, int]]
    labels: dict[tuple[str, str], int]
    ranges: dict[tuple[str, str], tuple[int, int]]
    seconds: dict[str, float]
    tags: dict[str, tuple[int, float]]
    failed: tuple[Outcome, ...]
    indexes: dict[str, VectorIndex]
    bytes: int
    store: str


def stats(library: PathLike | Library) -> Stats:
    """Return counts of what is in a library: items, outcomes, labels, tags, and the vectors of each space."""
    with open_library(library) as opened:
        return Stats(
            items=len(opened),
            roots=tuple(opened.roots),
            outcomes={(space, status): count for space, status, count in _counted(opened, _OUTCOMES)},
            flags=_flags(opened),
            spaces=_spaces(opened),
            labels={(column, value): count for column, value, count in _counted(opened, _LABELS)},
            ranges=_ranges(opened),
            seconds={space: float(seconds) for space, seconds in _counted(opened, _SECONDS)},
            tags=_tags(opened),
            failed=tuple(outcome for outcome, _ in opened.outcomes("failed")),
            indexes=_indexes(opened),
            bytes=library_bytes(opened.path),
            store=opened.store,
        )


_SPACE = "FROM outcomes o JOIN items i ON i.id = o.item LEFT JOIN spaces s ON s.id = o.space"
_OUTCOMES = f"SELECT coalesce(s.name, '') AS name, o.status, count(*) {_SPACE} GROUP BY name, o.status ORDER BY 1, 2"
_SECONDS = f"SELECT coalesce(s.name, '') AS name, total(o.seconds) {_SPACE} WHERE o.seconds != 0 GROUP BY name"
_LABELS = (
    'SELECT l."column", l.value, count(*) FROM labels l JOIN items i ON i.id = l.item GROUP BY l."column", l.value'
    " ORDER BY 1, 2"
)
_RANGES = (
    'SELECT g."column", g.value, count(DISTINCT g.item), count(*) FROM ranges g JOIN items i ON i.id = g.item'
    ' GROUP BY g."column", g.value ORDER BY 1, 2'
)
_FLAGS = (
    "SELECT flags, count(*) FROM (SELECT group_concat(o.flags, ' ') AS flags FROM outcomes o"
    " JOIN items i ON i.id = o.item WHERE o.flags != '' GROUP BY o.item) GROUP BY flags ORDER BY 1"
)


def _counted(library: Library, query: str, numbers: int = 1) -> list[tuple[Any, ...]]:
    """Return the rows of a query whose columns are texts, but for the numbers at the end."""
    rows = library.rows(query)
    for texts in (row[:-numbers] for row in rows):
        if not all(isinstance(text, str) for text in texts):
            raise LibraryError(f"{library.path}: damaged (expected texts); run `sightsound check`")
    return rows


def _ranges(library: Library) -> dict[tuple[str, str], tuple[int, int]]:
    counted = _counted(library, _RANGES, numbers=2)
    return {(column, value): (items, ranges) for column, value, items, ranges in counted}


def _flags(library: Library) -> dict[str, int]:
    """Return flag -> number of items. There are few combinations of flags."""
    found = Counter[str]()
    for flags, count in _counted(library, _FLAGS):
        found.update(dict.fromkeys(flags.split(), count))
    return dict(found)


def _tags(library: Library) -> dict[str, tuple[int, float]]:
    query = (
        "SELECT t.label, count(DISTINCT o.item), total(t.seconds) FROM (SELECT label, content, space, stop - start AS"
        " seconds FROM tags UNION ALL SELECT c.label, h.content, h.space, NULL FROM highest h JOIN classes c"
        f" ON c.id = h.class WHERE h.score >= {SegmentRules().threshold}) t"
        " JOIN outcomes o ON o.content = t.content AND o.space = t.space GROUP BY t.label ORDER BY 2 DESC, 3 DESC, 1"
    )
    known = {label for label, _ in library.tag_classes()}  # which reports labels that are not text
    return {label: (items, seconds) for label, items, seconds in library.rows(query) if label in known}


def _spaces(library: Library) -> dict[str, tuple[str, int, int]]:
    return {name: (space.fingerprint, space.dim, count) for name, space, count in named_spaces(library.spaces)}


def _indexes(library: Library) -> dict[str, VectorIndex]:
    indexes = library.indexes()
    return {name: indexes[space] for name, space, _ in named_spaces(library.spaces) if space in indexes}
