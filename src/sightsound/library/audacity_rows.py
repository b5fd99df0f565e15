"""Rows of a label track of Audacity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sightsound.contract.paths import PathLike, printable
from sightsound.library.label_rows import LabelRow, RowCells, number_of


def audacity_rows(lines: Iterable[str], file: PathLike, column: str) -> Iterator[LabelRow]:
    """Yield the labels of a label track. A line that begins with a backslash has the band of the label before it.

    Parameters
    ----------
    lines : iterable of str
        The lines of the file.
    file : path-like
        The file, for errors.
    column : str
        The column of the labels.

    Raises
    ------
    SightsoundError
        For a line that is no label.
    """
    waiting: tuple[int, list[str], list[str]] | None = None
    for number, line in enumerate(lines, 1):
        fields = line.rstrip("\r\n").split("\t")
        if fields == [""]:
            continue
        if fields[0] == "\\":
            if waiting is None or len(fields) < 3:
                raise RowCells(file, number, {}).wrong("band", "two frequencies below a label", line.strip())
            waiting[2][:] = fields[1:3]
            continue
        if waiting is not None:
            yield _row(file, column, *waiting)
        waiting = number, fields, []
    if waiting is not None:
        yield _row(file, column, *waiting)


def _row(file: PathLike, column: str, number: int, fields: Sequence[str], band: Sequence[str]) -> LabelRow:
    moment = len(fields) == 2 and number_of(fields[1]) is None  # a label without a stop
    times = {"start": fields[0], "stop": fields[0] if moment else "".join(fields[1:2])}
    cells = RowCells(file, number, {**times, **dict(zip(("low", "high"), band))})
    if len(fields) < 2:
        raise cells.wrong("label", "start, stop and text with tabs between", printable(fields[0]))
    text = "\t".join(fields[1:] if moment else fields[2:])
    low, high = (cells.band(name, undefined=True) for name in ("low", "high"))
    span = cells.span(cells.seconds("start"), cells.seconds("stop"), low, high)
    return LabelRow(number, (), "", {column: text}, span)
