"""Whether a library is sound: what does not fit together, and what to do about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from sightsound.contract.errors import LibraryError
from sightsound.library import schema
from sightsound.library.library import Library

_CHUNK = 4096  # vectors that are looked at together


def check(library: Library) -> list[str]:
    """Every problem found, one line each; none for a sound library. Nothing is changed."""
    problems: list[str] = []
    for look in (_database, _spaces, _vectors, _outcomes, _checksums, _tags):
        try:
            problems += look(library)
        except (LibraryError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            problems.append(f"cannot be read: {' '.join(str(error).split())}; restore the library from a copy")
    return problems


def _database(library: Library) -> Iterator[str]:
    for (text,) in library.rows("PRAGMA integrity_check"):
        if text != "ok":
            yield f"database: {text}; restore the library from a copy"
    for table, row, other, _ in library.rows("PRAGMA foreign_key_check"):
        yield f"{table} {row}: refers to a row of {other} that is not there; restore the library from a copy"


def _spaces(library: Library) -> Iterator[str]:
    for name, fingerprint, facts in library.rows("SELECT name, fingerprint, facts FROM spaces"):
        if hashlib.sha256(facts.encode()).hexdigest() != fingerprint:
            yield f"space {name}: its facts do not give its fingerprint; index its files again into a new library"


def _vectors(library: Library) -> Iterator[str]:
    dims = {
        id_: (name, json.loads(facts)["dim"]) for id_, name, facts in library.rows("SELECT id, name, facts FROM spaces")
    }
    for rows in _chunks(library, "SELECT id, space, embedding FROM vectors"):
        for id_, space, row in rows:
            name, dim = dims.get(space, ("?", -1))
            if len(row) != 4 * dim:
                yield f"vector {id_} of {name}: expected {4 * dim} bytes, got {len(row)}; index into a new library"
            elif not np.isfinite(np.frombuffer(row, "<f4")).all():
                yield f"vector {id_} of {name}: not finite; index into a new library"


def _outcomes(library: Library) -> Iterator[str]:
    without = library.rows(
        "SELECT i.id, s.name FROM outcomes o JOIN items i ON i.id = o.item JOIN spaces s ON s.id = o.space"
        " WHERE o.status = 'ok' AND NOT EXISTS"
        " (SELECT 1 FROM vectors v WHERE v.content = o.content AND v.space = o.space)"
    )
    for item, space in without:
        yield f"item {item} is ok in {space} but has no vectors there; forget it and index it again"
    loose = library.rows(
        "SELECT count(*) FROM vectors v WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.content = v.content"
        " AND o.space = v.space AND o.status = 'ok') AND NOT EXISTS"
        " (SELECT 1 FROM pending p WHERE p.content = v.content AND p.space = v.space)"
    )
    for (count,) in loose:
        if count:
            yield f"{count} vectors belong to no item; index the files again into a new library"


def _checksums(library: Library) -> Iterator[str]:
    """Vectors that are missing, were added or changed since their item was settled."""
    sums: dict[tuple[int, int], tuple[int, int]] = {}
    for rows in _chunks(library, "SELECT id, content, space, start, stop, embedding FROM vectors"):
        for _, content, space, start, stop, embedding in rows:
            count, before = sums.get((content, space), (0, 0))
            sums[content, space] = count + 1, schema.checksum(before, start, stop, embedding)
    settled = library.rows("SELECT item, content, space, windows, checksum FROM outcomes WHERE status = 'ok'")
    for item, content, space, windows, crc in settled:
        found = sums.get((content, space), (0, 0))
        if found != (windows, crc):
            what = f"expected {windows} vectors, got {found[0]}" if found[0] != windows else "its vectors have changed"
            yield f"item {item}: {what}; forget it and index it again"


def _tags(library: Library) -> Iterator[str]:
    """Tags of contents that no item has, or that nobody noted as tagged."""
    settled = "SELECT content, space FROM outcomes WHERE status = 'ok'"
    for table, known in (("tagged", settled), ("tags", "SELECT content, space FROM tagged")):
        query = f"SELECT count(*) FROM {table} WHERE (content, space) NOT IN (VALUES (-1, -1) UNION ALL {known})"
        for (count,) in library.rows(query):
            if count:
                yield f"{count} rows of {table} belong to no item; run `sightsound index --tags` into a new library"


def _chunks(library: Library, query: str) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a query on `vectors`, whose first column is the id, some thousands at a time."""
    last = 0
    while rows := library.rows(f"{query} WHERE id > ? ORDER BY id LIMIT ?", last, _CHUNK):
        yield rows
        if rows[-1][0] <= last:
            raise LibraryError("vectors: their ids do not rise")
        last = rows[-1][0]
