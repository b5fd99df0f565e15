"""A query of any kind -> its rows in each space -> hits."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound.classify.ontology import SUBTREE_PREFIX
from sightsound.classify.ontology_file import load_ontology
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import (
    LibraryError,
    MediaError,
    MissingWeights,
    SightsoundError,
    SpaceMismatch,
    UnknownClass,
)
from sightsound.contract.results import Hit, Item, Outcome, Rows
from sightsound.contract.space import Space
from sightsound.host.host import Host
from sightsound.library.filters import Filter
from sightsound.library.library import Library
from sightsound.media import files
from sightsound.pipeline import run

log = logging.getLogger(__name__)
_PART = re.compile(r"(?P<path>.+)@(?P<start>\d+(\.\d+)?)-(?P<stop>\d+(\.\d+)?)", re.DOTALL)

Query = str | os.PathLike[str] | int | NDArray[Any]


def search(
    query: Query,
    library: str | os.PathLike[str] | Library,
    *,
    k: int = 10,
    models: Sequence[str] = (),
    host: Host | None = None,
    device: str = "auto",
    min_score: float | None = None,
    where: Filter | None = None,
) -> list[Hit]:
    """The `k` items of a library that look or sound most like the query, best first.

    The query is a file, a part of a recording (`dog.wav@1.0-2.5`, in seconds; an existing path of that name wins),
    the id of an item (an int), or a vector (dim,) or rows (n, dim) of one space. Without `models` every space of the
    query's modality that the library has takes part; over several the ranks are fused. The query's own content is
    left out. Raises `SpaceMismatch` where the library's vectors cannot be compared with the query's.
    """
    host = host or Host()
    with contextlib.ExitStack() as stack:
        opened = library if isinstance(library, Library) else stack.enter_context(Library(library))
        rows = _Rows(opened, host, device, models)
        rows.take(query)
        return opened.search(
            rows.found, k, min_score=min_score, where=where, leave_out=rows.content, query_spans=rows.spans
        )


def search_tags(
    tags: str | Sequence[str],
    library: str | os.PathLike[str] | Library,
    *,
    k: int = 10,
    models: Sequence[str] = (),
    host: Host | None = None,
    min_score: float | None = None,
    where: Filter | None = None,
) -> list[Hit]:
    """The `k` segments of sounds, and pictures, that were tagged with one of these classes (`index` with `tags`), the
    highest mean score first.

    `models` are those whose tags count, all where none is named. Tags are labels, ids of classes, and `subtree:NAME`
    of AudioSet's ontology. Raises `LibraryError` for a library without tags, and `UnknownClass` for a name that nobody
    knows.
    """
    host = host or Host()
    with contextlib.ExitStack() as stack:
        opened = library if isinstance(library, Library) else stack.enter_context(Library(library))
        named = [tags] if isinstance(tags, str) else tags
        meant = frozenset().union(*tags_of(named, opened, host))
        spaces = [host.card(name).name for name in models]
        return opened.tagged(meant, k, spaces=spaces, min_score=min_score, where=where)


def tags_of(tags: Sequence[str], library: Library, host: Host) -> tuple[frozenset[str], ...]:
    """For each tag the labels or ids that it stands for, as `Filter` takes them. Raises as `search_tags`."""
    classes = library.tag_classes()
    known = {label.casefold(): label for label, _ in classes}
    ids = {id_ for _, id_ in classes if id_}
    if tags and not library.rows("SELECT 1 FROM tagged LIMIT 1"):
        raise LibraryError(f"{library.path.name} has no tags; run `sightsound index --tags` on it")
    found = []
    for text in tags:
        if text.casefold() in known or text in ids:
            found.append(frozenset([known.get(text.casefold(), text)]))
            continue
        try:
            nodes = load_ontology(host.weights).expand(text)
            found.append(frozenset(node.id for node in nodes))
        except (MissingWeights, UnknownClass) as error:
            if text.startswith(SUBTREE_PREFIX) and isinstance(error, MissingWeights):
                raise
            near = difflib.get_close_matches(text.casefold(), known, n=1, cutoff=0.5)
            advice = f"did you mean {known[near[0]]!r}?" if near else "`sightsound stats` lists its tags"
            raise UnknownClass(f"{library.path.name} has no tag {text!r} among {len(known)}; {advice}") from error
    return tuple(found)


@dataclass
class _Rows:
    """The query's rows in each space, and its content where it is one of the library's."""

    library: Library
    host: Host
    device: str
    models: Sequence[str]
    found: dict[Space, Floats] = field(default_factory=dict)
    spans: dict[Space, Seconds | None] = field(default_factory=dict)
    content: bytes | None = None

    def take(self, query: Query) -> None:
        if isinstance(query, np.ndarray):
            self._vector(query)
        elif isinstance(query, int | np.integer):
            self._item(int(query))
        else:
            self._file(*part(query))

    def _vector(self, query: NDArray[Any]) -> None:
        numbers = query.dtype.kind in "fiu"
        rows = np.atleast_2d(query.astype(np.float32) if numbers else query)
        if not numbers or rows.ndim != 2 or not np.isfinite(rows).all():
            raise SightsoundError(f"query: expected finite numbers (dim,) or (n, dim), got {query.dtype} {query.shape}")
        fitting = [self.host.space(name) for name in self.models] or [
            space for space in self.library.spaces if space.dim == rows.shape[1]
        ]
        if len(fitting) != 1:
            names = ", ".join(space.name for space in fitting or self.library.spaces) or "none"
            raise SightsoundError(
                f"query: a vector of {rows.shape[1]} numbers fits {len(fitting)} spaces of {self.library.path.name} "
                f"({names}); name one with --model"
            )
        self.found[fitting[0]] = rows

    def _item(self, id_: int) -> None:
        item = self.library.item(id_)
        self.content = self.library.content(id_)
        wanted = {self.host.card(name).name for name in self.models}
        for space in self.library.spaces:
            if not wanted or space.name in wanted:
                self._stored(space)
        if not self.found:
            raise SpaceMismatch(
                f"item {id_} ({item}) has no vectors in {', '.join(self.models) or 'any space'}; index it first"
            )

    def _file(self, path: Path, start: float, stop: float | None) -> None:
        modality = media.identify(path)
        if stop is not None and modality != "sound":
            raise SightsoundError(f"{path}: expected a recording before @{start:g}-{stop:g}, got a picture")
        with path.open("rb") as file:
            self.content = hashlib.file_digest(file, "sha256").digest()
        for space, name in self._spaces(modality):
            self.library.require(space)
            if stop is not None or not self._stored(space):
                self._embed(space, name, run.Job(files.item_of(path), start, stop))

    def _spaces(self, modality: str) -> list[tuple[Space, str]]:
        """The spaces to ask: of the models named, else those of the library that this host can speak to."""
        if self.models:
            wrong = [name for name in self.models if self.host.card(name).modality != modality]
            if wrong:
                raise SightsoundError(f"{wrong[0]}: expected a model for {modality}s; see `sightsound models`")
            return [(self.host.space(name), name) for name in self.models]
        here = [space for space in self.library.spaces if space.modality == modality]
        usable, problems = [], []
        for space in here:
            try:
                mine = self.host.space(space.name)
                space.require(mine, f"{self.library.path.name}, {space.name}")
                usable.append((mine, space.name))
            except SightsoundError as error:
                problems.append(error)
        if not usable and problems:
            raise problems[0]
        if not usable:
            raise SpaceMismatch(
                f"{self.library.path.name} has no {modality}s; index some: "
                f"sightsound index PATH --library {self.library.path.name}"
            )
        for problem in problems:
            log.warning("left out of this search: %s", problem)
        return usable

    def _stored(self, space: Space) -> bool:
        """Takes the query's rows from the library where it has them."""
        assert self.content is not None
        found = self.library.vectors(space, self.content)
        if found is not None:
            self.found[space], self.spans[space] = found
        return found is not None

    def _embed(self, space: Space, name: str, job: run.Job) -> None:
        rows: list[Rows] = []
        with contextlib.closing(run.run(self.host.load(name, self.device), [job])) as batches:
            for event in (event for events in batches for event in events):
                if isinstance(event, Rows):
                    rows.append(event)
                elif event.status != "ok":
                    raise _refused(event, job)
        self.found[space] = np.concatenate([part.embeddings for part in rows])
        spans = [part.spans for part in rows if part.spans is not None]
        self.spans[space] = np.concatenate(spans) if spans else None


def part(query: str | os.PathLike[str]) -> tuple[Path, float, float | None]:
    """`dog.wav@1.0-2.5` -> (dog.wav, 1.0, 2.5); a path that exists is the whole file: (path, 0.0, None)."""
    text = os.fspath(query)
    match = _PART.fullmatch(text)
    if os.path.lexists(text) or match is None:
        if not os.path.exists(text):
            raise SightsoundError(f"{text}: no such file; to search by id or vector use --id or --vector")
        return Path(text), 0.0, None
    start, stop = float(match["start"]), float(match["stop"])
    if not os.path.exists(match["path"]):
        raise SightsoundError(f"{match['path']}: no such file")
    if start >= stop:
        raise SightsoundError(f"{text}: expected @START-STOP with START before STOP, in seconds")
    return Path(match["path"]), start, stop


def _refused(outcome: Outcome, job: run.Job) -> SightsoundError:
    item: Item = outcome.item
    if outcome.status == "no-windows":
        between = "" if job.stop is None else f" between {job.start:g} and {job.stop:g} s"
        length = "" if outcome.seconds is None else f" (it lasts {outcome.seconds:g} s)"
        return MediaError(f"{item}: nothing to search by{between}{length}; name another part")
    return MediaError(f"{item}: {outcome.reason}")
