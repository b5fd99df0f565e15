"""Rows of files with labels, matched with the items of a library and gathered by its writer."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.library.item_finder import Found, ItemFinder
from sightsound.library.label_files import OF_SPANS, PLACE_COLUMNS, TIMES, LabelFile
from sightsound.library.label_rows import LabelRow, Span
from sightsound.library.store.label_changes import StagedRange
from sightsound.library.store.writer import Writer

MOST_NAMED = 1000
"""How many rows and files a report names; further ones are counted."""
_BATCH = 1000  # rows that are gathered at once
_SKIPPED = 10  # columns of selection tables that a note names
_LIMITS = (  # the seconds and the channels of a recording
    "SELECT max(seconds), max(CASE WHEN json_valid(facts) THEN json_extract(facts, '$.channels') END)"
    " FROM outcomes WHERE item = ?"
)
_SIMILAR = 0.75  # of the letters of two names of columns, from which one may be a misspelling of the other


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
    changed : int or None
        How many of the chosen items have other labels than before; None for labels of a file.
    refused : tuple of str
        The first 1,000 files of a folder that were not taken, each with the reason.
    refused_count : int
        Number of all these files.
    """

    items: int
    labels: int = 0
    ranges: int = 0
    unmatched: tuple[str, ...] = ()
    unmatched_count: int = 0
    notes: tuple[str, ...] = ()
    changed: int | None = None
    refused: tuple[str, ...] = ()
    refused_count: int = 0


class LabelStaging:
    """Gathers rows of files with labels, and puts them in the place of what the items have in the columns.

    Parameters
    ----------
    writer : Writer
        The writer of the library.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._unmatched, self._count, self._empty, self._channels = list[str](), 0, 0, 0
        self._skipped, self._escaped = dict[str, None](), 0
        self._first_channel: str | None = None
        writer.labels.begin()

    def add(
        self, file: LabelFile, finder: ItemFinder, recording: Found | None = None, subject: str = "the recording"
    ) -> None:
        """Gather the rows of a file.

        Parameters
        ----------
        file : LabelFile
            The file.
        finder : ItemFinder
            Finds the items.
        recording : Found or None
            The item that all rows are about.
        subject : str
            What rows are about that have no path, for the report.
        """
        changes, before = self._writer.labels, self._count
        limits = lru_cache(maxsize=1)(lambda id_: self._writer.read(_LIMITS, id_)[0])  # rows of one recording follow
        rows = file.rows()
        while batch := list(islice(rows, _BATCH)):
            matched: list[tuple[int, LabelRow]] = []
            for row in batch:
                name = row.paths[0] if row.paths else subject
                found = recording or finder.find(row)
                if isinstance(found, Found) and file.ranges and found.modality == "image":
                    found = f"{name}: an image, expected a recording"
                if isinstance(found, Found) and row.problem:
                    found = f"row {row.number} of {name}, {row.problem}"
                if isinstance(found, Found) and row.span is not None:
                    seconds, of_recording = limits(found.id)
                    late, other = _beyond(seconds, of_recording, f"row {row.number} of {name}", row.span)
                    found = late or found
                    self._channels += other is not None
                    self._first_channel = self._first_channel or other
                if isinstance(found, Found):
                    matched.append((found.id, row))
                    self._empty += row.span is not None and not any(row.values.values())
                    continue
                self._count += 1
                if self._count <= MOST_NAMED:
                    self._unmatched.append(found)
            if file.ranges:
                changes.stage_ranges(staged for id_, row in matched for staged in _staged_ranges(id_, row))
            else:
                changes.stage_labels((id_, c, v or None) for id_, row in matched for c, v in row.values.items())
        if recording is not None and self._count == before:
            changes.stage_ranges(_without_range(recording.id, column) for column in file.columns)
        self._skipped |= dict.fromkeys(file.skipped)
        self._escaped += file.escaped

    @contextlib.contextmanager
    def tentative(self) -> Iterator[None]:
        """Forget the rows that are gathered in the block if it raises an error."""
        before = {**vars(self), "_unmatched": [*self._unmatched], "_skipped": {**self._skipped}}
        try:
            with self._writer.labels.tentative():
                yield
        except BaseException:
            vars(self).update(before)
            raise

    def apply(self) -> LabelReport:
        """Give the items what was gathered."""
        items, labels, ranges = self._writer.labels.apply()
        notes = []
        if self._empty:
            notes.append(f"{self._empty} time ranges without a label left out")
        if self._channels:
            notes.append(
                f"{self._channels} time ranges are of a channel that their recording does not have, the first: "
                f"{self._first_channel}"
            )
        if self._escaped:
            notes.append(
                f"{self._escaped} rows with labels that CSV has with escapes left out; take one in Parquet, or of "
                "`label --to`"
            )
        if self._skipped:
            named, more = [*self._skipped][:_SKIPPED], len(self._skipped) - _SKIPPED
            names = ", ".join(map(printable, named)) + (f" and {more} more" if more > 0 else "")
            notes.append(f"columns that are not read as labels: {names}; name those that are with `label --column`")
        return LabelReport(items, labels, ranges, tuple(self._unmatched), self._count, tuple(notes))


def _beyond(seconds: object, channels: object, subject: str, span: Span) -> tuple[str | None, str | None]:
    """Return what to tell the user about a time range that its recording, so long and of so many channels, lacks.

    Of one that starts after the end, which has no place, and of one of a channel that is not there.
    """
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


def open_label_file(file: PathLike, columns: Sequence[str], known: Sequence[str], new_columns: bool) -> LabelFile:
    """Open a file with labels, and check its columns.

    Parameters
    ----------
    file : path-like
        The file.
    columns : sequence of str
        The columns to read; all if empty.
    known : sequence of str
        The columns of the library.
    new_columns : bool
        Whether a column may be new although its name is similar to that of another.

    Raises
    ------
    SightsoundError
        If it cannot be read, or if a column seems to be misspelt.
    """
    source = LabelFile(file, columns, known)
    check_columns(source.columns, known, new_columns, file, OF_SPANS if source.ranges else ())
    return source


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
                "`label --new-column` makes it a column of its own"
            )
