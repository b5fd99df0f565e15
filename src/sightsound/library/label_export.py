"""Write the labels of a library as a table, a selection table of Raven or label tracks of Audacity, row by row."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, Literal

from sightsound._atomic import atomic_path
from sightsound.classify.export import RAVEN_NYQUIST, TrackNames
from sightsound.contract.csv_cells import guarded
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, as_list, printable
from sightsound.contract.results import Item, TimeRange
from sightsound.formats.columns import Column, batches_of
from sightsound.formats.json_file import json_text_of, objects_of
from sightsound.formats.parquet import write_parquet
from sightsound.library.export.places import require_apart
from sightsound.library.filter_checks import require_columns
from sightsound.library.filters import Filter
from sightsound.library.item_choice import contains
from sightsound.library.label_cells import csv_line, escapes_of_bytes, path_cell
from sightsound.library.label_files import PLACE_COLUMNS, RAVEN_PLACES, RECORDED, SPAN_COLUMNS, TIMES
from sightsound.library.library import Library, open_library
from sightsound.library.store.validation import decode_item, decode_range, json_object, text
from sightsound.media.facts.times import recorded_at

LabelForm = Literal["csv", "json", "parquet", "raven", "audacity"]

_Place = tuple[float, float, float | None, float | None, int | None]
_LINE_ENDS = frozenset("\t\r\n")  # which tables without quotes cannot have


@dataclass
class LabelExport:
    """The labels of a library, as lines of a table.

    Parameters
    ----------
    library : Library
        An open library.
    paths : sequence of path-like
        Files and folders, at or below which the items are; all if empty.
    where : Filter or None
        What the items must have, too.
    columns : sequence of str
        The columns to write; all if empty.
    ranges : bool
        Whether to write labels of time ranges, and not of whole items.

    Attributes
    ----------
    notes : list of str
        What the lines could not have, and why; complete when the last line was made.

    Raises
    ------
    SightsoundError
        If there is no such column, or no item at one of the paths.
    """

    library: Library
    paths: Sequence[PathLike] = ()
    where: Filter | None = None
    columns: Sequence[str] = ()
    ranges: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = self.library.label_columns(ranges=self.ranges)
        reserved = (*PLACE_COLUMNS, *(SPAN_COLUMNS if self.ranges else TIMES))
        require_columns(self.columns, known)
        wanted = list(dict.fromkeys(self.columns)) or known
        self._columns = [name for name in wanted if name not in reserved]
        self.notes += [
            f"column {name!r} left out, which tables have for another use" for name in wanted if name in reserved
        ]
        self._ids = (
            self.library.chosen_items(self.paths, self.where)
            if self.paths or self.where not in (None, Filter())
            else None
        )

    def table_columns(self) -> list[Column]:
        """Return the columns of a table of each item, or of each time range."""
        spans = [
            Column("start", "number", "where the time range starts", "s"),
            Column("stop", "number", "where it stops", "s"),
            Column("low_hz", "number", "the lower end of its band", "Hz"),
            Column("high_hz", "number", "the upper end of its band", "Hz"),
            Column("channel", "integer", "its channel, counted from 0"),
            Column(RECORDED, "text", "when it was recorded: ISO 8601, with the offset from UTC if it is known"),
        ]
        return [
            Column("path", "path", "path of the file below `root`, with slashes"),
            Column("root", "path", "absolute path of the folder that was indexed"),
            *(spans if self.ranges else ()),
            *(Column(name, "text", f"a label in the column {name}") for name in self._columns),
        ]

    def table_rows(self, *, bytes_kept: bool = False) -> Iterator[list[Any]]:
        """Yield the rows of a table: path, root, numbers of the time range, and a label of each column or None.

        Parameters
        ----------
        bytes_kept : bool, default=False
            Whether the form has names that are not UTF-8 as they are, and not with escapes.
        """
        if self.ranges:
            for item, ranges in self._items_with_ranges():
                facts = self.library.facts(item.id or 0)
                for place, labels in _by_place(ranges):
                    when = recorded_at(facts, place[0])
                    yield from self._rows(item, (*place, when.isoformat() if when else None), labels, bytes_kept)
        else:
            for item, labels in self._items_with_labels():
                yield from self._rows(item, (), labels, bytes_kept)

    def csv_lines(self) -> Iterator[str]:
        """Yield the lines of a CSV: of each item, or of each time range."""
        columns = self.table_columns()
        yield csv_line([guarded(column.name) for column in columns])
        for path, root, *cells in self.table_rows():
            yield csv_line([path_cell(path), escapes_of_bytes(root), *map(_csv_cell, cells)])

    def raven_lines(self) -> Iterator[str]:
        """Yield the lines of a selection table. Times are of all recordings, one after the other."""
        columns = [name for name in self._columns if name not in RAVEN_PLACES and not _LINE_ENDS & set(name)]
        self.notes += [
            f"column '{printable(name)}' left out, which a selection table cannot have"
            for name in self._columns
            if name not in columns
        ]
        yield "\t".join((*RAVEN_PLACES, *columns))
        number, offset, placed = 0, 0.0, 0
        for item, ranges in self._items_with_ranges():
            seconds, rate = self._length(item)
            file = escapes_of_bytes(os.fspath(item.file))
            if _LINE_ENDS & set(file):
                self.notes.append(f"{printable(item)}: left out, a selection table cannot have its name")
                continue
            ranges = self._on_lines(item, ranges)
            for (start, stop, low, high, channel), labels in _by_place(ranges):
                placed += None in (low, high, channel)
                for cells in zip_longest(*(labels.get(column, []) for column in columns), fillvalue=""):
                    number += 1
                    place = (number, "Spectrogram 1", 1 if channel is None else channel + 1)
                    times = (_seconds(round(offset + each, 9) if offset else each) for each in (start, stop))
                    band = (f"{0 if low is None else low:.10g}", f"{rate / 2 if high is None else high:.10g}")
                    where = (os.path.basename(file), file, _seconds(start))
                    yield "\t".join(map(str, (*place, *times, *band, *where, *cells)))
            offset += max([seconds, *(each.stop for each in ranges)])
        if placed:
            self.notes.append(
                f"{placed} time ranges without a band or a channel have that of the recording and the first one, "
                "which Raven needs; a CSV leaves them out"
            )

    def audacity_tracks(self) -> Iterator[tuple[Item, Iterator[str]]]:
        """Yield the lines of the label track of each recording that has time ranges.

        Raises
        ------
        SightsoundError
            Unless there is exactly one column, of time ranges.
        """
        if len(self._columns) != 1:
            got = ", ".join(self._columns) or "none"
            raise SightsoundError(f"label tracks: expected one column of time ranges, got {got}; name it with --column")
        without = 0
        for item, ranges in self._items_with_ranges():
            kept = self._on_lines(item, ranges)
            without += sum(each.channel is not None for each in kept)
            yield item, self._audacity_lines(kept)
        if without:
            self.notes.append(f"{without} labels without their channel, which a label track cannot have; write a CSV")

    def count_recordings(self) -> int:
        """Return how many recordings have time ranges in the columns."""
        return sum(1 for _ in self._items_with_ranges())

    def _audacity_lines(self, ranges: Iterable[TimeRange]) -> Iterator[str]:
        for each in ranges:
            yield f"{_seconds(each.start)}\t{_seconds(each.stop)}\t{each.value}"
            if each.low_hz is not None or each.high_hz is not None:
                low, high = (f"{-1 if hz is None else hz:.10g}" for hz in (each.low_hz, each.high_hz))
                yield f"\\\t{low}\t{high}"

    def _rows(
        self, item: Item, place: Sequence[float | str | None], labels: dict[str, list[str]], bytes_kept: bool
    ) -> Iterator[list[Any]]:
        """Yield a row for each label of the column that has most of them, at least one."""
        if not bytes_kept and self._is_ambiguous(item):
            self.notes.append(f"{printable(item)}: left out, another item has the name that stands for this one")
            return
        rows = list(zip_longest(*(labels.get(column, []) for column in self._columns)))
        for cells in rows or [(None,) * len(self._columns)]:
            yield [item.path, item.root, *place, *cells]

    def _is_ambiguous(self, item: Item) -> bool:
        """Return whether the path of an item, with escapes for what is not UTF-8, is that of another item."""
        names = escapes_of_bytes(item.root), escapes_of_bytes(item.path)
        if names == (item.root, item.path):
            return False
        query = "SELECT 1 FROM items i JOIN roots r ON r.id = i.root WHERE r.path = ? AND i.path = ?"
        return bool(self.library.rows(query, *map(os.fsencode, names)))

    def _on_lines(self, item: Item, ranges: Sequence[TimeRange]) -> list[TimeRange]:
        """Return the ranges whose labels a table without quotes can have; say how many it cannot."""
        kept = [each for each in ranges if not _LINE_ENDS & set(each.value)]
        if len(kept) < len(ranges):
            lost = len(ranges) - len(kept)
            self.notes.append(
                f"{printable(item)}: {lost} labels left out, which have tabs or ends of lines; write a CSV"
            )
        return kept

    def _items_with_labels(self) -> Iterator[tuple[Item, dict[str, list[str]]]]:
        """Yield every chosen item with its labels, also those without any."""
        query = (
            'SELECT i.id, r.path, i.path, l."column", l.value FROM items i JOIN roots r ON r.id = i.root'
            " LEFT JOIN labels l ON l.item = i.id ORDER BY i.id, 4, 5"
        )
        for (id_, root, path), rows in groupby(self.library.iterate(query), key=lambda row: row[:3]):
            if self._ids is None or contains(self._ids, id_):
                with self.library.decoding():
                    labels: dict[str, list[str]] = {}
                    for *_, column, value in rows:
                        if column is not None:
                            labels.setdefault(text(column), []).append(text(value))
                    item = decode_item(root, path, id_)
                yield item, labels

    def _items_with_ranges(self) -> Iterator[tuple[Item, list[TimeRange]]]:
        """Yield every chosen item that has time ranges, with these."""
        query = (
            'SELECT i.id, r.path, i.path, g.start, g.stop, g."column", g.value, g.low_hz, g.high_hz, g.channel'
            " FROM ranges g JOIN items i ON i.id = g.item JOIN roots r ON r.id = i.root"
            " ORDER BY i.id, g.start, g.stop, g.low_hz, g.high_hz, g.channel, 6, 7"
        )
        for (id_, root, path), rows in groupby(self.library.iterate(query), key=lambda row: row[:3]):
            if self._ids is None or contains(self._ids, id_):
                with self.library.decoding():
                    ranges = [decode_range(*row[3:]) for row in rows]
                    item = decode_item(root, path, id_)
                if kept := [each for each in ranges if each.column in self._columns]:
                    yield item, kept

    def _length(self, item: Item) -> tuple[float, float]:
        """Return the seconds and the sample rate of a recording, as far as they are known."""
        seconds, rate = 0.0, 2.0 * RAVEN_NYQUIST
        for length, facts in self.library.rows("SELECT seconds, facts FROM outcomes WHERE item = ?", item.id):
            with self.library.decoding():
                seconds = max(seconds, float(length or 0))
                found = json_object(facts).get("sample_rate")
            rate = float(found) if isinstance(found, int | float) else rate
        return seconds, rate


def export_labels(
    library: PathLike | Library,
    out: PathLike,
    *,
    form: LabelForm | None = None,
    ranges: bool | None = None,
    paths: PathLike | Sequence[PathLike] = (),
    where: Filter | None = None,
    columns: Sequence[str] = (),
) -> list[str]:
    r"""Write the labels of a library to a file, which `import_labels` reads again.

    A table has a row for each item, also for one without a label, or for each time range; where there are several
    labels in a column, more rows. In CSV a path that begins like a formula is written with `./` before it, such a label
    with an apostrophe; in CSV and Parquet a byte of a name that is not UTF-8 is written as `\xe9`, JSON keeps it.

    Parameters
    ----------
    library : path-like or Library
        The library.
    out : path-like
        The file to write. For `audacity` it is a folder if several recordings have labels.
    form : {"csv", "json", "parquet", "raven", "audacity"} or None
        The form. Raven and Audacity are for time ranges. None for that of the ending, which is CSV for other ones.
    ranges : bool or None
        Whether to write the labels of time ranges. None for what the form has: of whole items for a table.
    paths, where : sequence of path-like, Filter or None
        Which items, as of `set_labels`; all by default.
    columns : sequence of str
        The columns to write; all if empty.

    Returns
    -------
    list of str
        What could not be written, and why.

    Raises
    ------
    SightsoundError
        If there is no such column, or the file cannot be written, is in the folder of the library, or is an item.
    """
    with open_library(library) as opened, opened.snapshot():
        require_apart(out, opened)
        form = form or form_of(out)
        of_ranges = form in ("raven", "audacity") if ranges is None else ranges
        labels = LabelExport(opened, as_list(paths), where, columns, of_ranges)
        if form == "audacity":
            _write_tracks(labels, out)
        elif form in ("json", "parquet"):
            _write_table(labels, out, form)
        else:
            _write(out, labels.csv_lines() if form == "csv" else labels.raven_lines())
        return labels.notes


def form_of(out: PathLike) -> LabelForm:
    """Return the form of a table that the ending of a name says, CSV for other endings."""
    endings: dict[str, LabelForm] = {".json": "json", ".parquet": "parquet"}
    return endings.get(Path(out).suffix.lower(), "csv")


def _write_table(labels: LabelExport, out: PathLike, form: str) -> None:
    columns = labels.table_columns()
    batches = batches_of(columns, labels.table_rows(bytes_kept=form == "json"))
    with atomic_path(out) as part:
        if form == "parquet":
            write_parquet(part, columns, batches, {}, note=False)
        else:
            with part.open("w", encoding="utf-8") as file:
                file.writelines(json_text_of(objects_of(columns, batches)))


def _write(out: PathLike, lines: Iterable[str]) -> None:
    with atomic_path(out) as part, open(part, "w", encoding="utf-8", newline="") as file:
        file.writelines(f"{line}\n" for line in lines)


def _write_tracks(labels: LabelExport, out: PathLike) -> None:
    """Write the only label track to a file, or all into a folder, where each has the name of its recording."""
    is_folder = os.path.isdir(out)
    if not is_folder and labels.count_recordings() > 1:
        raise SightsoundError(f"{out!s}: expected a folder for the label tracks of several recordings; make it first")
    names, written = TrackNames(out if is_folder else None), 0
    for item, lines in labels.audacity_tracks():
        path = Path(escapes_of_bytes(os.fspath(item.file)))
        name = names.take(path.stem, path.parent.name)
        if name != path.stem:
            labels.notes.append(f"{printable(item)}: in {name}.txt, since {path.stem}.txt is another file")
        _write(os.path.join(out, f"{name}.txt") if is_folder else out, lines)
        written += 1
    if not is_folder and not written:
        _write(out, ())


def _by_place(ranges: Iterable[TimeRange]) -> Iterator[tuple[_Place, dict[str, list[str]]]]:
    """Yield each place of sorted ranges (start, stop, low and high Hz, channel) with its labels by column."""
    for place, same in groupby(ranges, key=lambda r: (r.start, r.stop, r.low_hz, r.high_hz, r.channel)):
        labels: dict[str, list[str]] = {}
        for each in same:
            labels.setdefault(each.column, []).append(each.value)
        yield place, labels


def _csv_cell(cell: Any) -> str:
    return "" if cell is None else guarded(cell) if isinstance(cell, str) else repr(cell)


def _seconds(value: float) -> str:
    """Return seconds with six decimals, or as many more as they need."""
    shown = f"{value:.6f}"
    return shown if float(shown) == value else f"{Decimal(repr(value)):f}"
