"""Printing: tables for people, JSON for programs."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from sightsound.contract.paths import printable

_PAGE = 1000  # rows of a table that are in memory at once
FAILURE_WORDS = {
    "failed": "failed",
    "no-windows": "too short",
    "not-media": "neither image nor sound",
}
"""Each status of an outcome without embeddings, in words."""


def echo(text: str | bytes = "", *, err: bool = False) -> None:
    """Print text to standard output or standard error; no control character but the end of a line gets through.

    Parameters
    ----------
    text : str or bytes
        One or more lines. Bytes are the path of a file for another program: they are printed as they are, except on a
        terminal.
    err : bool
        Whether to print to standard error.
    """
    if isinstance(text, bytes) and sys.stdout.isatty():
        text = os.fsdecode(text)
    click.echo(text if isinstance(text, bytes) else "\n".join(map(printable, text.split("\n"))), err=err)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], *, headed: bool = True) -> None:
    """Print rows in columns that are as wide as their cells on a terminal.

    Parameters
    ----------
    header : sequence of str
        The names of the columns.
    rows : sequence of sequence of object
        The cells. None is an empty cell. Columns of numbers are aligned to the right. Control characters are escaped,
        so that the name of a file cannot change the terminal.
    headed : bool
        Whether to print the header; it counts for the widths in any case.
    """
    cells = [[printable("" if cell is None else cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(map(printable, header), *cells)]
    numeric = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(header))]
    for line in ([*map(printable, header)], *cells) if headed else cells:
        padded = (_padded(cell, width, to_right) for cell, width, to_right in zip(line, widths, numeric))
        echo("  ".join(padded).rstrip())


def print_pages(header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Print any number of rows, each thousand in columns of their own widths; return their number.

    Parameters
    ----------
    header : sequence of str
        The names of the columns.
    rows : iterable of sequence of object
        The cells, as of `print_table`.
    """
    count, waiting = 0, iter(rows)
    while page := list(itertools.islice(waiting, _PAGE)):
        print_table(header, page, headed=not count)
        count += len(page)
    return count


def _padded(cell: str, width: int, to_right: bool) -> str:
    blank = " " * (width - _width(cell))
    return blank + cell if to_right else cell + blank


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for each Chinese character, none for an accent."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    width: int = wcswidth(text)
    return len(text) if width < 0 else width


def print_line(text: str) -> None:
    """Print a line at once, above the progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(printable(text))
    sys.stdout.flush()


def print_json(value: object) -> None:
    """Print one JSON document in ASCII; a byte of a file name that is not UTF-8 is kept as a surrogate escape."""
    click.echo(json_text(value), nl=False)


def json_text(value: object) -> str:
    """Return one JSON document in ASCII, with a line break at its end."""
    return json.dumps(value, default=_to_json, indent=1) + "\n"


def _to_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def write_text(text: str, out: str | None) -> None:
    """Write text to the file `out`, or to standard output if it is None."""
    write_pieces([text], out)


def write_pieces(pieces: Iterable[str], out: str | None) -> None:
    """Write a text that comes in pieces to the file `out`, or to standard output if it is None."""
    if out is None:
        for piece in pieces:
            click.echo(piece, nl=False)
        return
    from sightsound._atomic import atomic_path

    with atomic_path(out) as path, path.open("w", encoding="utf-8") as stream:
        stream.writelines(pieces)


def count_of(count: int, thing: str) -> str:
    """Return a number with its noun, in the plural unless it is 1."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def format_size(count: int) -> str:
    """Return a number of bytes with a unit; 0 means that the size is not known."""
    if not count:
        return "unknown"
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"


def format_duration(seconds: float) -> str:
    """Return seconds with a tenth below a minute, and as minutes or hours above."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h" if minutes >= 60 else f"{minutes}:{rest:02d} min"
