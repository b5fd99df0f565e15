"""Labels of items and of time ranges of recordings that are set for some items, or taken from the names of folders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, as_list
from sightsound.contract.results import Item
from sightsound.library.filter_checks import require_columns
from sightsound.library.filters import Filter
from sightsound.library.label_files import DEFAULT_COLUMN
from sightsound.library.label_staging import LabelReport, check_columns
from sightsound.library.library import Library, open_library

FOLDER = "folder"
"""The word that stands for the names of folders, where a CSV may be given too."""

COLUMN = DEFAULT_COLUMN
"""The column of the names of folders."""

Values = Mapping[str, str | Sequence[str]]
"""Column -> a label, or several."""


def folder_label(item: Item) -> str:
    """Return the name of the folder that holds a file."""
    return Path(item.root, item.path).parent.name


def set_labels(
    library: PathLike | Library,
    paths: PathLike | Sequence[PathLike] = (),
    *,
    where: Filter | None = None,
    put: Values | None = None,
    add: Values | None = None,
    remove: Values | None = None,
    clear: Sequence[str] = (),
    ranges: bool = False,
    start: float | None = None,
    stop: float | None = None,
    new_columns: bool = False,
) -> LabelReport:
    """Change the labels of items, or of time ranges of recordings, all at once or not at all.

    Parameters
    ----------
    library : path-like or Library
        The library.
    paths : path-like or sequence of path-like
        Files and folders, at or below which the items are. Empty for all that `where` keeps.
    where : Filter or None
        What the items must have, too.
    put : mapping of str to str or sequence of str, optional
        Column -> labels, in place of those that an item has in the column.
    add, remove : mapping of str to str or sequence of str, optional
        Column -> labels that an item gets beside those that it has, and that it loses.
    clear : sequence of str
        Columns in which an item loses its labels.
    ranges : bool, default=False
        Whether `remove` and `clear` are about the labels of all time ranges, and not of whole items.
    start, stop : float or None
        The time range that is labelled, in seconds; equal for a moment. `put` replaces the labels of exactly this
        range; `remove` and `clear` take those of all ranges that lie in it.
    new_columns : bool, default=False
        Whether a column may be new although its name is similar to that of another.

    Returns
    -------
    LabelReport

    Raises
    ------
    LibraryError
        If no item is at or below one of the paths.
    SightsoundError
        If neither paths nor conditions are given, if a column does not exist or seems to be misspelt, or a column or
        a label is empty; if only one of `start` and `stop` is given, or one of the items has no such time.
    """
    span = _span(start, stop)
    if ranges and (put or add):
        raise SightsoundError("labels of time ranges: expected start and stop of the range; give both")
    where, given = where or Filter(), as_list(paths)
    putting, adding, removing = (_as_lists(values) for values in (put, add, remove))
    if not given and where == Filter():
        raise SightsoundError("labels: expected files, folders or a condition, got none; name what to label")
    with open_library(library) as opened:
        known = opened.label_columns()
        check_columns([*putting, *adding], known, new_columns)
        require_columns([*removing, *clear], known)
        ids = opened.chosen_items(given, where)
        if span is not None:
            _require_recordings(opened, ids, span)
        with opened.writing() as writer:
            changes = writer.labels
            changes.begin()
            changes.choose(map(int, ids))
            given_to = {c: [*putting.get(c, ()), *adding.get(c, ())] for c in (*putting, *adding)}
            for column in clear:
                changes.clear(column, ranges=ranges, inside=span, but=given_to.get(column, ()))
            for column in putting:
                changes.clear(column, exactly=span, but=given_to[column])
            for column, values in removing.items():
                changes.remove(column, values, ranges=ranges, inside=span, but=given_to.get(column, ()))
            for column, values in given_to.items():
                changes.put(column, values, span)
            changed = changes.count_changed()
        count = len(ids) * sum(map(len, given_to.values()))
        return LabelReport(len(ids), *((count, 0) if span is None else (0, count)), changed=changed)


def _span(start: float | None, stop: float | None) -> tuple[float, float] | None:
    """Return a time range; None where none is given."""
    if start is None and stop is None:
        return None
    if start is None or stop is None or not 0 <= start <= stop < math.inf:
        shown = ["none" if each is None else f"{each:.10g} s" for each in (start, stop)]
        raise SightsoundError(
            f"time range: expected a start of 0 s or more and a stop not before it, got {' to '.join(shown)}; give both"
        )
    return start, stop


def _require_recordings(library: Library, ids: Iterable[int], span: tuple[float, float]) -> None:
    """Raise `SightsoundError` if one of some items is no recording that lasts until the start of a time range."""
    for id_ in map(int, ids):
        query = "SELECT c.modality, (SELECT max(seconds) FROM outcomes WHERE item = i.id) FROM items i JOIN contents c"
        for modality, seconds in library.rows(f"{query} ON c.id = i.content WHERE i.id = ?", id_):
            if modality == "image":
                raise SightsoundError(f"{library.item(id_)}: expected a recording, got an image; leave the range out")
            if isinstance(seconds, float) and span[0] > seconds:
                raise SightsoundError(
                    f"{library.item(id_)}: expected a start within its {seconds:.10g} s, got {span[0]:.10g}; correct it"
                )


def _as_lists(values: Values | None) -> dict[str, list[str]]:
    """Return column -> labels; raise `SightsoundError` for an empty label."""
    lists = {column: [given] if isinstance(given, str) else list(given) for column, given in (values or {}).items()}
    for column, given in lists.items():
        if not all(given):
            raise SightsoundError(f"column {column!r}: expected a label, got an empty one; clear the column (--clear)")
    return lists
