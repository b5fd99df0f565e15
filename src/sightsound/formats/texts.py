"""Texts in the cells of tables: what a format cannot hold is escaped, and the row says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sightsound.contract.csv_cells import guarded, guarded_path, joined
from sightsound.contract.paths import printable
from sightsound.formats.columns import Batch, Column, cells_of, count_of

NOTE = Column("note", "text", "what was changed in the texts of the row, because the format cannot hold it")
"""The column that says why a text is not as it is in the library."""

ESCAPED_BYTES = "bytes that are not UTF-8 are escaped"
r"""What a note says of a cell with escapes such as `\xe9`."""

ESCAPED_CONTROLS = "control characters are escaped"
"""What a note says of a cell of CSV with escapes for characters that cannot be printed."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def utf8(text: str) -> str:
    r"""Return a text that can be written as UTF-8: a byte of a file name that is not UTF-8 becomes `\xe9`."""
    return text if text.isascii() else _SURROGATE.sub(lambda found: printable(found[0]), text)


def csv_cell(text: str, *, path: bool = False) -> str:
    """Return a text for CSV.

    A line break stays, in quotes. Other control characters and bytes that are not UTF-8 are escaped. No spreadsheet
    takes the text for a formula: a path begins with `./` then, another text with an apostrophe.
    """
    shown = _without_controls(text)
    return guarded_path(shown) if path else guarded(shown)


def _without_controls(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def csv_list(texts: Sequence[str]) -> str:
    """Return several texts for one cell of CSV."""
    return csv_cell(joined(texts))


def notes(batch: Batch, columns: Sequence[Column], *, csv: bool) -> list[str | None]:
    """Return for each row what CSV, or UTF-8, cannot hold of its texts; None where there is nothing.

    Parameters
    ----------
    batch : Batch
        The rows.
    columns : sequence of Column
        The columns.
    csv : bool
        Whether for CSV, and not for a format that holds any text of UTF-8.
    """
    found: list[list[str]] = [[] for _ in range(count_of(batch))]
    for column in columns:
        if column.kind in ("text", "path", "texts"):
            known: dict[Any, str | None] = {None: None}
            for row, cell in zip(found, cells_of(batch, column)):
                key: Any = cell if cell is None or isinstance(cell, str) else tuple(cell)
                if key not in known:
                    known[key] = _changed([key] if isinstance(key, str) else key, column, csv)
                if known[key]:
                    row.append(f"{printable(column.name)}: {known[key]}")
    return ["; ".join(row) or None for row in found]


def _changed(texts: Sequence[str], column: Column, csv: bool) -> str | None:
    """Return what is changed in the texts of a cell, in words."""
    if any(not text.isascii() and utf8(text) != text for text in texts):
        return ESCAPED_BYTES
    if not csv:
        return None
    if any(_without_controls(text) != text for text in texts):
        return ESCAPED_CONTROLS
    whole = joined(texts) if column.kind == "texts" else texts[0]
    if column.kind == "texts" and any(joined([text]) != text for text in texts):
        return "a value with a semicolon or a quote is in quotes"
    return "an apostrophe is put before it" if column.kind != "path" and guarded(whole) != whole else None
