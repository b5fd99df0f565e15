"""Files with labels: tables of whole files or of time ranges, selection tables of Raven, label tracks of Audacity."""

from __future__ import annotations

import contextlib
import csv
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TextIO

from sightsound.classify.export import CSV_COLUMNS
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, nearest, printable
from sightsound.formats.texts import BETWEEN
from sightsound.library.label_cells import value_of_cell
from sightsound.library.label_records import RECORD_FORMS, LabelRecords
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
_OTHER_TABLES = {
    "list": {"id", "file", "content", "status"},
    "search": {"id", "file", "score"},
    "duplicates": {"group", "keep", "similarity"},
    "export": {"item", "root", "content"},
}
"""Commands -> columns that tell their tables, most of whose other columns are no labels."""
_BEGIN, _END, _OFFSET = "Begin Time (s)", "End Time (s)", "File Offset (s)"
_RAVEN_COLUMNS = frozenset(
    (
        *("Selection", "View", "Channel", _BEGIN, _END, "Low Freq (Hz)", "High Freq (Hz)"),
        *("Begin File", "End File", "Begin Path", "End Path", _OFFSET, "Begin Date", "End Date"),
        *("Begin Hour", "Begin Clock Time", "End Clock Time", "Begin Date Time", "Begin Sample", "End Sample"),
        *("PFC Num Inf Pts", "Confidence", "Score", "Mean Score", "Peak Score", "Rank", "Occupancy", "Type"),
    )
)
"""Columns of Raven Pro 1.6, of detectors and of `tag --raven` that are no labels. Nor are the measurements of Raven:
their names end with a unit in parentheses."""


@dataclass(frozen=True)
class Span:
    """Where in a recording a row of a file with labels is.

    Parameters
    ----------
    start, stop : float
        Seconds.
    low_hz, high_hz : float or None
        The band in Hz.
    channel : int or None
        The channel, counted from 0.
    selection : str or None
        The number of a selection of Raven, which has a row for each of its views.
    """

    start: float
    stop: float
    low_hz: float | None = None
    high_hz: float | None = None
    channel: int | None = None
    selection: str | None = None


@dataclass(frozen=True)
class LabelRow:
    """A row of a file with labels.

    Parameters
    ----------
    number : int
        The number of the row, from 1.
    paths : tuple of str
        What may name the file that the row is about, the best first; none in a file of one recording.
    root : str
        The folder that the path is relative to; "" where the row does not say so.
    values : mapping of str to str
        Column -> label, "" for none.
    span : Span or None
        The part of the recording; None for a whole file, and for a recording without any part of these columns.
    """

    number: int
    paths: tuple[str, ...]
    root: str
    values: Mapping[str, str]
    span: Span | None = None


class LabelFile:
    """A file with labels, which is read row by row.

    Parameters
    ----------
    file : path-like
        The file. A name that ends in .csv, .json or .parquet is such a table; of another one the first line decides.
    columns : sequence of str
        The columns to read, regardless of case where none is spelt like this; for a label track of Audacity the name
        of its column. By default all that are labels.

    Attributes
    ----------
    columns : tuple of str
        The names of the label columns.
    form : {"csv", "json", "parquet", "raven", "audacity"}
        The kind of file.
    ranges : bool
        Whether its labels are of time ranges.

    Raises
    ------
    SightsoundError
        If the file is none of these, is not in UTF-8, has no column `path`, has two columns of one name, or lacks one.
    """

    def __init__(self, file: PathLike, columns: Sequence[str] = ()) -> None:
        self.file = file
        self.form, self.ranges = "csv", False
        self._names: list[str] = []
        ending = os.path.splitext(os.fspath(file))[1].lower()
        self._records = LabelRecords(file, RECORD_FORMS[ending]) if ending in RECORD_FORMS else None
        if self._records:
            self.form, self._names = RECORD_FORMS[ending], self._records.names
        else:
            self._read_first_line(ending)
        if self.form in _TABLES:
            _check_names(self._names, self.form, file)
            self.ranges = {"start", "stop"} <= set(self._names) or {"start", "end"} <= set(self._names)
        else:
            self.ranges = True
        self._sources = self._chosen(columns)
        self.columns = tuple(self._sources)

    def _read_first_line(self, ending: str) -> None:
        with self._opened() as opened:
            first = opened.readline()
            opened.seek(0)
            if ending != ".csv":
                self.form = _form(first)
            if self.form != "audacity":
                self._names = next(self._reader(opened), [])

    def rows(self) -> Iterator[LabelRow]:
        """Yield the rows.

        Raises
        ------
        SightsoundError
            If a row cannot be read, with its number.
        """
        if self._records:
            read = {*PLACE_COLUMNS, *SPAN_COLUMNS, *self._sources.values()}
            yield from (self._table_row(number, cells) for number, cells in enumerate(self._records.rows(read), 1))
            return
        with self._opened() as opened:
            if self.form == "audacity":
                yield from self._audacity_rows(opened)
                return
            row_of = self._raven_row if self.form == "raven" else self._table_row
            reader = self._reader(opened)
            next(reader, None)
            joined, records = _other_command(self._names), self._cells(reader)
            if self.form == "raven":
                records = _with_offsets(records, self.file)
            for number, record in enumerate(records, 1):
                row = row_of(number, record)
                yield from _parts(row) if joined else [row]

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
        known = [name for name in self._names if name and not self._is_place(name)]
        if not columns:
            if self.form in _TABLES:
                _check_times(self._names, self.ranges, self.file)
            labels = [name for name in known if self.form in _TABLES or not _is_of_raven(name)]
            if self.form in _TABLES and set(CSV_COLUMNS) <= set(self._names):  # of `tag`, which says more of each label
                labels = [DEFAULT_COLUMN]
            if other := _other_command(self._names):
                raise SightsoundError(
                    f"{self.file!s}: expected a table of labels, got one of `{other}`; write one with `sightsound "
                    "label --to`, or name its columns of labels (--column)"
                )
            if self.ranges and not labels:
                raise SightsoundError(
                    f"{self.file!s}: expected a column of labels, got {', '.join(self._names)}; name one with --column"
                )
            return {name: name for name in labels}
        by_case = {name.casefold(): name for name in reversed(known)}
        found = {}
        for column in columns:
            source = column if column in known else by_case.get(column.casefold())
            if source is None:
                similar = nearest(column, known)
                step = f"did you mean {similar!r}?" if similar else f"it has {', '.join(known) or 'none'}"
                raise SightsoundError(f"{self.file!s}: expected a column {column!r}; {step}")
            found[column] = source
        return found

    def _is_place(self, name: str) -> bool:
        if self.form == "raven":
            return name in (_BEGIN, _END, "Begin File", "Begin Path")
        return name in PLACE_COLUMNS or (self.ranges and name in SPAN_COLUMNS)

    def _values(self, cells: Mapping[str, str]) -> dict[str, str]:
        found = {column: cells.get(source, "") for column, source in self._sources.items()}
        return found if self._records else {column: value_of_cell(cell) for column, cell in found.items()}

    def _table_row(self, number: int, cells: dict[str, str]) -> LabelRow:
        path, root = cells.get("path", ""), cells.get("root", "")
        if root and not os.path.isabs(root):
            raise self._wrong(number, "root", "an absolute folder", root)
        span = None
        stop = "stop" if cells.get("stop") or "end" not in cells else "end"
        if self.ranges and (cells.get("start") or cells.get(stop)):
            channel = cells.get("channel", "").removesuffix(".0")  # a column of numbers, some of which are missing
            if channel and not channel.isdecimal():
                raise self._wrong(number, "channel", "a number from 0", channel)
            seconds = self._seconds(number, cells, "start"), self._seconds(number, cells, stop)
            band = self._band(number, cells, "low_hz"), self._band(number, cells, "high_hz")
            span = self._span(number, *seconds, *band, int(channel) if channel else None)
        return LabelRow(number, (path,) if path else (), root, self._values(cells), span)

    def _raven_row(self, number: int, cells: dict[str, str]) -> LabelRow:
        start, stop = self._seconds(number, cells, _BEGIN), self._seconds(number, cells, _END)
        if cells.get(_OFFSET) and self.names_recordings:  # times are of all files, one after the other
            length, start = stop - start, self._seconds(number, cells, _OFFSET)
            stop = round(start + length, 9)
        channel = cells.get("Channel", "")
        if channel and not (channel.isdecimal() and int(channel)):
            raise self._wrong(number, "Channel", "a number from 1", channel)
        selection = cells.get("Selection") if "View" in cells else None
        band = self._band(number, cells, "Low Freq (Hz)"), self._band(number, cells, "High Freq (Hz)")
        span = self._span(number, start, stop, *band, int(channel) - 1 if channel else None, selection)
        paths = tuple(path for name in ("Begin Path", "Begin File") if (path := cells.get(name, "")))
        return LabelRow(number, paths, "", self._values(cells), span)

    def _audacity_rows(self, opened: TextIO) -> Iterator[LabelRow]:
        """Yield the labels. A row that begins with a backslash has the band of the label before it."""
        waiting: tuple[int, list[str], list[str]] | None = None
        for number, line in enumerate(opened, 1):
            fields = line.rstrip("\r\n").split("\t")
            if fields == [""]:
                continue
            if fields[0] == "\\":
                if waiting is None or len(fields) < 3:
                    raise self._wrong(number, "band", "two frequencies below a label", line.strip())
                waiting[2][:] = fields[1:3]
                continue
            if waiting is not None:
                yield self._audacity_row(*waiting)
            waiting = number, fields, []
        if waiting is not None:
            yield self._audacity_row(*waiting)

    def _audacity_row(self, number: int, fields: list[str], band: list[str]) -> LabelRow:
        if len(fields) < 2:
            raise self._wrong(number, "label", "start, stop and text with tabs between", printable(fields[0]))
        moment = len(fields) == 2 and _number(fields[1]) is None  # a label without a stop
        times = {"start": fields[0], "stop": fields[0] if moment else fields[1]}
        text = "\t".join(fields[1:] if moment else fields[2:])
        hz = dict(zip(("low", "high"), band))
        low, high = (self._band(number, hz, name, undefined=True) for name in ("low", "high"))
        start, stop = (self._seconds(number, times, name) for name in ("start", "stop"))
        span = self._span(number, start, stop, low, high)
        return LabelRow(number, (), "", {self.columns[0]: text}, span)

    def _span(
        self,
        number: int,
        start: float,
        stop: float,
        low: float | None = None,
        high: float | None = None,
        channel: int | None = None,
        selection: str | None = None,
    ) -> Span:
        if not 0 <= start <= stop:
            raise self._wrong(number, "times", "a start of 0 s or more and a stop not before it", f"{start} to {stop}")
        if low is not None and high is not None and low > high:
            raise self._wrong(number, "band", "a low frequency not above the high one", f"{low:.10g} to {high:.10g} Hz")
        return Span(start, stop, low, high, channel, selection)

    def _seconds(self, number: int, cells: Mapping[str, str], name: str) -> float:
        value = _number(cells.get(name, ""))
        if value is None:
            raise self._wrong(number, name, "seconds", cells.get(name, ""))
        return value

    def _band(self, number: int, cells: Mapping[str, str], name: str, *, undefined: bool = False) -> float | None:
        """Return a frequency; None where there is none, or a negative one that stands for none in Audacity."""
        text = cells.get(name, "")
        value = _number(text)
        if text and (value is None or (value < 0 and not undefined)):
            raise self._wrong(number, name, "Hz", text)
        return None if value is None or value < 0 else value

    def _wrong(self, number: int, name: str, expected: str, got: str) -> SightsoundError:
        return SightsoundError(f"{self.file!s}: row {number}: {name}: expected {expected}, got {got!r}; correct it")


def _number(text: str) -> float | None:
    """Return a finite number, None for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


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


def _is_of_raven(name: str) -> bool:
    return name in _RAVEN_COLUMNS or name.endswith(")")


def _form(line: str) -> str:
    """Return the kind of a file by its first line."""
    fields = line.rstrip("\r\n").split("\t")
    if {_BEGIN, _END} <= set(fields):
        return "raven"
    if not line or (len(fields) > 1 and _number(fields[0]) is not None):
        return "audacity"
    return "csv"


def _other_command(names: Sequence[str]) -> str | None:
    """Return the command that writes a table with these columns, None if it is one of labels."""
    return next((command for command, told in _OTHER_TABLES.items() if told <= set(names)), None)


def _parts(row: LabelRow) -> Iterator[LabelRow]:
    """Yield a row for each label of a cell that has several, as the tables of other commands have them in CSV."""
    cells = [cell.split(BETWEEN) for cell in row.values.values()]
    for values in zip_longest(*cells, fillvalue=""):
        yield replace(row, values=dict(zip(row.values, values)))
