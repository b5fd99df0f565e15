"""Whether a library is sound: what does not fit together, and what to do about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np

from sightsound.library import Library

_CHUNK = 4096  # vectors that are looked at together


def check(library: Library) -> list[str]:
    """Every problem found, one line each; none for a sound library. Nothing is changed."""
    return [*_database(library), *_spaces(library), *_vectors(library), *_outcomes(library)]


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
    last = 0
    while rows := library.rows(
        "SELECT id, space, embedding FROM vectors WHERE id > ? ORDER BY id LIMIT ?", last, _CHUNK
    ):
        for id_, space, row in rows:
            name, dim = dims.get(space, ("?", -1))
            if len(row) != 4 * dim:
                yield f"vector {id_} of {name}: expected {4 * dim} bytes, got {len(row)}; index into a new library"
            elif not np.isfinite(np.frombuffer(row, "<f4")).all():
                yield f"vector {id_} of {name}: not finite; index into a new library"
        last = rows[-1][0]


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
