"""Files with labels: tables of whole files or of time ranges, selection tables of Raven, label tracks of Audacity."""

from __future__ import annotations

import contextlib
import csv
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TextIO

from sightsound.classify.export import CSV_COLUMNS
from sightsound.contract.csv_cells import parted, unguarded
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, nearest, printable
from sightsound.formats.texts import NOTE
from sightsound.library.audacity_rows import audacity_rows
from sightsound.library.label_names import named_label_column
from sightsound.library.label_records import RECORD_FORMS, LabelRecords
from sightsound.library.label_rows import LabelRow, RowCells, number_of
from sightsound.library.other_tables import is_escaped, other_table
from sightsound.media.safe_open import error_line

PLACE_COLUMNS = ("path", "root")
"""The columns of a CSV that say which file a row is about."""
TIMES = ("start", "stop", "end")
"""The columns that tell a CSV of time ranges."""
RECORDED = "recorded"
"""The column with the local time at which a time range begins, which follows from the recording and is not read."""
OF_SPANS = ("low_hz", "high_hz", "channel")
"""The columns that a table of time ranges may have beside their times."""
SPAN_COLUMNS = (*TIMES, *OF_SPANS, RECORDED)
"""The columns of a table of time ranges that are no labels."""
DEFAULT_COLUMN = "label"
"""The column of labels that come without the name of one: those of folders, and of Audacity."""

_TABLES = ("csv", "json", "parquet")
_INDEX = re.compile(r"__index_level_\d+__")  # a column that pandas writes to Parquet
_BEGIN, _END, _OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
RAVEN_PLACES = (
    *("Selection", "View", "Channel", _BEGIN, _END, "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin File", "Begin Path", _OFFSET),
)
"""The columns of a selection table of Raven that say where a selection is, as they are written."""
_RAVEN_TIMES = frozenset(
    (
        *("End File", "End Path", "Begin Date", "End Date", "Begin Hour", "Begin Clock Time", "End Clock Time"),
        *("Begin Date Time", "Begin Sample", "End Sample"),
    )
)
"""Those of Raven Pro 1.6 that say the same in other words."""
_RAVEN_MEASUREMENTS = frozenset(
    ("PFC Num Inf Pts", "Confidence", "Score", "Mean Score", "Peak Score", "Rank", "Occupancy", "Type")
)
"""Columns of Raven Pro 1.6, of detectors and of `tag --raven` that are labels only where the library has them. So are
the measurements of Raven, whose names end with a unit in parentheses."""


class LabelFile:
    """A file with labels, which is read row by row.

    Parameters
    ----------
    file : path-like
        The file. A name that ends in .csv, .json or .parquet is such a table; of another one the first line decides.
    columns : sequence of str
        The columns to read, regardless of case where none is spelt like this; for a label track of Audacity the name
        of its column. By default all that are labels.
    known : collection of str
        The columns of labels of the library, which a selection table of Raven may have in other case, or under the
        names of measurements.

    Attributes
    ----------
    columns : tuple of str
        The names of the label columns.
    skipped : tuple of str
        Columns of a selection table that are not read, though they may be labels.
    escaped : int
        How many rows so far have labels that CSV has with escapes, and that are not read.
    form : {"csv", "json", "parquet", "raven", "audacity"}
        The kind of file.
    ranges : bool
        Whether its labels are of time ranges.

    Raises
    ------
    SightsoundError
        If the file is none of these, is not in UTF-8, has no column `path`, has two columns of one name, or lacks one.
    """

    def __init__(self, file: PathLike, columns: Sequence[str] = (), known: Collection[str] = ()) -> None:
        self.file = file
        self.form, self.ranges = "csv", False
        self.skipped, self.escaped = tuple[str, ...](), 0
        self._names: list[str] = []
        ending = os.path.splitext(os.fspath(file))[1].lower()
        self._records = LabelRecords(file, RECORD_FORMS[ending]) if ending in RECORD_FORMS else None
        if self._records:
            self.form, self._names = RECORD_FORMS[ending], self._records.names
        else:
            self._read_first_line(ending)
        if self.form in _TABLES:
            _check_names(self._names, self.form, file)
        self._other = other_table(self._names) if self.form in _TABLES else None
        self.ranges = self.form not in _TABLES or (
            self._other is None and any({"start", stop} <= set(self._names) for stop in ("stop", "end"))
        )
        self._sources = self._chosen(columns) if columns or self.form == "audacity" else self._labels(known)
        self.columns = tuple(self._sources)

    def _read_first_line(self, ending: str) -> None:
        with self._opened() as opened:
            first = opened.readline()
            opened.seek(0)
            if ending != ".csv":
                self.form = _form(first)
            if self.form != "audacity":
                self._names = next(self._reader(opened), [])
            if self.form == "csv":
                self._names = [unguarded(name) for name in self._names]

    def rows(self) -> Iterator[LabelRow]:
        """Yield the rows.

        Raises
        ------
        SightsoundError
            If a row cannot be read, with its number.
        """
        if self._records:
            read = [name for name in (*PLACE_COLUMNS, *SPAN_COLUMNS, *self._sources.values()) if name in self._names]
            for number, cells in enumerate(self._records.rows(read), 1):
                row = self._table_row(number, cells)
                yield from self._parts(row, cells) if self._other and self._other.joined else [row]
            return
        with self._opened() as opened:
            if self.form == "audacity":
                yield from audacity_rows(opened, self.file, self.columns[0])
                return
            row_of = self._raven_row if self.form == "raven" else self._table_row
            reader = self._reader(opened)
            next(reader, None)
            records = self._cells(reader)
            if self.form == "raven":
                records = _with_offsets(records, self.file)
            for number, record in enumerate(records, 1):
                row = row_of(number, record)
                yield from self._parts(row, record) if self._other else [row]

    def _parts(self, row: LabelRow, cells: Mapping[str, str]) -> Iterator[LabelRow]:
        """Yield a row for each label of a cell that has several, as the tables of other commands have them in CSV."""
        assert self._other is not None
        escaped = {c for c in row.values if is_escaped(self._sources[c], cells.get(NOTE.name, ""))}
        self.escaped += bool(escaped)
        kept = {column: value for column, value in row.values.items() if column not in escaped}
        texts = [parted(v) if self._other.has_lists(self._sources[c]) else [v] for c, v in kept.items()]
        for values in zip_longest(*texts, fillvalue="") if kept else [()]:
            yield replace(row, values=dict(zip(kept, values)))

    def _cells(self, reader: Iterator[list[str]]) -> Iterator[dict[str, str]]:
        """Yield the cells of each row by the names of their columns. Raises `SightsoundError` for cells without one."""
        number = 0
        for cells in reader:
            if cells:
                number += 1
                if self.form == "csv" and any(cells[len(self._names) :]):
                    raise SightsoundError(
                        f"{self.file!s}: row {number}: expected {len(self._names)} cells, got {len(cells)}; put a "
                        "cell that has a comma in quotes"
                    )
                yield dict(zip(self._names, cells))

    @property
    def names_recordings(self) -> bool:
        """Whether rows say which file they are about."""
        return self.form in _TABLES or bool({"Begin File", "Begin Path"} & set(self._names))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[TextIO]:
        try:
            with open(self.file, newline="", encoding="utf-8-sig") as opened:
                yield opened
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            kind = {"csv": "CSV", "raven": "a selection table", "audacity": "a label track"}[self.form]
            step = "save it in UTF-8" if isinstance(error, UnicodeDecodeError) else "make it anew"
            if isinstance(error, OSError):
                step = "name a file that can be read"
            raise SightsoundError(f"{self.file!s}: cannot be read as {kind} ({error_line(error)}); {step}") from error

    def _reader(self, opened: TextIO) -> Iterator[list[str]]:
        if self.form == "raven":
            return csv.reader(opened, delimiter="\t", quoting=csv.QUOTE_NONE)
        return csv.reader(opened)

    def _chosen(self, columns: Sequence[str]) -> dict[str, str]:
        """Return the name of each label column -> the name that the file has for it."""
        if self.form == "audacity":
            if len(columns) > 1:
                raise SightsoundError(f"{self.file!s}: expected one column for a label track, got {len(columns)}")
            return dict.fromkeys(columns or (DEFAULT_COLUMN,), "")
        known = self._possible()
        by_case = {name.casefold(): name for name in reversed(known)}
        found = {}
        for column in columns:
            meant, wanted = named_label_column(column, self._names) if self._other else (column, column)
            source = wanted if wanted in known else by_case.get(wanted.casefold())
            if source is None:
                similar = nearest(column, known)
                step = f"did you mean {similar!r}?" if similar else f"it has {', '.join(known) or 'none'}"
                raise SightsoundError(f"{self.file!s}: expected a column {column!r}; {step}")
            found[meant] = source
        return found

    def _labels(self, known: Collection[str]) -> dict[str, str]:
        """Return the same for all columns that are labels."""
        if self._other:
            raise SightsoundError(
                f"{self.file!s}: expected a table of labels, got one of `{self._other.command}`; write one with "
                "`sightsound label --to`, or name its columns of labels (--column)"
            )
        labels = self._possible()
        if self.form == "raven":
            self.skipped = tuple(name for name in labels if _is_measurement(name) and name not in known)
            labels = [
                name for name in labels if name not in self.skipped and (name not in _RAVEN_TIMES or name in known)
            ]
            by_case = {name.casefold(): name for name in [DEFAULT_COLUMN, *known]}
            named = {name: by_case.get(name.casefold(), name) for name in labels}
            found = {name if of_library in labels else of_library: name for name, of_library in named.items()}
        else:
            _check_times(self._names, self.ranges, self.file)
            of_tag = set(CSV_COLUMNS) <= set(self._names)  # which says more of each label
            found = {name: name for name in ([DEFAULT_COLUMN] if of_tag else labels)}
        if self.ranges and not found:
            raise SightsoundError(
                f"{self.file!s}: expected a column of labels, got {', '.join(self._names)}; name one with --column"
            )
        return found

    def _possible(self) -> list[str]:
        """Return the columns that may be labels."""
        return [name for name in self._names if name and not self._is_place(name) and not _INDEX.fullmatch(name)]

    def _is_place(self, name: str) -> bool:
        if self.form == "raven":
            return name in RAVEN_PLACES
        return name in PLACE_COLUMNS or (self.ranges and name in SPAN_COLUMNS)

    def _values(self, cells: Mapping[str, str]) -> dict[str, str]:
        found = {column: cells.get(source, "") for column, source in self._sources.items()}
        return {column: unguarded(cell) for column, cell in found.items()} if self.form == "csv" else found

    def _table_row(self, number: int, record: dict[str, str]) -> LabelRow:
        cells, span, problem = RowCells(self.file, number, record), None, ""
        path, root, values = cells.get("path"), cells.get("root"), self._values(record)
        if root and not os.path.isabs(root):
            raise cells.wrong("root", "an absolute folder", root)
        stop = "stop" if cells.get("stop") or "end" not in record else "end"
        if self.ranges and (cells.get("start") or cells.get(stop)):
            seconds = cells.seconds("start"), cells.seconds(stop)
            span = cells.span(*seconds, cells.band("low_hz"), cells.band("high_hz"), cells.channel("channel", 0))
        elif self.ranges and any(values.values()):
            problem = "which has a label, and no start and stop"
        elif self._other and self._other.of_parts and cells.get("start"):
            problem = "which is about a part of it"
        return LabelRow(number, (path,) if path else (), root, values, span, problem)

    def _raven_row(self, number: int, record: dict[str, str]) -> LabelRow:
        cells = RowCells(self.file, number, record)
        start, stop = cells.seconds(_BEGIN), cells.seconds(_END)
        if cells.get(_OFFSET) and self.names_recordings and cells.seconds(_OFFSET) != start:
            length, start = stop - start, cells.seconds(_OFFSET)  # times are of all files, one after the other
            stop = round(start + length, 9)
        selection = record.get("Selection") if "View" in record else None
        band = cells.band("Low Freq (Hz)"), cells.band("High Freq (Hz)")
        span = cells.span(start, stop, *band, cells.channel("Channel", 1), selection)
        paths = tuple(path for name in ("Begin Path", "Begin File") if (path := cells.get(name)))
        return LabelRow(number, paths, "", self._values(record), span)


def _check_names(names: Sequence[str], form: str, file: PathLike) -> None:
    """Raise `SightsoundError` for a table without a column of paths, or with two columns of one name."""
    if "path" not in names:
        what = {"csv": "a CSV", "json": "a table in JSON", "parquet": "a Parquet table"}[form]
        have, step = ", ".join(map(printable, names)) or "an empty file", _path_step(names)
        raise SightsoundError(f"{file!s}: expected {what} with a column 'path', got {have}; {step}")
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise SightsoundError(f"{file!s}: expected columns of different names, got {repeated[0]!r} twice")


def _check_times(names: Sequence[str], ranges: bool, file: PathLike) -> None:
    """Raise `SightsoundError` for a table that has a start or a stop, and not both."""
    found = [name for name in TIMES if name in names]
    if found and not ranges:
        other = "stop" if "start" in found else "start"
        similar = nearest(other, [name for name in names if name not in (*PLACE_COLUMNS, *TIMES)])
        step = f"rename {similar!r}" if similar else "add it, or name the columns of labels (--column)"
        raise SightsoundError(f"{file!s}: column {found[0]!r}: expected a column {other!r} too, got none; {step}")


def _with_offsets(records: Iterator[dict[str, str]], file: PathLike) -> Iterator[dict[str, str]]:
    """Yield the rows of a selection table, whose times are of all its recordings, one after the other.

    Raises `SightsoundError` where it has several recordings and a row does not say where in its own one it begins.
    """
    first, lacking = None, False
    for cells in records:
        recording = cells.get("Begin Path") or cells.get("Begin File") or None
        first = recording if first is None else first
        lacking = lacking or not cells.get(_OFFSET)
        if lacking and recording != first:
            raise SightsoundError(
                f"{file!s}: {_OFFSET}: expected seconds in each row, since times are of several recordings one after "
                "the other, got none; show the column in Raven, or fill it with the times in each recording"
            )
        yield cells


def _path_step(names: Sequence[str]) -> str:
    """Return what to do about a table that has no column `path`."""
    if len(names) == 1 and ";" in names[0]:
        return "write commas between the columns, in place of semicolons"
    if any("\t" in name for name in names):
        return "a label track begins with seconds and a point for decimals"
    by_case = [name for name in names if name.casefold() == "path"]
    return f"rename {by_case[0]!r}" if by_case else "rename the column that has the files"


def _is_measurement(name: str) -> bool:
    return name in _RAVEN_MEASUREMENTS or name.endswith(")")


def _form(line: str) -> str:
    """Return the kind of a file by its first line."""
    fields = line.rstrip("\r\n").split("\t")
    if {_BEGIN, _END} <= set(fields):
        return "raven"
    if not line or (len(fields) > 1 and number_of(fields[0]) is not None):
        return "audacity"
    return "csv"
