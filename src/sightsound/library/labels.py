"""Labels for items: from the name of the folder, or from a CSV with a `path` column."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sightsound.contract.errors import SightsoundError
from sightsound.contract.results import Item
from sightsound.library.writer import Writer
from sightsound.media import files

FOLDER = "folder"
COLUMN = "label"
"""The column that folder names go to."""


def from_folder(item: Item) -> str:
    """The name of the folder that holds the file."""
    return Path(item.root, item.path).parent.name


Table = Sequence[tuple[str, Mapping[str, str]]]


def give(writer: Writer, table: Table, folders: Sequence[str], roots: Sequence[str]) -> list[str]:
    """Gives items the values of a table, whose paths are relative to one of the indexed `folders`.

    Several rows of one path add up. Returns the paths that match no item.
    """
    unmatched: list[str] = []
    values: dict[Item, dict[str, list[str]]] = {}
    for number, (path, row) in enumerate(table, 1):
        if not path:
            unmatched.append(f"row {number}, which has no path")
            continue
        items = [files.item_of(Path(folder, path), roots) for folder in folders]
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


def read(table: str | os.PathLike[str]) -> Table:
    """The rows of a CSV as (path, values of the other columns).

    Raises `SightsoundError` for a table that cannot be read or has no `path` column.
    """
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if "path" not in (rows.fieldnames or ()):
                raise SightsoundError(f"{table!s}: expected a CSV with a column 'path', got {rows.fieldnames}")
            twice = [name for name in rows.fieldnames or () if (rows.fieldnames or []).count(name) > 1]
            if twice:
                raise SightsoundError(f"{table!s}: expected columns of different names, got {twice[0]!r} twice")
            return [(row["path"] or "", {k: v or "" for k, v in row.items() if k and k != "path"}) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SightsoundError(f"{table!s}: cannot be read as CSV ({error})") from error
