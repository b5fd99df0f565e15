"""How things are printed: tables for people, JSON for programs, and names that cannot play tricks on a terminal."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from sightsound.contract.paths import printable


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they need; numbers to the right; no markup, so that a name is only a name."""
    cells = [[printable("" if cell is None else cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells)]
    right = [bool(rows) and all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(header))]
    for line in ([*map(str, header)], *cells):
        padded = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right)]
        click.echo("  ".join(padded).rstrip())


FAILURES = {
    "failed": "failed",
    "no-windows": "too short",
    "not-media": "neither picture nor sound",
}
"""What became of files that are not ok, in words."""


def line(text: str) -> None:
    """A line of text as it comes, above the progress bar where there is one."""
    from tqdm import tqdm

    tqdm.write(text)
    sys.stdout.flush()


def write(text: str, out: str | None) -> None:
    """Text to a file, or to standard output."""
    if out is None:
        click.echo(text, nl=False)
        return
    from sightsound._atomic import atomic_path

    with atomic_path(out) as part:
        part.write_text(text, encoding="utf-8")


def shorten(text: str, width: int | None = None) -> str:
    """A reason that fits the rest of a line on a terminal."""
    width = width or max(40, shutil.get_terminal_size((120, 24)).columns - 10)
    return text if len(text) <= width else text[: width - 1] + "…"


def dump(value: object) -> None:
    """JSON, one document; names that are not UTF-8 stay readable as escapes."""
    click.echo(json.dumps(value, default=_plain, indent=1))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def size(count: int) -> str:
    """Bytes as a person would say it; 0 is not known."""
    if not count:
        return "unknown"
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.1f} GB"


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss, or with tenths below a minute."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h" if minutes >= 60 else f"{minutes}:{rest:02d} min"
