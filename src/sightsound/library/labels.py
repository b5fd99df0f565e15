"""Labels of items and of time ranges of recordings: set for some items, or taken from folders and files."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import PathLike, as_list, printable
from sightsound.contract.results import Item
from sightsound.library.filters import Filter
from sightsound.library.item_finder import Found, ItemFinder
from sightsound.library.label_files import DEFAULT_COLUMN, OF_SPANS, PLACE_COLUMNS, TIMES, LabelFile, LabelRow, Span
from sightsound.library.library import Library, open_library
from sightsound.library.store.label_changes import StagedRange
from sightsound.library.store.writer import Writer

FOLDER = "folder"
"""The word that stands for the names of folders, where a CSV may be given too."""

COLUMN = DEFAULT_COLUMN
"""The column of the names of folders."""

_BATCH = 1000  # rows that are gathered at once
_MOST_UNMATCHED = 1000  # that a report names
_LIMITS = (  # the seconds and the channels of a recording
    "SELECT max(seconds), max(CASE WHEN json_valid(facts) THEN json_extract(facts, '$.channels') END)"
    " FROM outcomes WHERE item = ?"
)
_SIMILAR = 0.75  # of the letters of two names of columns, from which one may be a misspelling of the other

Values = Mapping[str, str | Sequence[str]]
"""Column -> a label, or several."""


@dataclass(frozen=True)
class LabelReport:
    """What a change of labels did.

    Parameters
    ----------
    items : int
        Number of items that were chosen, or that the file has rows of.
    labels, ranges : int
        Number of labels of whole items, and of time ranges, that they were given.
    unmatched : tuple of str
        The first 1,000 rows of the file that mean no item of the library: their paths, with the reason where it is
        another.
    unmatched_count : int
        Number of all these rows.
    notes : tuple of str
        What else was left out, and why.
    """

    items: int
    labels: int = 0
    ranges: int = 0
    unmatched: tuple[str, ...] = ()
    unmatched_count: int = 0
    notes: tuple[str, ...] = ()


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
        for column in [*removing, *clear]:
            _require_column(column, known)
        ids = opened.chosen_items(given, where)
        if span is not None:
            _require_recordings(opened, ids, span)
        with opened.writing() as writer:
            changes = writer.labels
            changes.begin()
            changes.choose(map(int, ids))
            for column in clear:
                changes.clear(column, ranges=ranges, inside=span)
            for column in putting:
                changes.clear(column, exactly=span)
            for column, values in removing.items():
                changes.remove(column, values, ranges=ranges, inside=span)
            for column, values in [*putting.items(), *adding.items()]:
                changes.put(column, values, span)
        count = len(ids) * sum(map(len, (*putting.values(), *adding.values())))
        return LabelReport(len(ids), *((count, 0) if span is None else (0, count)))


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


def import_labels(
    file: PathLike,
    library: PathLike | Library,
    *,
    columns: Sequence[str] = (),
    recording: PathLike | None = None,
    new_columns: bool = False,
) -> LabelReport:
    """Give items the labels of a file, in place of those that they have in its columns; all at once or not at all.

    A CSV has a column `path`, and `root` where the path does not tell which file is meant. Paths may be absolute, or
    relative to an indexed folder or to the folder of the file. Other columns are labels. An item with several labels in
    a column has several rows. With the columns `start` and `stop` (or `end`), in seconds, labels are of time ranges;
    `low_hz`, `high_hz` and `channel` (from 0) belong to a range. A row without `start` and `stop` says that a recording
    has no ranges. A selection table of Raven and a label track of Audacity are known by their first line. A range that
    starts after the end of its recording is left out and named.

    Parameters
    ----------
    file : path-like
        A CSV, a selection table of Raven, or a label track of Audacity, in UTF-8.
    library : path-like or Library
        The library.
    columns : sequence of str
        The columns to read; all if empty. The name of the column for a label track of Audacity, by default `label`.
    recording : path-like or None
        The recording that a label track, or a selection table without `Begin File`, is of.
    new_columns : bool, default=False
        Whether a column may be new although its name is similar to that of another.

    Returns
    -------
    LabelReport

    Raises
    ------
    SightsoundError
        If the file cannot be read, if none of its paths is in the library, or if a column seems to be misspelt. Nothing
        is changed then.
    """
    with open_library(library) as opened:
        known = opened.label_columns()
        source = LabelFile(file, columns)
        if source.form == "raven" and not columns:  # whose columns begin with a capital letter
            by_case = {name.casefold(): name for name in [DEFAULT_COLUMN, *known]}
            source = LabelFile(file, [by_case.get(name.casefold(), name) for name in source.columns])
        check_columns(source.columns, known, new_columns, file, OF_SPANS if source.ranges else ())
        if source.names_recordings and recording is not None:
            raise SightsoundError(f"{file!s}: names its recordings itself; leave out the recording (--for)")
        if not source.names_recordings and recording is None:
            raise SightsoundError(f"{file!s}: does not say which recording it is of; name it (--for RECORDING)")
        folder, roots = os.path.dirname(os.path.abspath(file)), opened.roots
        with opened.writing() as writer:
            about = None if recording is None else _recording(writer, recording, roots, opened.path.name)
            names = writer.labels.items_named if source.form == "raven" else None
            finder = ItemFinder(writer.read, roots, [*roots, folder], names=names)
            report = store_labels(writer, source, finder, about)
            if report.unmatched_count and not report.items:
                within = " and times within them" if source.ranges else ""
                raise SightsoundError(
                    f"{file!s}: expected paths of the library's items{within}, none of {report.unmatched_count} is "
                    f"(the first: {report.unmatched[0]}); see `sightsound stats`"
                )
        return report


def store_labels(
    writer: Writer,
    file: LabelFile,
    finder: ItemFinder,
    recording: Found | None = None,
    *,
    most_unmatched: int | None = _MOST_UNMATCHED,
) -> LabelReport:
    """Give items the labels of a file, in place of those that they have in its columns.

    Parameters
    ----------
    writer : Writer
        The writer of the library.
    file : LabelFile
        The file.
    finder : ItemFinder
        Finds the items.
    recording : Found or None
        The item that all rows are about.
    most_unmatched : int or None
        How many rows that mean no item the report names; None for all.
    """
    changes, unmatched, count, empty, channels, first_channel = writer.labels, list[str](), 0, 0, 0, None
    changes.begin()
    limits = lru_cache(maxsize=1)(lambda id_: writer.read(_LIMITS, id_)[0])  # rows of one recording often follow
    rows = file.rows()
    while batch := list(islice(rows, _BATCH)):
        matched: list[tuple[int, LabelRow]] = []
        for row in batch:
            found = recording or finder.find(row)
            if isinstance(found, Found) and file.ranges and found.modality == "image":
                found = f"{row.paths[0] if row.paths else 'the recording'}: an image, expected a recording"
            if isinstance(found, Found) and row.span is not None:
                seconds, of_recording = limits(found.id)
                late, other = _beyond(seconds, of_recording, row, row.span)
                found = late or found
                channels += other is not None
                first_channel = first_channel or other
            if isinstance(found, Found):
                matched.append((found.id, row))
                empty += row.span is not None and not any(row.values.values())
                continue
            count += 1
            if most_unmatched is None or count <= most_unmatched:
                unmatched.append(found)
        if file.ranges:
            changes.stage_ranges(staged for id_, row in matched for staged in _staged_ranges(id_, row))
        else:
            changes.stage_labels((id_, c, v or None) for id_, row in matched for c, v in row.values.items())
    if recording is not None and not count:
        changes.stage_ranges(_without_range(recording.id, column) for column in file.columns)
    items, labels, ranges = changes.apply()
    notes = []
    if empty:
        notes.append(f"{empty} time ranges without a label left out")
    if channels:
        notes.append(
            f"{channels} time ranges are of a channel that their recording does not have, the first: {first_channel}"
        )
    return LabelReport(items, labels, ranges, tuple(unmatched), count, tuple(notes))


def _beyond(seconds: object, channels: object, row: LabelRow, span: Span) -> tuple[str | None, str | None]:
    """Return what to tell the user about a time range that its recording, so long and of so many channels, lacks.

    Of one that starts after the end, which has no place, and of one of a channel that is not there.
    """
    subject = f"row {row.number} of {row.paths[0] if row.paths else 'the recording'}"
    late = other = None
    if isinstance(seconds, float) and span.start > seconds:
        late = f"{subject}, which starts at {span.start:.10g} s, after its end at {seconds:.10g} s"
    elif isinstance(channels, int) and span.channel is not None and span.channel >= channels:
        other = f"{printable(subject)}: channel {span.channel}, counted from 0, of {channels}"
    return late, other


def _staged_ranges(id_: int, row: LabelRow) -> Iterable[StagedRange]:
    span = row.span
    for column, value in row.values.items():
        if span is None or not value:
            yield _without_range(id_, column)
        else:
            place = (span.start, span.stop, span.low_hz, span.high_hz, span.channel)
            yield (id_, *place, column, value, span.selection)


def _without_range(id_: int, column: str) -> StagedRange:
    return (id_, None, None, None, None, None, column, None, None)


def _recording(writer: Writer, path: PathLike, roots: Sequence[str], name: str) -> Found:
    found = ItemFinder(writer.read, roots, [os.getcwd(), *roots], first=True).find(
        LabelRow(1, (os.fspath(path),), "", {})
    )
    if isinstance(found, str):
        raise LibraryError(f"{os.fspath(path)}: is not in {name}; index it first")
    if found.modality == "image":
        raise SightsoundError(f"{os.fspath(path)}: expected a recording, got an image; name the recording")
    return found


def check_columns(
    columns: Iterable[str],
    known: Sequence[str],
    new_columns: bool = False,
    file: PathLike | None = None,
    of_file: Sequence[str] = (),
) -> None:
    """Raise `SightsoundError` for a column that cannot be, or that seems to be a misspelling of one that exists.

    Parameters
    ----------
    columns : iterable of str
        Columns that are to get labels.
    known : sequence of str
        The columns of the library.
    new_columns : bool
        Whether a column may be new although its name is similar to that of another.
    file : path-like or None
        The file that has the columns, for the message.
    of_file : sequence of str
        The columns that the file may have and that are no labels.
    """
    place = "" if file is None else f"{file!s}: "
    by_case = {name.casefold(): name for name in [*of_file, *known]}
    for column in columns:
        if not column or column in PLACE_COLUMNS or column in TIMES:
            raise SightsoundError(
                f"{place}column {column!r}: expected a name that tables of labels have no other use for; rename it"
            )
        if column in known or new_columns:
            continue
        similar = difflib.get_close_matches(column.casefold(), by_case, 1, _SIMILAR)
        if similar:
            whose = "of time ranges" if by_case[similar[0]] in of_file else "of the library's"
            raise SightsoundError(
                f"{place}column {column!r}: expected one {whose}, did you mean {by_case[similar[0]]!r}? "
                "--new-column makes it a column of its own"
            )


def _require_column(column: str, known: Sequence[str]) -> None:
    if column not in known:
        similar = difflib.get_close_matches(column, known, 1)
        step = f"did you mean {similar[0]!r}?" if similar else f"there are {', '.join(known) or 'none'}"
        raise SightsoundError(f"column {column!r}: expected one of the library's; {step}")


def _as_lists(values: Values | None) -> dict[str, list[str]]:
    """Return column -> labels; raise `SightsoundError` for an empty label."""
    lists = {column: [given] if isinstance(given, str) else list(given) for column, given in (values or {}).items()}
    for column, given in lists.items():
        if not all(given):
            raise SightsoundError(f"column {column!r}: expected a label, got an empty one; clear the column (--clear)")
    return lists
