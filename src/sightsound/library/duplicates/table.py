"""Near-duplicates as a table: a row for each file of each group, one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sightsound._atomic import atomic_path
from sightsound.contract.paths import PathLike
from sightsound.formats.columns import Batch, Column, batches_of, count_of
from sightsound.formats.csv_file import CsvWriter
from sightsound.library.duplicates.results import Duplicates
from sightsound.library.export.places import require_no_item
from sightsound.library.library import open_library

DUPLICATE_COLUMNS = (
    Column("path", "path", "absolute path of the file"),
    Column("group", "integer", "number of the group from 1, over all spaces"),
    Column("keep", "text", "yes for the file to keep, else no"),
    Column("similarity", "number", "cosine with the file to keep; 1 for that one, and for files of the same bytes"),
    Column("reason", "text", "why it is to be kept, or what it has instead"),
    Column("start", "number", "where the part of a recording starts; empty for whole files", "s"),
    Column("stop", "number", "where the part stops", "s"),
    Column("space", "text", "the name of the space"),
)
"""The columns of `duplicate_batches`."""


def duplicate_batches(found: Iterable[Duplicates]) -> Iterator[Batch]:
    """Return an iterator over near-duplicates in batches of `DUPLICATE_COLUMNS`."""
    return batches_of(DUPLICATE_COLUMNS, _rows(found))


def write_duplicates_csv(found: Iterable[Duplicates], file: PathLike) -> int:
    r"""Write near-duplicates as CSV, a row for each file, and return the number of rows.

    The columns are `path` (absolute), `group` (from 1, over all spaces), `keep` (yes or no), `similarity`, `reason`,
    `start` and `stop` (seconds, empty for whole files), `space` and `note`. A path is written as it is, also with line
    breaks, but for bytes that are not UTF-8 and other control characters: these are escaped, as `\xe9`, and the note
    says so.

    Parameters
    ----------
    found : iterable of Duplicates
        What `find_duplicates` returned.
    file : path
        The file, which is replaced once it is complete.

    Returns
    -------
    int

    Raises
    ------
    SightsoundError
        If the file cannot be written, or is an item of a library, or another file of one.
    """
    count = 0
    with atomic_path(file) as part, part.open("w", encoding="utf-8", newline="") as opened:
        writer = CsvWriter(opened, DUPLICATE_COLUMNS)
        for batch in duplicate_batches(_apart(found, file)):
            writer.write(batch)
            count += count_of(batch)
    return count


def _apart(found: Iterable[Duplicates], file: PathLike) -> Iterator[Duplicates]:
    """Yield near-duplicates of libraries that a file is no item of; raise `SightsoundError` at one that it is."""
    for each in found:
        with open_library(each.library) as opened:
            require_no_item(file, opened)
        yield each


def _rows(found: Iterable[Duplicates]) -> Iterator[list[Any]]:
    number = 0
    for duplicates in found:
        for group in duplicates:
            number += 1
            for each in group.files:
                seconds = [None, None] if each.seconds is None else [round(second, 3) for second in each.seconds]
                keep, similarity = "yes" if each.keep else "no", round(each.similarity, 4)
                yield [str(each.item.file), number, keep, similarity, each.reason, *seconds, duplicates.space]
