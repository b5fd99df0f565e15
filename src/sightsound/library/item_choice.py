"""The items of a library at some paths, and that a filter keeps, also those without vectors."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike
from sightsound.library.filter_checks import check_filter
from sightsound.library.filters import Filter, conditions_on_outcomes
from sightsound.library.store.database import Database
from sightsound.library.store.validation import decode_path, decode_root, json_object

Ids = NDArray[np.int64]


def chosen_items(database: Database, paths: Sequence[PathLike], where: Filter) -> Ids:
    """Return the ids of items, sorted.

    Parameters
    ----------
    database : Database
        The library.
    paths : sequence of path-like
        Files and folders, at or below which the items are; all if empty. They need not exist any more.
    where : Filter
        What the items must have, too.

    Returns
    -------
    ndarray of int64 (n,)

    Raises
    ------
    LibraryError
        If no item is at or below one of the paths, or a path is empty.
    """
    if not paths:
        return _filtered(database, where)
    below = _below(database, paths)
    return below if where == Filter() else np.intersect1d(below, _filtered(database, where), assume_unique=True)


def contains(ids: Ids, id_: int) -> bool:
    """Return whether an id is among those that were chosen."""
    at = int(np.searchsorted(ids, id_))
    return at < len(ids) and int(ids[at]) == id_


def _below(database: Database, paths: Sequence[PathLike]) -> Ids:
    roots = database.rows("SELECT id, path FROM roots ORDER BY id")
    with database.decoding():
        places = [(id_, decode_root(path)) for id_, path in roots]
    found = array("q")
    for given in paths:
        if not os.fspath(given):
            raise LibraryError('"": an empty path; name a file or a folder, or "." for the working folder')
        before = len(found)
        for id_ in _ids_below(database, os.path.abspath(given), places):
            found.append(id_)
        if len(found) == before:
            name = database.file.parent.name
            raise LibraryError(f"{os.fspath(given)}: nothing of this path is in {name}; see `sightsound stats`")
    return np.unique(np.frombuffer(found, np.int64))


def _ids_below(database: Database, top: str, roots: Sequence[tuple[int, str]]) -> Iterator[int]:
    """Yield the ids of the items at or below an absolute path."""
    for number, root in roots:
        query = "SELECT id FROM items WHERE root = ?"
        if _is_below(root, top):
            yield from (id_ for (id_,) in database.iterate(query, number))
        elif _is_below(top, root):
            path = os.fsencode(os.path.relpath(top, root).replace(os.sep, "/"))
            yield from (id_ for (id_,) in database.iterate(f"{query} AND path = ?", number, path))
            inside = f"{query} AND path >= ? AND path < ?"  # "0" is the byte after "/"
            yield from (id_ for (id_,) in database.iterate(inside, number, path + b"/", path + b"0"))


def _is_below(path: str, folder: str) -> bool:
    path, folder = os.path.normcase(path), os.path.normcase(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _filtered(database: Database, where: Filter) -> Ids:
    test = where.metadata_test()
    check_filter(database, where)
    needs_outcomes = bool(where.reads_facts or where.tags)
    conditions, values = conditions_on_outcomes(where, "o.item" if needs_outcomes else "i.id")
    if where.modality is not None:
        conditions.append("i.content IN (SELECT id FROM contents WHERE modality = ?)")
        values.append(where.modality)
    columns = ["i.id", *(["i.path"] if where.paths else []), *(["o.seconds", "o.facts"] if where.reads_facts else [])]
    source = "items i JOIN outcomes o ON o.item = i.id AND o.status = 'ok'" if needs_outcomes else "items i"
    text = " AND ".join(conditions or ["1"])
    found = array("q")
    for id_, *rest in database.iterate(f"SELECT {', '.join(columns)} FROM {source} WHERE {text}", *values):
        with database.decoding():
            if where.paths and not where.matches_path(decode_path(rest[0], id_)):
                continue
            if where.reads_facts and not test({"seconds": rest[-2], **json_object(rest[-1])}):
                continue
            found.append(id_)
    return np.unique(np.frombuffer(found, np.int64))
