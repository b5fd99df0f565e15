"""Near-duplicates as a table: a row for each file of each group, one by one."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from sightsound._atomic import atomic_path
from sightsound.contract.paths import PathLike, printable
from sightsound.library.duplicates.results import DuplicateFile, Duplicates

COLUMNS = ("path", "group", "keep", "similarity", "reason", "start", "stop", "space")
"""The columns of the CSV."""


def write_duplicates_csv(found: Iterable[Duplicates], file: PathLike) -> int:
    r"""Write near-duplicates as CSV, a row for each file, and return the number of rows.

    The columns are `path` (absolute), `group` (from 1, over all spaces), `keep` (yes or no), `similarity`, `reason`,
    `start` and `stop` (seconds, empty for whole files) and `space`. A path is written as it is, also with line breaks,
    but for bytes that are not UTF-8: these are written as `\xe9`, and the reason says so.

    Parameters
    ----------
    found : iterable of Duplicates
        What `find_duplicates` returned.
    file : path
        The file, which is replaced once it is complete.

    Returns
    -------
    int
    """
    count = 0
    with atomic_path(file) as part, part.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in _rows(found):
            writer.writerow(row)
            count += 1
    return count


def _rows(found: Iterable[Duplicates]) -> Iterator[list[object]]:
    number = 0
    for duplicates in found:
        for group in duplicates:
            number += 1
            for each in group.files:
                path, reason = _path_and_reason(each)
                seconds = ("", "") if each.seconds is None else tuple(f"{second:.3f}" for second in each.seconds)
                keep = "yes" if each.keep else "no"
                yield [path, number, keep, f"{each.similarity:.4f}", reason, *seconds, duplicates.space]


def _path_and_reason(each: DuplicateFile) -> tuple[str, str]:
    path = str(each.item.file)
    try:
        path.encode()
    except UnicodeEncodeError:
        return printable(path), f"{each.reason}; the path has bytes that are not UTF-8, written as \\xNN"
    return path, each.reason
