"""Search several libraries at once: each answers, and the answers are merged."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sightsound.contract.errors import LibraryError, SightsoundError, SpaceMismatch, UnknownClass, UnknownModel
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Hit
from sightsound.contract.space import Space
from sightsound.host.host import Host
from sightsound.library.fact_conditions import fact_keys, no_such_fact
from sightsound.library.filter_checks import filters_of_each, named_columns
from sightsound.library.filters import Filter
from sightsound.library.hit_times import with_times
from sightsound.library.library import Library, open_library
from sightsound.library.query import Made, Query, QueryReader
from sightsound.library.query_types import QueryVectors
from sightsound.library.vector_search import fuse

log = logging.getLogger(__name__)

Ranked = list[dict[Space, list[Hit]]]
"""For each query the hits in each space."""


@dataclass(frozen=True)
class _Asked:
    """A library, and the queries that it can answer."""

    library: Library
    name: str
    queries: dict[int, QueryVectors]


def search_several(
    queries: Sequence[Query],
    libraries: Iterable[PathLike | Library],
    k: int,
    host: Host,
    device: str,
    models: Sequence[str],
    how: Mapping[str, Any],
) -> list[list[Hit]]:
    """Return the hits of each query in several libraries, best first.

    A file that one of them lacks is embedded once. A library that has no space of a query is left out of it with a
    warning. One that lacks a fact of the filter has no hits, if another one has it.

    Parameters
    ----------
    queries : sequence of Query
        The queries, which are no ids.
    libraries : iterable of path or Library
        At least one.
    k, host, device, models
        As of `search`.
    how : mapping
        `min_score`, `where`, `per`, `copies` and `exact`, as of `search`.

    Returns
    -------
    list of list of Hit
        For each query.

    Raises
    ------
    SightsoundError
        If no library can answer a query, none has a fact or a column of labels of the filter, or a query is an id.
    """
    if any(isinstance(query, int) for query in queries):
        raise SightsoundError("query: an id belongs to one library, got several; name a file, or one library")
    with _opened(libraries) as opened:
        filters = _filters([library for library, _ in opened], how["where"])
        asked = _read(queries, opened, host, device, models)
        spaces = [{space for each in asked for space in _vectors(each, n)} for n in range(len(queries))]
        fused = any(len(each) > 1 for each in spaces)
        where: Filter | None = how["where"]
        modalities = {space.modality for each in spaces for space in each}
        if modalities and where is not None and where.modality not in (None, *modalities):
            (modality,) = modalities
            raise SightsoundError(f"modality {where.modality}: expected {modality}, since the query is of {modality}s")
        answers = []
        for each, own in zip(asked, filters):
            numbers = list(each.queries) if own is not None else []
            settings = {**how, "where": own}
            found = each.library.search_spaces([each.queries[n] for n in numbers], k, fused=fused, **settings)
            answers.append((each, dict(zip(numbers, found))))
        merged = [_merged([(each, found.get(n, {})) for each, found in answers], k) for n in range(len(queries))]
        return [_with_times(hits, asked) for hits in merged]


def merge_tags(
    libraries: Iterable[PathLike | Library],
    k: int,
    where: Filter | None,
    search: Callable[[Library, Filter], list[Hit]],
) -> list[Hit]:
    """Return the hits of a search by tags in several libraries, the highest score first.

    Parameters
    ----------
    libraries : iterable of path or Library
        At least one.
    k : int
        How many to return at most.
    where : Filter or None
        Conditions on the items. A library that lacks a fact, or a column of labels, of them has no hits.
    search : callable
        Searches one of them, with what the conditions ask of it. One that has no such tags is left out, unless all have
        none.
    """
    hits, problems, taken = list[Hit](), list[SightsoundError](), set[bytes]()
    with _opened(libraries) as opened:
        filters = _filters([library for library, _ in opened], where)
        asked = [(*each, own) for each, own in zip(opened, filters) if own is not None]
        for library, name, own in asked:
            try:
                found = [(library.content(hit.item.id or 0), hit) for hit in search(library, own)]
            except (LibraryError, UnknownClass) as error:
                problems.append(error)
                continue
            hits += [replace(hit, library=name) for content, hit in found if content not in taken]
            taken |= {content for content, _ in found}
        if problems and len(problems) == len(asked):
            raise problems[0]
    return sorted(hits, key=lambda hit: -hit.score)[:k]


def _filters(libraries: Sequence[Library], where: Filter | None) -> list[Filter | None]:
    """Return what a filter asks of each library, None for one of which no item can match.

    Raises `SightsoundError` for a fact, or a column of labels, that none of them has.
    """
    having = _having_facts(libraries, where)
    where = where or Filter()
    columns = [library.label_columns() if named_columns(where) else [] for library in libraries]
    found = filters_of_each(where, columns)
    return [own if library in having else None for library, own in zip(libraries, found)]


def _having_facts(libraries: Sequence[Library], where: Filter | None) -> list[Library]:
    """Return the libraries that have all facts of a filter; raise `SightsoundError` for one that none of them has."""
    having = list(libraries)
    for text in where.facts if where else ():
        lacking = [each for each in libraries if not _has_fact(each, text)]
        if len(lacking) == len(libraries):
            known = sorted({name for each in libraries for name in each.fact_names()})
            raise no_such_fact(fact_keys([text])[0], known)
        having = [each for each in having if each not in lacking]
    return having


def _has_fact(library: Library, text: str) -> bool:
    """Return whether a library has, or can have, the fact of a condition."""
    try:
        library.check_filter(Filter(facts=(text,)))
    except LibraryError:
        raise
    except SightsoundError:
        return False
    return True


@contextlib.contextmanager
def _opened(libraries: Iterable[PathLike | Library]) -> Iterator[list[tuple[Library, str]]]:
    """Yield the libraries, open, with their names as they were given; each once."""
    with contextlib.ExitStack() as stack:
        found: dict[str, tuple[Library, str]] = {}
        for each in libraries:
            library = stack.enter_context(open_library(each))
            name = os.fspath(library.path if isinstance(each, Library) else each)
            found.setdefault(os.path.realpath(library.path), (library, name))
        if not found:
            raise LibraryError("libraries: expected at least one, got none; name one (--library)")
        yield list(found.values())


def _read(
    queries: Sequence[Query], opened: Sequence[tuple[Library, str]], host: Host, device: str, models: Sequence[str]
) -> list[_Asked]:
    """Return for each library the vectors of the queries that it can answer."""
    made: Made = {}
    asked = [_Asked(library, name, {}) for library, name in opened]
    for number, query in enumerate(queries):
        problems: list[SightsoundError] = []
        for each in asked:
            try:
                each.queries[number] = QueryReader(each.library, host, device, models, made).read(query)
            except (SpaceMismatch, UnknownModel) as error:
                problems.append(error)
        if len(problems) == len(asked):
            raise problems[0]
        for problem in problems:
            log.warning("left out of this search: %s", problem)
    return asked


def _vectors(asked: _Asked, number: int) -> Iterable[Space]:
    return asked.queries[number].vectors if number in asked.queries else ()


def _merged(answers: Sequence[tuple[_Asked, Mapping[Space, list[Hit]]]], k: int) -> list[Hit]:
    """Return the hits of one query. A content is found in the first library that has a hit of it, in any space."""
    known: dict[bytes, tuple[str, dict[int, Hit]]] = {}
    spaces: dict[Space, list[Hit]] = {}
    for asked, found in answers:
        for space, hits in found.items():
            into = spaces.setdefault(space, [])
            there = {_content(asked.library, hit) for hit in hits}
            taken = {content for content in there if known.get(content, (asked.name,))[0] != asked.name}
            having = {(hit.library, hit.item.id) for hit in into}
            for hit in hits:
                content, named = _content(asked.library, hit), replace(hit, library=asked.name)
                if content not in taken:
                    known.setdefault(content, (asked.name, {}))[1].setdefault(hit.item.id or 0, named)
                    into.append(named)
                    continue
                owner, items = known[content]
                into += [
                    replace(hit, item=own.item, labels=own.labels, library=owner)
                    for id_, own in items.items()
                    if (owner, id_) not in having
                ]
    ranked = {space: sorted(_distinct(hits), key=lambda hit: -hit.score) for space, hits in spaces.items()}
    return (fuse(ranked) if len(ranked) > 1 else [hit for hits in ranked.values() for hit in hits])[:k]


def _with_times(hits: Sequence[Hit], asked: Sequence[_Asked]) -> list[Hit]:
    """Return hits of several libraries with the times of their windows, in the same order."""
    timed = list(hits)
    for each in asked:
        own = [number for number, hit in enumerate(hits) if hit.library == each.name]
        for number, hit in zip(own, with_times([hits[number] for number in own], each.library)):
            timed[number] = hit
    return timed


def _distinct(hits: Iterable[Hit]) -> list[Hit]:
    """Return the hits, each window of an item once."""
    return list({(hit.library, hit.item.id, hit.seconds): hit for hit in hits}.values())


def _content(library: Library, hit: Hit) -> bytes:
    return library.content(hit.item.id or 0)
