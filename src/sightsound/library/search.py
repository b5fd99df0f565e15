"""Search a library by example, or by the tags of its items."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any, get_args, overload

from sightsound.classify.class_selection import MIDS
from sightsound.classify.ontology import SUBTREE_PREFIX, Ontology
from sightsound.classify.ontology_file import load_ontology
from sightsound.contract.errors import LibraryError, MissingWeights, SightsoundError, UnknownClass
from sightsound.contract.paths import PathLike, nearest
from sightsound.contract.results import Hit
from sightsound.host.host import Host
from sightsound.library.filters import Filter
from sightsound.library.hit_times import with_times
from sightsound.library.library import Library, open_library
from sightsound.library.query import Query, QueryReader
from sightsound.library.query_types import Per
from sightsound.library.several import merge_tags, search_several

log = logging.getLogger(__name__)

Libraries = PathLike | Library | Sequence[PathLike | Library]
"""A library, or several."""


@overload
def search(
    query: Query,
    library: Libraries,
    *,
    k: int = 10,
    models: Sequence[str] = (),
    host: Host | None = None,
    device: str = "auto",
    min_score: float | None = None,
    where: Filter | None = None,
    per: Per = "item",
    copies: bool = False,
    exact: bool = False,
) -> list[Hit]: ...


@overload
def search(
    query: list[Query],
    library: Libraries,
    *,
    k: int = 10,
    models: Sequence[str] = (),
    host: Host | None = None,
    device: str = "auto",
    min_score: float | None = None,
    where: Filter | None = None,
    per: Per = "item",
    copies: bool = False,
    exact: bool = False,
) -> list[list[Hit]]: ...


def search(
    query: Query | list[Query],
    library: Libraries,
    *,
    k: int = 10,
    models: Sequence[str] = (),
    host: Host | None = None,
    device: str = "auto",
    min_score: float | None = None,
    where: Filter | None = None,
    per: Per = "item",
    copies: bool = False,
    exact: bool = False,
) -> list[Hit] | list[list[Hit]]:
    """Return the items of a library that look or sound most like a query, or that words describe.

    Parameters
    ----------
    query : path, int, Text, Vectors, ndarray of shape (dim,) or (n, dim), or list of these
        A file; a part of a recording, as in "dog.wav@1.0-2.5" or "dog.wav@1:30-1:40" (a path that exists is a whole
        file); the id of an item of the library; words, as in `Text("a red car")`; vectors with their spaces; or one or
        several vectors of one space. A list has several queries, which are compared together.
    library : path, Library, or sequence of these
        The library. Of several, hits are merged by their scores, and name their library; a content that several have
        is one hit, in the first of them that found it.
    k : int
        How many items to return at most.
    models : sequence of str
        The models whose spaces are searched. Empty for every space of the query's modality, for words every space of
        a model that takes words. Over several spaces ranks are fused, see `Library.search`.
    host : Host or None
        Where models are looked up. None stands for a new host of the installed plugins.
    device : str
        Where the models run, see `Host.load`.
    min_score : float or None
        The lowest cosine, from -1 to 1.
    where : Filter or None
        Which items may be found.
    per : {"item", "window"}
        Whether each item is returned once, with its best window, or each of the best windows, those that touch as one.
    copies : bool
        Whether items with the query's own content are returned too.
    exact : bool
        Whether to compare the query with all rows, also where `build_index` has built an approximate index. Windows,
        and queries of more than 64 rows, are always searched exactly.

    Returns
    -------
    list of Hit, or list of list of Hit
        Best first. For a list of queries a list for each.

    Raises
    ------
    SpaceMismatch
        If the library has no vectors that can be compared with the query's.
    MediaError
        If the file cannot be read.
    LibraryError
        If the library is missing or damaged, or has no item of this id.
    SightsoundError
        If the query or the filter is not valid, or windows of several networks are asked for. Of several libraries one
        at least must have each fact of the filter.
    """
    if per not in get_args(Per):
        raise SightsoundError(f"per: expected one of {', '.join(get_args(Per))}, got {per!r}")
    how: dict[str, Any] = {"min_score": min_score, "where": where, "per": per, "copies": copies, "exact": exact}
    if not isinstance(library, str | os.PathLike | Library):
        queries = query if isinstance(query, list) else [query]
        every = search_several(queries, library, k, host or Host(), device, models, how)
        return every if isinstance(query, list) else every[0]
    with open_library(library) as opened:
        opened.check_filter(where or Filter())
        reader = QueryReader(opened, host or Host(), device, models)
        found = [reader.read(each) for each in (query if isinstance(query, list) else [query])]
        modalities = {space.modality for each in found for space in each.vectors}
        if found and where is not None and where.modality not in (None, *modalities):
            (modality,) = modalities
            raise SightsoundError(f"modality {where.modality}: expected {modality}, since the query is of {modality}s")
        hits = [with_times(each, opened) for each in opened.search_many(found, k, **how)]
    return hits if isinstance(query, list) else hits[0]


def search_tags(
    tags: str | Sequence[str],
    library: Libraries,
    *,
    k: int = 10,
    models: Sequence[str] = (),
    host: Host | None = None,
    min_score: float | None = None,
    where: Filter | None = None,
) -> list[Hit]:
    """Return the segments of sounds, and the images, that were tagged with any of some classes.

    A class is found where one below it in the ontology is, too. Scores are kept by `index`.

    Parameters
    ----------
    tags : str or sequence of str
        Labels or ids of classes, and "subtree:NAME" for all classes below one of AudioSet's ontology.
    library : path, Library, or sequence of these
        The library, or several, as for `search`.
    k : int
        How many segments and images to return at most.
    models : sequence of str
        The models whose tags count. Empty for all.
    host : Host or None
        Where models and the ontology are looked up. None stands for a new host of the installed plugins.
    min_score : float or None
        The lowest mean score, from 0 to 1.
    where : Filter or None
        Which items may be found.

    Returns
    -------
    list of Hit
        The highest mean score first.

    Raises
    ------
    LibraryError
        If the library keeps no scores, or is missing or damaged.
    UnknownClass
        If neither the library nor the ontology knows a name.
    MissingWeights
        If a subtree is named, and the file of the ontology cannot be had.
    """
    host, how = host or Host(), dict[str, Any]()
    if not isinstance(library, str | os.PathLike | Library):
        how = {"k": k, "models": models, "host": host, "min_score": min_score}
        return merge_tags(library, k, where, lambda each, own: search_tags(tags, each, where=own, **how))
    with open_library(library) as opened:
        expanded, ontology = _expanded([tags] if isinstance(tags, str) else tags, opened, host)
        wanted = frozenset().union(*expanded)
        spaces = [host.card(name).name for name in models]
        how = {"spaces": spaces, "min_score": min_score, "where": where, "ontology": ontology}
        return with_times(opened.search_tags(wanted, k, **how), opened)


def expand_tags_of(tags: Sequence[str], libraries: Sequence[Library], host: Host) -> tuple[frozenset[str], ...]:
    """Return what `expand_tags` does, for all of some libraries together; one that has no such tags is left out.

    Parameters
    ----------
    tags, host
        As of `expand_tags`.
    libraries : sequence of Library
        At least one.
    """
    problems, found = list[SightsoundError](), list[tuple[frozenset[str], ...]]()
    for library in libraries:
        try:
            found.append(expand_tags(tags, library, host))
        except (LibraryError, UnknownClass) as error:
            problems.append(error)
    if not found:
        raise problems[0]
    return tuple(frozenset().union(*sets) for sets in zip(*found))


def _ontology(classes: Sequence[tuple[str, str]], host: Host) -> Ontology | None:
    """Return AudioSet's ontology if any of the classes are of it, and the file can be had."""
    if not any(id_.startswith(MIDS) for _, id_ in classes):
        return None
    try:
        return load_ontology(host.weights)
    except MissingWeights as error:
        log.warning("classes below those that are named are not found: %s", error)
        return None


def expand_tags(tags: Sequence[str], library: Library, host: Host) -> tuple[frozenset[str], ...]:
    """Return the labels or ids that each tag stands for, as `Filter` takes them.

    Parameters
    ----------
    tags : sequence of str
        As for `search_tags`.
    library : Library
        The library.
    host : Host
        Where the ontology is looked up.

    Returns
    -------
    tuple of frozenset of str
        One for each tag.

    Raises
    ------
    LibraryError, UnknownClass, MissingWeights
        As `search_tags`.
    """
    return _expanded(tags, library, host)[0]


def _expanded(tags: Sequence[str], library: Library, host: Host) -> tuple[tuple[frozenset[str], ...], Ontology | None]:
    """Return what `expand_tags` does, and the ontology that it was done with."""
    if not tags:
        return (), None
    classes = library.tag_classes(known=True)
    if not classes:
        raise LibraryError(f"{library.path.name} keeps no scores of classes; run `sightsound index --scores` on it")
    labels = {label.casefold(): label for label, _ in classes}
    ids = {id_ for _, id_ in classes if id_}
    found, ontology = [], _ontology(classes, host)
    for tag in tags:
        if tag.casefold() in labels or tag in ids:
            name = labels.get(tag.casefold(), tag)
            below = ontology.expand(SUBTREE_PREFIX + name) if ontology and name in ontology else ()
            found.append(frozenset([name, *(node.id for node in below)]))
            continue
        try:
            found.append(frozenset(node.id for node in load_ontology(host.weights).expand(tag)))
        except (MissingWeights, UnknownClass) as error:
            if tag.startswith(SUBTREE_PREFIX) and isinstance(error, MissingWeights):
                raise
            near = nearest(tag, labels.values(), 0.5)
            advice = f"did you mean {near!r}?" if near else "`sightsound stats` lists its tags"
            raise UnknownClass(f"{library.path.name} has no tag {tag!r} among {len(labels)}; {advice}") from error
    return tuple(found), ontology
