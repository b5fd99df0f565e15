"""Whether a library is consistent: every problem with what to do about it. Nothing is changed."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import LIBRARY_FILE, PathLike
from sightsound.library.approximate.opened import Stamp
from sightsound.library.library import Library, open_library
from sightsound.library.store.database import Database
from sightsound.library.store.index_files import open_own
from sightsound.library.store.queries import RANGE_COLUMNS, read_index, read_segments, read_spaces
from sightsound.library.store.segments import MappedSegment, SegmentGone
from sightsound.library.store.validation import decode_range
from sightsound.library.store.verification import changed_contents
from sightsound.media.safe_open import error_line

_CHUNK = 2**14  # rows that are read at a time
_RESTORE = "restore the library from a copy"
_NEW_LIBRARY = "index into a new library"
_REINDEX_ITEM = "forget it and index it again"
_RELABEL = "clear its labels of time ranges (`sightsound label PATH --clear COLUMN --ranges`) and label it again"


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


@dataclass(frozen=True)
class _Missing(Problem):
    """A file of a segment that is not there: `compact` has replaced it meanwhile, or it is lost."""

    segment: int


def check(library: PathLike | Library, *, fast: bool = False) -> list[Problem]:
    """Return every problem of a library; an empty list for a sound one.

    The database, the fingerprints of the spaces, the files of rows with the checksum of every row, and the references
    between the tables are examined, all in the state of the last commit.

    Parameters
    ----------
    library : path-like or Library
        The library.
    fast : bool, default=False
        Whether to examine the sizes of the files and the counts of rows only, and not what is in the files.

    Returns
    -------
    list of Problem
    """
    examined = (_spaces, functools.partial(_segments, rows=False), _outcomes) if fast else _EXAMINED
    with open_library(library) as opened:  # which refuses what is no library
        database = Database(opened.path / LIBRARY_FILE)
    with contextlib.closing(database):
        while True:
            with database.snapshot():
                problems = _problems(database, examined)
            missing = [problem.segment for problem in problems if isinstance(problem, _Missing)]
            known = {id_ for (id_,) in database.rows("SELECT id FROM segments")} if missing else set()
            if known.issuperset(missing):
                return [Problem(problem.what, problem.remedy) for problem in problems]


def _problems(database: Database, examined: Sequence[Callable[[Database], Iterator[Problem]]]) -> list[Problem]:
    problems: list[Problem] = []
    for examine in examined:
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


def _segments(database: Database, rows: bool = True) -> Iterator[Problem]:
    """Find files that are missing, too short or foreign, and rows that are in no run, in two, or have changed."""
    for space_id, space in read_spaces(database).items():
        for facts in read_segments(database, space_id, space.dim):
            try:
                segment = MappedSegment(database.folder, facts)
            except SegmentGone as error:
                yield _Missing(str(error).rpartition(";")[0], _RESTORE, facts.id)
                continue
            except LibraryError as error:
                yield Problem(str(error).rpartition(";")[0], _RESTORE)
                continue
            yield from _coverage(database, segment)
            for content in changed_contents(database, segment) if rows else ():
                for (item,) in _items_of(database, content, space_id) or [("?",)]:
                    yield Problem(f"item {item}: its vectors in {space.name} have changed", _REINDEX_ITEM)


def _coverage(database: Database, segment: MappedSegment) -> Iterator[Problem]:
    """Find rows of a segment that are neither in a run nor removed, or more than once."""
    query = (
        "SELECT first, count FROM runs WHERE segment = ? UNION ALL SELECT first, count FROM removed WHERE segment = ?"
        " ORDER BY first"
    )
    expected = 0
    for first, count in database.iterate(query, segment.facts.id, segment.facts.id):
        if first != expected or count < 1:
            yield Problem(f"segment {segment.facts.id}: expected a run at row {expected}, got {first}", _NEW_LIBRARY)
            return
        expected += count
    if expected != len(segment):
        yield Problem(f"segment {segment.facts.id}: {len(segment)} rows, {expected} of them known", _NEW_LIBRARY)


def _items_of(database: Database, content: int, space: int) -> list[tuple[Any, ...]]:
    return database.rows("SELECT item FROM outcomes WHERE content = ? AND space = ? ORDER BY item", content, space)


def _outcomes(database: Database) -> Iterator[Problem]:
    """Find items without their rows, and rows without an item."""
    without = database.rows(
        "SELECT i.id, s.name FROM outcomes o JOIN items i ON i.id = o.item JOIN spaces s ON s.id = o.space"
        " WHERE o.status = 'ok' AND NOT EXISTS"
        " (SELECT 1 FROM runs r WHERE r.content = o.content AND r.space = o.space)"
    )
    for item, space in without:
        yield Problem(f"item {item} is ok in {space} but has no vectors there", _REINDEX_ITEM)
    unused = database.rows(
        "SELECT total(count) FROM runs r WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.content = r.content"
        " AND o.space = r.space AND o.status = 'ok')"
    )
    for (count,) in unused:
        if count:
            yield Problem(f"{int(count)} vectors belong to no item", "index the files again into a new library")


def _tags(database: Database) -> Iterator[Problem]:
    """Find tags and highest scores of contents without vectors, and tags of contents that were not tagged."""
    complete = "SELECT content, space FROM outcomes WHERE status = 'ok'"
    rows = "SELECT content, space FROM runs"
    for table, known in (("tagged", complete), ("tags", "SELECT content, space FROM tagged"), ("highest", rows)):
        query = f"SELECT count(*) FROM {table} WHERE (content, space) NOT IN (VALUES (-1, -1) UNION ALL {known})"
        for (count,) in database.rows(query):
            if count:
                yield Problem(f"{count} rows of {table} belong to no item", _NEW_LIBRARY)


def _ranges(database: Database) -> Iterator[Problem]:
    """Find labels of time ranges that are not valid."""
    for id_, item, *values in database.iterate(f"SELECT id, item, {RANGE_COLUMNS} FROM ranges ORDER BY id"):
        try:
            decode_range(*values)
        except (ValueError, TypeError) as error:
            yield Problem(f"label {id_} of a time range of item {item}: {error_line(error)}", _RELABEL)


def _indexes(database: Database) -> Iterator[Problem]:
    """Find indexes that have changed although they are signed; those of others are not used, and no problem."""
    for space_id, space in read_spaces(database).items():
        stored = read_index(database, space_id)
        if stored is None:
            continue
        with open_own(database.folder, stored) as number:
            if number is not None:
                with open(number, "rb", closefd=False) as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
                if found != Stamp.from_json(stored.stamp).digest:
                    yield Problem(f"the index of {space.name} has changed", "run `sightsound index-build`")


_EXAMINED = (_database, _spaces, _segments, _outcomes, _tags, _ranges, _indexes)
