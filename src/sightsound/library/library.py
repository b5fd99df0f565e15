"""The shared index: one folder, one store, one id range for every plugin and both modalities; SQLite is the truth."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import LibraryError, SightsoundError, SpaceMismatch
from sightsound.contract.results import Hit, Item, Outcome
from sightsound.contract.space import Space, hint
from sightsound.library import schema
from sightsound.library.filters import Filter
from sightsound.library.vector_index import Pair, VectorIndex
from sightsound.library.writer import Writer, locked, writing
from sightsound.media.files import LIBRARY_FILE

FUSION_K = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)."""

_FUSION_DEPTH = 1000  # ranks below this add less than 1/1060 to a fused score


P = ParamSpec("P")
R = TypeVar("R")


def _told(read: Callable[P, R]) -> Callable[P, R]:
    """What a damaged library makes of a method that reads it, said in one line."""

    @functools.wraps(read)
    def told(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return read(*arguments, **named)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            place = getattr(arguments[0], "path", "library")
            raise LibraryError(
                f"{place}: damaged ({type(error).__name__}: {error}); run `sightsound check`, restore it from a copy"
            ) from error

    return told


@dataclass
class _Loaded:
    generation: int
    neighbours: VectorIndex


class Library:
    """A library, open for reading: `with Library("zoo") as zoo: zoo.search(...)`.

    `create` makes the folder where there is none. Writing goes through `with library.writing() as writer`, one writer
    at a time; readers see what was committed last. Raises `LibraryError` where there is no library, where it is newer
    than this program, or damaged.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        self.path = Path(os.path.abspath(path))
        self._file = self.path / LIBRARY_FILE
        if not _there(self._file):
            if not create:
                raise LibraryError(f"no library at {self.path}; make one: sightsound index PATH --library {self.path}")
            _create(self._file)
        with schema.errors(self._file):
            self._db = schema.open_reading(self._file)
        self._loaded: dict[int, _Loaded] = {}

    def __enter__(self) -> Library:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def writing(self, *, max_bytes: int | None = None) -> Iterator[Writer]:
        """The one writer of this library, committed at the end and rolled back to the last commit on an error.

        `max_bytes` bounds the database file. Raises `LibraryError` that names the other writer where there is one.
        """
        with writing(self._file, max_bytes=max_bytes) as writer:
            if schema.is_copy(self._db):  # the file was of an older format, until the writer opened it
                self._db.close()
                self._db = schema.open_reading(self._file)
            yield writer

    # -- what is in it -------------------------------------------------------------------------------------------

    @property
    def roots(self) -> list[str]:
        """The folders that were indexed."""
        return [os.fsdecode(path) for (path,) in self.rows("SELECT path FROM roots ORDER BY path")]

    @property
    @_told
    def spaces(self) -> dict[Space, int]:
        """Every space with the number of its searchable vectors."""
        counts = dict(
            self.rows(
                "SELECT v.space, count(*) FROM vectors v WHERE NOT EXISTS"
                " (SELECT 1 FROM pending p WHERE p.content = v.content AND p.space = v.space) GROUP BY v.space"
            )
        )
        found = {}
        for id_, name, facts, fingerprint in self.rows("SELECT id, name, facts, fingerprint FROM spaces ORDER BY id"):
            space = Space(name, facts)
            if space.fingerprint != fingerprint:
                raise ValueError(f"the facts of space {name} do not give its fingerprint")
            found[space] = counts.get(id_, 0)
        return found

    @_told
    def items(self) -> list[Item]:
        """Every item, in the order of its id."""
        query = "SELECT i.id, r.path, i.path FROM items i JOIN roots r ON r.id = i.root ORDER BY i.id"
        return [Item(os.fsdecode(root), os.fsdecode(path), id_) for id_, root, path in self.rows(query)]

    @_told
    def item(self, id_: int) -> Item:
        """The item of an id. Raises `LibraryError` where there is none."""
        query = "SELECT r.path, i.path FROM items i JOIN roots r ON r.id = i.root WHERE i.id = ?"
        for root, path in self.rows(query, id_):
            return Item(os.fsdecode(root), os.fsdecode(path), id_)
        raise LibraryError(f"no item {id_} in {self.path.name}; `sightsound stats` and `search` show ids")

    @_told
    def labels(self, id_: int) -> dict[str, tuple[str, ...]]:
        """The labels of an item: column -> values."""
        found: dict[str, tuple[str, ...]] = {}
        for column, value in self.rows('SELECT "column", value FROM labels WHERE item = ? ORDER BY 1, 2', id_):
            found[column] = (*found.get(column, ()), value)
        return found

    @_told
    def outcomes(self) -> list[tuple[Outcome, str]]:
        """What became of every item, with the name of the space ('' where the item got to no model)."""
        query = (
            "SELECT i.id, r.path, i.path, o.status, o.reason, o.flags, o.seconds, o.facts, coalesce(s.name, '')"
            " FROM outcomes o JOIN items i ON i.id = o.item JOIN roots r ON r.id = i.root"
            " LEFT JOIN spaces s ON s.id = o.space ORDER BY i.id, o.space"
        )
        found = []
        for id_, root, path, status, reason, flags, seconds, facts, space in self.rows(query):
            item = Item(os.fsdecode(root), os.fsdecode(path), id_)
            found.append((Outcome(item, status, reason, tuple(flags.split()), seconds, json.loads(facts)), space))
        return found

    @_told
    def vectors(self, space: Space, content: bytes) -> tuple[Floats, Seconds | None] | None:
        """The stored rows of a content (its SHA-256) in a space: float32 (n, dim), seconds (n, 2) or None for images;
        None where the space does not hold it."""
        known = self.rows(
            "SELECT c.id, s.id FROM contents c JOIN spaces s JOIN outcomes o ON o.content = c.id AND o.space = s.id"
            " WHERE c.hash = ? AND s.name = ? AND s.fingerprint = ? AND o.status = 'ok'",
            *(content, space.name, space.fingerprint),
        )
        for content_id, space_id in known:
            query = "SELECT embedding, start, stop FROM vectors WHERE content = ? AND space = ? ORDER BY id"
            rows = self.rows(query, content_id, space_id)
            vectors = np.frombuffer(b"".join(row[0] for row in rows), "<f4").reshape(len(rows), -1)
            timed = space.modality == "sound"
            return vectors, np.array([row[1:] for row in rows], np.float64) if timed else None
        return None

    @_told
    def contents(self, space: Space, where: Filter | None = None) -> tuple[VectorIndex, dict[int, list[Item]]]:
        """All searchable vectors of a space, and for each content (a number) the items that have it. Raises
        `SpaceMismatch` for a space that the library does not have."""
        self.require(space)
        with self._snapshot():
            space_id, stored = self._neighbours(space)
            return stored, self._items_by_content(space_id, where or Filter(), None)

    @_told
    def content(self, id_: int) -> bytes:
        """The SHA-256 of an item's content when it was last seen."""
        for (found,) in self.rows("SELECT c.hash FROM items i JOIN contents c ON c.id = i.content WHERE i.id = ?", id_):
            return bytes(found)
        raise LibraryError(f"item {self.item(id_)} was never read; index it again")

    @_told
    def tag_classes(self) -> list[tuple[str, str]]:
        """The classes that items are tagged with, as label and id ("" where the network gives none)."""
        rows = self.rows("SELECT DISTINCT label, class FROM tags ORDER BY label, class")
        return [(label, id_) for label, id_ in rows]

    # -- search --------------------------------------------------------------------------------------------------

    def require(self, space: Space) -> None:
        """Raises `SpaceMismatch` where the library has no vectors in this space, and shows how it differs."""
        spaces = self.spaces
        if space in spaces:
            return
        for other in spaces:
            if other.name == space.name:
                raise SpaceMismatch(
                    f"{self.path.name} has vectors of {space.name} from another space: "
                    + "; ".join(other.differences(space))
                    + hint(other, space)
                )
        have = ", ".join(f"{s.name!r} ({n} vectors)" for s, n in spaces.items()) or "none"
        raise SpaceMismatch(
            f"{self.path.name} has no vectors in space {space.name!r}; it has {have}; "
            f"index with --model {space.name}, or search with one of those"
        )

    def search(
        self,
        queries: Mapping[Space, Floats],
        k: int = 10,
        *,
        min_score: float | None = None,
        where: Filter | None = None,
        leave_out: bytes | None = None,
        query_spans: Mapping[Space, Seconds | None] | None = None,
    ) -> list[Hit]:
        """The `k` items nearest to a query, best first.

        `queries` maps each space to the query's rows float32 (q, dim). In one space the score is the cosine of the
        best pair of windows; over several, the sum of 1 / (60 + rank) (reciprocal rank fusion), and `min_score`
        applies to the cosines before. `leave_out` is the SHA-256 of a content that is not to be found, usually the
        query's own. Raises `SpaceMismatch` for a space that the library does not have.
        """
        ranked = {}
        where = where or Filter()
        for space, rows in queries.items():
            self.require(space)
            if where.modality not in (None, space.modality):
                continue
            if np.ndim(rows) != 2 or np.shape(rows)[1] != space.dim:
                raise SightsoundError(
                    f"query: expected rows of {space.dim} numbers for {space.name}, got {np.shape(rows)}"
                )
            spans = (query_spans or {}).get(space)
            depth = k if len(queries) == 1 else max(k, _FUSION_DEPTH)
            floor = -1.0 if min_score is None else min_score
            ranked[space] = self._search(space, rows, depth, floor, where, leave_out, spans)
        return (_fused(ranked) if len(ranked) > 1 else [hit for hits in ranked.values() for hit in hits])[:k]

    @_told
    def _search(
        self,
        space: Space,
        rows: Floats,
        k: int,
        min_score: float,
        where: Filter,
        leave_out: bytes | None,
        spans: Seconds | None,
    ) -> list[Hit]:
        with self._snapshot():
            space_id, neighbours = self._neighbours(space)
            items = self._items_by_content(space_id, where, leave_out)
            allowed = np.isin(neighbours.contents, np.fromiter(items, np.int64, len(items)))
            pairs = neighbours.best(rows, k, allowed=allowed, min_score=min_score)
            hits = [self._hit(pair, item, space, neighbours, spans) for pair in pairs for item in items[pair.content]]
        return hits[:k]

    @_told
    def tagged(
        self,
        tags: Collection[str],
        k: int = 10,
        *,
        spaces: Collection[str] = (),
        min_score: float | None = None,
        where: Filter | None = None,
    ) -> list[Hit]:
        """The `k` segments of sounds and classes of pictures with the highest mean score among those whose label or
        id is one of `tags`, best first; of these `spaces` by name, or of all. `min_score` is the least mean."""
        where = where or Filter()
        hits: list[Hit] = []
        with self._snapshot():
            for id_, name, facts in self.rows("SELECT id, name, facts FROM spaces"):
                if where.modality not in (None, Space(name, facts).modality) or (spaces and name not in spaces):
                    continue
                items = self._items_by_content(id_, where, None)
                named, values = _one_of(tags)
                query = f"SELECT content, label, start, stop, mean FROM tags WHERE space = ? AND {named}"
                for content, label, start, stop, mean in self.rows(query, id_, *values):
                    if min_score is not None and mean < min_score:
                        continue
                    seconds = None if start is None else (start, stop)
                    hits += [Hit(item, mean, seconds, None, {}, (name,), label) for item in items.get(content, ())]
            hits.sort(key=lambda hit: (-hit.score, hit.item.id, hit.seconds or (), hit.tag))
            return [replace(hit, labels=self.labels(hit.item.id or 0)) for hit in hits[:k]]

    def _hit(self, pair: Pair, item: Item, space: Space, neighbours: VectorIndex, spans: Seconds | None) -> Hit:
        start, stop = neighbours.spans[pair.row]
        return Hit(
            item,
            pair.score,
            None if np.isnan(start) else (float(start), float(stop)),
            None if spans is None else (float(spans[pair.query_row][0]), float(spans[pair.query_row][1])),
            self.labels(item.id) if item.id is not None else {},
            (space.name,),
        )

    def _neighbours(self, space: Space) -> tuple[int, VectorIndex]:
        """The vectors of a space, read anew when its generation has moved on."""
        query = "SELECT id, generation FROM spaces WHERE name = ? AND fingerprint = ?"
        ((id_, generation),) = self.rows(query, space.name, space.fingerprint)
        loaded = self._loaded.get(id_)
        if loaded is None or loaded.generation != generation:
            loaded = self._loaded[id_] = _Loaded(generation, self._read(id_, space))
        return id_, loaded.neighbours

    def _read(self, space_id: int, space: Space) -> VectorIndex:
        of_items = (
            "FROM vectors v WHERE v.space = ? AND v.content IN"
            " (SELECT content FROM outcomes WHERE space = ? AND status = 'ok')"
        )
        ((count,),) = self.rows(f"SELECT count(*) {of_items}", space_id, space_id)
        vectors = np.empty((count, space.dim), np.float32)
        contents, spans = np.empty(count, np.int64), np.full((count, 2), np.nan)
        query = f"SELECT v.content, v.start, v.stop, v.embedding {of_items} ORDER BY v.id"
        for at, (content, start, stop, row) in enumerate(self._db.execute(query, (space_id, space_id))):
            vectors[at] = np.frombuffer(row, "<f4")
            contents[at] = content
            if start is not None:
                spans[at] = start, stop
        return VectorIndex(vectors, contents, spans)

    def _items_by_content(self, space_id: int, where: Filter, leave_out: bytes | None) -> dict[int, list[Item]]:
        query = (
            "SELECT o.content, i.id, r.path, i.path, o.seconds, o.facts FROM outcomes o"
            " JOIN items i ON i.id = o.item JOIN roots r ON r.id = i.root JOIN contents c ON c.id = o.content"
            " WHERE o.space = ? AND o.status = 'ok' AND c.hash IS NOT ? ORDER BY i.id"
        )
        labelled = self._labelled(where.labels)
        tagged = self._tagged(where.tags)
        known = where.known()
        found: dict[int, list[Item]] = {}
        for content, id_, root, path, seconds, facts in self.rows(query, space_id, leave_out):
            item = Item(os.fsdecode(root), os.fsdecode(path), id_)
            if (labelled is not None and id_ not in labelled) or (tagged is not None and content not in tagged):
                continue
            if where.fits(item.path) and (not where.facts or known({"seconds": seconds, **json.loads(facts)})):
                found.setdefault(content, []).append(item)
        return found

    def _labelled(self, labels: Sequence[str]) -> set[int] | None:
        """The items that have all of these labels, or None where no label is asked for."""
        sets = []
        for label in labels:
            column, sign, value = label.partition("=")
            query, values = "SELECT item FROM labels WHERE value = ?", [label]
            if sign:
                query, values = f'{query} AND "column" = ?', [value, column]
            sets.append({item for (item,) in self.rows(query, *values)})
        return set.intersection(*sets) if sets else None

    def _tagged(self, tags: Sequence[Collection[str]]) -> set[int] | None:
        """The contents that have one tag of each of these sets, or None where no tag is asked for."""
        sets = []
        for names in tags:
            named, values = _one_of(names)
            sets.append({content for (content,) in self.rows(f"SELECT content FROM tags WHERE {named}", *values)})
        return set.intersection(*sets) if sets else None

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Several reads of one state, whatever a writer commits meanwhile."""
        with schema.errors(self._file):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    @_told
    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query reads from the tables (schema.py), for those who look deeper than this class does."""
        with schema.errors(self._file):
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.ProgrammingError as error:
                raise LibraryError(f"{self.path}: the library was closed") from error


def _one_of(tags: Collection[str]) -> tuple[str, list[str]]:
    """The condition that a tag has one of these labels or ids, and its values."""
    marks = ", ".join("?" * len(tags))
    return f"(label COLLATE NOCASE IN ({marks}) OR class IN ({marks}))", [*tags, *tags]


def _there(file: Path) -> bool:
    try:
        return file.exists()
    except OSError as error:
        raise LibraryError(
            f"library {file.parent}: cannot be opened ({error.strerror}); see that it may be read"
        ) from error


def _create(file: Path) -> None:
    folder = file.parent
    if folder.exists() and not folder.is_dir():
        raise LibraryError(f"{folder}: expected a folder, got a file; name another --library")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = [path.name for path in folder.iterdir() if not path.name.startswith(("writer.", "library."))]
    except OSError as error:
        raise LibraryError(
            f"{folder}: cannot make a library here ({error.strerror}); name another --library"
        ) from error
    if others:
        raise LibraryError(
            f"{folder}: expected a library or an empty folder, it holds {others[0]!r}; name a new folder"
        )
    with locked(file):
        if not file.exists():
            schema.create(file)


def _fused(ranked: Mapping[Space, list[Hit]]) -> list[Hit]:
    """Reciprocal rank fusion: every ranking adds 1 / (60 + rank), ranks from 1; seconds come from the best rank."""
    scores: dict[int | None, float] = {}
    best: dict[int | None, tuple[int, Hit]] = {}
    spaces: dict[int | None, tuple[str, ...]] = {}
    for space, hits in ranked.items():
        for rank, hit in enumerate(hits, 1):
            id_ = hit.item.id
            scores[id_] = scores.get(id_, 0.0) + 1 / (FUSION_K + rank)
            spaces[id_] = (*spaces.get(id_, ()), space.name)
            if id_ not in best or rank < best[id_][0]:
                best[id_] = rank, hit
    order = sorted(scores, key=lambda id_: (-scores[id_], id_ or 0))
    return [
        Hit(hit.item, scores[id_], hit.seconds, hit.query_seconds, hit.labels, spaces[id_])
        for id_ in order
        for hit in (best[id_][1],)
    ]
