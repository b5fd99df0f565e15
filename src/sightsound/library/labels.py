"""Labels of items: the name of the folder, or the columns of a CSV with a column `path`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item
from sightsound.library.store.writer import Writer
from sightsound.media import files

FOLDER = "folder"
"""The word that stands for the names of folders, where a CSV may be given too."""

COLUMN = "label"
"""The column of the names of folders."""

Table = Sequence[tuple[str, Mapping[str, str]]]
"""The rows of a CSV: the path, and the values of the other columns."""

Key = TypeVar("Key", bound=Hashable)


def folder_label(item: Item) -> str:
    """Return the name of the folder that holds a file."""
    return Path(item.root, item.path).parent.name


def read_table(file: PathLike) -> Table:
    """Return the rows of a CSV with a column `path`.

    Raises
    ------
    SightsoundError
        If the file cannot be read as CSV in UTF-8, has no column `path`, has two columns of one name, or has seconds of
        parts of recordings, since labels belong to whole files.
    """
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            rows = csv.DictReader(opened)
            names = list(rows.fieldnames or ())
            if "path" not in names:
                raise SightsoundError(f"{file!s}: expected a CSV with a column 'path', got {rows.fieldnames}")
            repeated = [name for name in names if names.count(name) > 1]
            if repeated:
                raise SightsoundError(f"{file!s}: expected columns of different names, got {repeated[0]!r} twice")
            if {"start", "stop"} <= set(names) or {"start", "end"} <= set(names):
                raise SightsoundError(
                    f"{file!s}: expected labels of whole files, got the columns start and stop of parts; "
                    "leave these columns out to give their labels to the files"
                )
            return [(row["path"] or "", {k: v or "" for k, v in row.items() if k and k != "path"}) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SightsoundError(f"{file!s}: cannot be read as CSV ({error})") from error


def match_table(table: Table, find: Callable[[str], Key | None]) -> tuple[dict[Key, dict[str, list[str]]], list[str]]:
    """Assign the rows of a label table to items. The values of several rows of one item add up.

    Parameters
    ----------
    table : Table
        The rows, from `read_table`.
    find : callable
        Returns the item that a path of the table means, in any hashable form; None if there is none.

    Returns
    -------
    values : dict
        Item -> column -> values that are not empty. Every column of the table is there.
    unmatched : list of str
        The paths that mean no item.
    """
    values: dict[Key, dict[str, list[str]]] = {}
    unmatched = []
    for number, (path, row) in enumerate(table, 1):
        item = find(path) if path else None
        if item is None:
            unmatched.append(path or f"row {number}, which has no path")
            continue
        columns = values.setdefault(item, {})
        for column, value in row.items():
            columns.setdefault(column, []).extend([value] if value else [])
    return values, unmatched


def store_table(writer: Writer, table: Table, folders: Sequence[str], roots: Sequence[str]) -> list[str]:
    """Give items the labels of a table, in place of those that they have in its columns.

    Parameters
    ----------
    writer : Writer
        The writer of the library.
    table : Table
        The rows, from `read_table`.
    folders : sequence of str
        The folders that a path of the table may be relative to; the first that has the file counts.
    roots : sequence of str
        The roots of the library.

    Returns
    -------
    list of str
        The paths that mean no item of the library.
    """

    def find(path: str) -> Item | None:
        items = (files.item_of(Path(folder, path), roots) for folder in folders)
        return next((item for item in items if writer.items.find(item)), None)

    values, unmatched = match_table(table, find)
    for item, columns in values.items():
        for column, labels in columns.items():
            writer.items.label(writer.items.id(item), column, labels)
    return unmatched
