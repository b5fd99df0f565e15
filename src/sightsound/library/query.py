"""The vectors of a query: of a file, a part of a recording, an item of a library, words, or vectors already."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound.classify.model_choice import require_text
from sightsound.classify.text_classes import finite_text_rows
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Modality
from sightsound.contract.errors import MediaError, SightsoundError, SpaceMismatch, UnknownModel
from sightsound.contract.imported_space import origin_of
from sightsound.contract.results import Outcome
from sightsound.contract.seconds import TIME, parse_seconds
from sightsound.contract.space import Space
from sightsound.host.advice import installed_space, require_not_imported
from sightsound.host.host import Host
from sightsound.library.library import Library
from sightsound.library.query_types import QueryVectors, SpaceKey, Text, Vectors
from sightsound.media import files
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import embed_items

log = logging.getLogger(__name__)
_PART = re.compile(rf"(?P<path>.+)@(?P<start>{TIME})-(?P<stop>{TIME})", re.DOTALL)

_PART_FORM = "expected @START-STOP with START before STOP, in seconds or as 1:30 and 1:02:03.5"

Made = dict[tuple[Space, object], tuple[Floats, Seconds | None]]
"""Vectors of queries that were made for one library and serve for others: by space, and file with seconds, or words."""

Query = str | os.PathLike[str] | int | NDArray[Any] | Text | Vectors


class QueryReader:
    """Makes the vectors of queries to one library.

    Parameters
    ----------
    library : Library
        The library, whose stored vectors are used where it has the query's content.
    host : Host
        Where models are looked up.
    device : str
        Where the models run, see `Host.load`.
    models : sequence of str
        The models whose spaces take part. Empty for every space of the query's modality.
    made : dict or None
        Vectors that were made for other libraries; those that are made now are added.
    """

    def __init__(
        self, library: Library, host: Host, device: str, models: Sequence[str], made: Made | None = None
    ) -> None:
        self._library, self._host, self._device, self._models = library, host, device, models
        self._made: Made = {} if made is None else made

    def read(self, query: Query) -> QueryVectors:
        """Return the vectors of a query.

        Parameters
        ----------
        query : path, int, Text, Vectors or ndarray
            See `search`.

        Returns
        -------
        QueryVectors

        Raises
        ------
        SpaceMismatch
            If the library has no space that the query can be compared in.
        MediaError
            If the file cannot be read.
        SightsoundError
            If the query is of no known kind, or has no vectors.
        """
        if isinstance(query, np.ndarray):
            return self._of_array(query)
        if isinstance(query, int | np.integer):
            return self._of_item(int(query))
        if isinstance(query, Text):
            return self._of_text(query.text)
        if isinstance(query, Vectors):
            return self._of_vectors(query)
        return self._of_file(*split_part(query))

    def _of_array(self, query: NDArray[Any]) -> QueryVectors:
        numeric = query.dtype.kind in "fiu"
        rows = np.atleast_2d(query.astype(np.float32) if numeric else query)
        if not numeric or rows.ndim != 2 or not np.isfinite(rows).all():
            raise SightsoundError(f"query: expected finite numbers (dim,) or (n, dim), got {query.dtype} {query.shape}")
        fitting = [self._imported(name) or self._host.space(name) for name in self._models] or [
            space for space in self._library.spaces if space.dim == rows.shape[1]
        ]
        if len(fitting) != 1:
            names = ", ".join(space.name for space in fitting or self._library.spaces) or "none"
            raise SightsoundError(
                f"query: a vector of {rows.shape[1]} numbers fits {len(fitting)} spaces of {self._library.path.name} "
                f"({names}); name one of these models (--model)"
            )
        return QueryVectors({fitting[0]: rows})

    def _of_item(self, id_: int) -> QueryVectors:
        item, found = self._library.item(id_), QueryVectors(content=self._library.content(id_))
        wanted = self._names()
        for space in self._library.spaces:
            if not wanted or space.name in wanted:
                self._add_stored(found, space)
        if not found.vectors:
            models = ", ".join(self._models) or "any space"
            raise SpaceMismatch(f"item {id_} ({item}) has no vectors in {models}; index it first")
        return found

    def _of_file(self, path: Path, start: float, stop: float | None) -> QueryVectors:
        modality = media.identify(path)
        if stop is not None and modality != "sound":
            raise SightsoundError(f"{path}: expected a recording before @{start:g}-{stop:g}, got an image")
        found = QueryVectors(content=_sha256(path))
        for space, model in self._spaces(modality, found.content if stop is None else None):
            self._library.require(space)
            if stop is not None or not self._add_stored(found, space):
                self._add_embedded(found, space, model, Job(files.item_of(path), start, stop))
        return found

    def _of_text(self, text: str) -> QueryVectors:
        found = QueryVectors()
        for space, name in self._text_spaces():
            self._library.require(space)
            if (space, text) not in self._made:
                loaded = self._host.load(name, self._device, only_words=True)
                self._made[space, text] = finite_text_rows(loaded, [text]), None
            found.vectors[space] = self._made[space, text][0]
        return found

    def _of_vectors(self, query: Vectors) -> QueryVectors:
        wanted = self._names()
        rows = {key: rows for key, rows in query.rows.items() if not wanted or key[0] in wanted}
        names = ", ".join(name for name, _ in query.rows)
        if not rows:
            raise SightsoundError(f"{query.name}: no vectors of {', '.join(self._models)}, only of {names}")
        spaces = {(space.name, space.fingerprint): space for space in self._library.spaces}
        strange = [key for key in rows if key not in spaces]
        if len(strange) == len(rows):
            raise _other_space(self._library.path.name, strange[0], spaces)
        for name, _ in strange:
            log.warning("left out of this search: %s has no such vectors of %s", self._library.path.name, name)
        return QueryVectors({spaces[key]: found for key, found in rows.items() if key in spaces})

    def _imported(self, name: str) -> Space | None:
        """Return the space of imported rows of this name, None if the library has none."""
        return next((space for space in self._library.spaces if space.name == name and origin_of(space)), None)

    def _names(self) -> set[str]:
        """Return the names of the spaces that were named by their models."""
        return {name if self._imported(name) else self._host.card(name).name for name in self._models}

    def _spaces(self, modality: Modality, content: bytes | None) -> list[tuple[Space, str]]:
        """Return the spaces to search with their models: those named, or those of the library that are installed.

        A space of imported rows is one of them if it has the content.
        """
        if self._models:
            return [(self._named_space(name, modality, content), name) for name in self._models]
        name = self._library.path.name
        missing = f"{name} has no {modality}s; index some: sightsound index PATH --library {name}"
        return self._usable([space for space in self._library.spaces if space.modality == modality], missing, content)

    def _named_space(self, name: str, modality: Modality, content: bytes | None) -> Space:
        imported = self._imported(name)
        found = self._host.space(name) if imported is None else imported
        if found.modality != modality:
            raise SightsoundError(f"{name}: expected a model for {modality}s; see `sightsound models`")
        if imported is not None and not self._has(imported, content):
            require_not_imported(imported, f"{self._library.path.name}, {name}")
        return found

    def _has(self, space: Space, content: bytes | None) -> bool:
        return content is not None and self._library.vectors(space, content) is not None

    def _text_spaces(self) -> list[tuple[Space, str]]:
        """Return the spaces to search by words with their models: those named, or those that take words."""
        if self._models:
            for name in self._models:
                require_text(self._host, self._host.card(name))
            return [(self._host.space(name), name) for name in self._models]
        installed = [name for name, card in self._host.cards.items() if card.text]
        name, spaces = self._library.path.name, list(self._library.spaces)
        have = f"only {', '.join(space.name for space in spaces)}" if spaces else "and no others"
        such = f", such as --model {installed[0]}" if installed else "; none is installed: see `sightsound models`"
        missing = (
            f"{name} has no space of an installed network that takes words, {have}; index with one that does{such}"
        )
        return self._usable([space for space in spaces if self._takes_text(space)], missing)

    def _takes_text(self, space: Space) -> bool:
        """Return whether the network of a space takes words, or may do so, but cannot be used for a reason to tell."""
        try:
            return self._host.card(space.name).text
        except SightsoundError as error:
            return not isinstance(error, UnknownModel)

    def _usable(self, spaces: Sequence[Space], missing: str, content: bytes | None = None) -> list[tuple[Space, str]]:
        """Return those of the library's spaces that the installed models have, with their models.

        So are those of imported rows that have the content. Others are left out with a warning, or raise their error
        if there is none to search in.
        """
        usable: list[tuple[Space, str]] = []
        problems: list[SightsoundError] = []
        for space in spaces:
            if origin_of(space) and self._has(space, content):
                usable.append((space, space.name))
                continue
            try:
                installed = installed_space(self._host, space, f"{self._library.path.name}, {space.name}")
                usable.append((installed, space.name))
            except SightsoundError as error:
                problems.append(error)
        if not usable:
            raise problems[0] if problems else SpaceMismatch(missing)
        for problem in problems:
            log.warning("left out of this search: %s", problem)
        return usable

    def _add_stored(self, found: QueryVectors, space: Space) -> bool:
        """Add the vectors that the library has of the query's content; return whether it has any."""
        assert found.content is not None
        stored = self._library.vectors(space, found.content)
        if stored is not None:
            found.vectors[space], found.spans[space] = stored
        return stored is not None

    def _add_embedded(self, found: QueryVectors, space: Space, model: str, job: Job) -> None:
        key = space, (job.item, job.start, job.stop)
        if key not in self._made:
            with embed_items(self._host.load(model, self._device), [job]) as items:
                embedded = next(items)
            if embedded.embeddings is None:
                raise _no_vectors(embedded.outcome, job)
            self._made[key] = embedded.embeddings, embedded.spans
        found.vectors[space], found.spans[space] = self._made[key]


def split_part(query: str | os.PathLike[str]) -> tuple[Path, float, float | None]:
    """Split the seconds off the path of a query.

    Parameters
    ----------
    query : path
        A file, or a part of a recording, as in "dog.wav@1.0-2.5" (seconds) or "dog.wav@1:30-1:40". A path that exists
        is a whole file.

    Returns
    -------
    path : Path
        The file.
    start : float
        Seconds. 0.0 for a whole file.
    stop : float or None
        Seconds. None for a whole file.

    Raises
    ------
    SightsoundError
        If there is no such file, or the part ends before it starts.
    """
    text = os.fspath(query)
    match = _PART.fullmatch(text)
    if os.path.lexists(text) or match is None:
        file, sign, part = text.rpartition("@")
        if sign and not os.path.lexists(text) and os.path.exists(file):
            raise SightsoundError(f"{text}: {_PART_FORM}, got @{part}")
        if not os.path.exists(text):
            raise SightsoundError(
                f"{text}: no such file; a query is a file, words (--text), an id (--id) or a vector (--vector)"
            )
        return Path(text), 0.0, None
    start, stop = parse_seconds(match["start"]), parse_seconds(match["stop"])
    if not os.path.exists(match["path"]):
        raise SightsoundError(f"{match['path']}: no such file")
    if start >= stop:
        raise SightsoundError(f"{text}: {_PART_FORM}, got {start:g} to {stop:g} s")
    return Path(match["path"]), start, stop


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read, {error.strerror}; copy it anew, or leave it out") from error


def _other_space(library: str, wanted: SpaceKey, spaces: Iterable[SpaceKey]) -> SpaceMismatch:
    """Return the error for vectors of a space that the library does not have."""
    name, fingerprint = wanted
    known = next((other for other_name, other in spaces if other_name == name), None)
    if known is not None:
        both = f"fingerprint {known[:12]}, got {fingerprint[:12]}"
        return SpaceMismatch(f"{library} has vectors of {name} from another space ({both}); embed the query anew")
    have = ", ".join(name for name, _ in spaces) or "none"
    return SpaceMismatch(f"{library} has no vectors in space {name!r}; it has {have}; index with --model {name}")


def _no_vectors(outcome: Outcome, job: Job) -> SightsoundError:
    """Return the error for a query that has no vectors."""
    if outcome.status == "no-windows":
        between = "" if job.stop is None else f" between {job.start:g} and {job.stop:g} s"
        length = "" if outcome.seconds is None else f" (it lasts {outcome.seconds:g} s)"
        return MediaError(f"{outcome.item}: nothing to search by{between}{length}; name another part")
    return MediaError(f"{outcome.item}: {outcome.reason}")
