"""Labels for items: from the name of the folder, or from a CSV with a `path` column."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sightsound import walk
from sightsound.errors import SightsoundError
from sightsound.types import Item
from sightsound.writer import Writer

FOLDER = "folder"
COLUMN = "label"
"""The column that folder names go to."""


def from_folder(item: Item) -> str:
    """The name of the folder that holds the file."""
    return Path(item.root, item.path).parent.name


def from_csv(writer: Writer, table: str | os.PathLike[str], folders: Sequence[str], roots: Sequence[str]) -> list[str]:
    """Gives items the values of every column but `path`, which is relative to one of the indexed `folders`.

    Several rows of one path add up. Returns the paths that match no item. Raises `SightsoundError` for a table that
    cannot be read or has no `path` column.
    """
    unmatched: list[str] = []
    values: dict[Item, dict[str, list[str]]] = {}
    for path, row in _table(Path(table)):
        items = [walk.item(Path(folder, path), roots) for folder in folders]
        item = next((item for item in items if writer.seen(item)), None)
        if item is None:
            unmatched.append(path)
            continue
        for column, value in row.items():
            values.setdefault(item, {}).setdefault(column, []).append(value)
    for item, columns in values.items():
        for column, found in columns.items():
            writer.label(writer.id(item), column, [value for value in found if value])
    return unmatched


def _table(table: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if "path" not in (rows.fieldnames or ()):
                raise SightsoundError(f"{table}: expected a CSV with a column 'path', got {rows.fieldnames}")
            for row in rows:
                yield row["path"], {key: value or "" for key, value in row.items() if key and key != "path"}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SightsoundError(f"{table}: cannot be read as CSV ({error})") from error
