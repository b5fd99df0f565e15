"""Whether a library is consistent: every problem with what to do about it. Nothing is changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike
from sightsound.library.library import Library, open_library
from sightsound.library.store import schema
from sightsound.library.store.database import Database
from sightsound.media.files import LIBRARY_FILE
from sightsound.media.safe_open import error_line

_CHUNK = 4096  # vectors that are read at a time
_RESTORE = "restore the library from a copy"
_NEW_LIBRARY = "index into a new library"
_REINDEX_ITEM = "forget it and index it again"


@dataclass(frozen=True)
class Problem:
    """Something in a library that is damaged or inconsistent. `str()` gives both parts in one line.

    Parameters
    ----------
    what : str
        What was found, with the number of the item or vector.
    remedy : str
        What to do about it.
    """

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


def check(library: PathLike | Library) -> list[Problem]:
    """Return every problem of a library; an empty list for a sound one.

    The database, the fingerprints of the spaces, the size, finiteness and checksums of the vectors, and the references
    between the tables are examined, all in the state of the last commit.
    """
    problems: list[Problem] = []
    with open_library(library) as opened:  # which refuses what is no library
        database = Database(opened.path / LIBRARY_FILE)
    with contextlib.closing(database), database.snapshot():
        for examine in (_database, _spaces, _vectors, _outcomes, _checksums, _tags):
            try:
                problems += examine(database)
            except (
                LibraryError,
                ValueError,
                LookupError,
                TypeError,
                AttributeError,
                ArithmeticError,
                RecursionError,
            ) as error:
                problems.append(Problem(f"cannot be read: {error_line(error)}", _RESTORE))
    return problems


def _database(database: Database) -> Iterator[Problem]:
    for (text,) in database.rows("PRAGMA integrity_check"):
        if text != "ok":
            yield Problem(f"database: {text}", _RESTORE)
    for table, row, other, _ in database.rows("PRAGMA foreign_key_check"):
        yield Problem(f"{table} {row}: refers to a row of {other} that is not there", _RESTORE)


def _spaces(database: Database) -> Iterator[Problem]:
    for name, fingerprint, facts in database.rows("SELECT name, fingerprint, facts FROM spaces"):
        if hashlib.sha256(facts.encode()).hexdigest() != fingerprint:
            yield Problem(
                f"space {name}: its facts do not give its fingerprint", "index its files again into a new library"
            )


def _vectors(database: Database) -> Iterator[Problem]:
    """Find vectors of a wrong size, and vectors with NaN or infinity."""
    dims = {
        id_: (name, json.loads(facts)["dim"])
        for id_, name, facts in database.rows("SELECT id, name, facts FROM spaces")
    }
    for rows in _chunks(database, "SELECT id, space, embedding FROM vectors"):
        for id_, space, row in rows:
            name, dim = dims.get(space, ("?", -1))
            if len(row) != 4 * dim:
                yield Problem(f"vector {id_} of {name}: expected {4 * dim} bytes, got {len(row)}", _NEW_LIBRARY)
            elif not np.isfinite(np.frombuffer(row, "<f4")).all():
                yield Problem(f"vector {id_} of {name}: not finite", _NEW_LIBRARY)


def _outcomes(database: Database) -> Iterator[Problem]:
    """Find items without their vectors, and vectors without an item."""
    without = database.rows(
        "SELECT i.id, s.name FROM outcomes o JOIN items i ON i.id = o.item JOIN spaces s ON s.id = o.space"
        " WHERE o.status = 'ok' AND NOT EXISTS"
        " (SELECT 1 FROM vectors v WHERE v.content = o.content AND v.space = o.space)"
    )
    for item, space in without:
        yield Problem(f"item {item} is ok in {space} but has no vectors there", _REINDEX_ITEM)
    unused = database.rows(
        "SELECT count(*) FROM vectors v WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.content = v.content"
        " AND o.space = v.space AND o.status = 'ok') AND NOT EXISTS"
        " (SELECT 1 FROM pending p WHERE p.content = v.content AND p.space = v.space)"
    )
    for (count,) in unused:
        if count:
            yield Problem(f"{count} vectors belong to no item", "index the files again into a new library")


def _checksums(database: Database) -> Iterator[Problem]:
    """Find vectors that were lost, added or changed since the outcome of their item was recorded."""
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    for rows in _chunks(database, "SELECT id, content, space, start, stop, embedding FROM vectors"):
        for _, content, space, start, stop, embedding in rows:
            count, before = sums.get((content, space), (0, 0))
            sums[content, space] = count + 1, schema.checksum(before, start, stop, embedding)
    recorded = database.rows("SELECT item, content, space, windows, checksum FROM outcomes WHERE status = 'ok'")
    for item, content, space, windows, crc in recorded:
        found = sums.get((content, space), (0, 0))
        if found != (windows, crc):
            what = f"expected {windows} vectors, got {found[0]}" if found[0] != windows else "its vectors have changed"
            yield Problem(f"item {item}: {what}", _REINDEX_ITEM)


def _tags(database: Database) -> Iterator[Problem]:
    """Find tags of contents without vectors, and tags of contents that are not recorded as tagged."""
    complete = "SELECT content, space FROM outcomes WHERE status = 'ok'"
    for table, known in (("tagged", complete), ("tags", "SELECT content, space FROM tagged")):
        query = f"SELECT count(*) FROM {table} WHERE (content, space) NOT IN (VALUES (-1, -1) UNION ALL {known})"
        for (count,) in database.rows(query):
            if count:
                yield Problem(
                    f"{count} rows of {table} belong to no item", "run `sightsound index --tags` into a new library"
                )


def _chunks(database: Database, query: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a query on `vectors`, whose first column is the id, some thousands at a time."""
    last = 0
    while rows := database.rows(f"{query} WHERE id > ? ORDER BY id LIMIT ?", last, _CHUNK):
        yield rows
        if rows[-1][0] <= last:
            raise LibraryError("vectors: their ids do not rise")
        last = rows[-1][0]
