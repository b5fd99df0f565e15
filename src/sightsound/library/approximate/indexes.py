"""The indexes of a library that may be used: those that this user built here, and that fit the rows."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass

from sightsound.library.approximate.opened import OpenIndex, Stamp, facts_of, kind_of, own_path
from sightsound.library.space_rows import SpaceRows
from sightsound.library.store.database import Database
from sightsound.library.store.index_files import StoredIndex, index_file, open_own
from sightsound.library.store.queries import read_index, read_segments
from sightsound.media.safe_open import error_line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VectorIndex:
    """An approximate index of a space, and how good it was when it was built.

    Parameters
    ----------
    kind : {"hnsw", "ivf", "ivf-sq8", "ivf-pq"}
        What it is.
    rows : int
        How many rows it was built from.
    bytes : int
        Size of the file.
    parameters : dict
        Parameters of FAISS that searches use: `nprobe` or `efSearch`, and the same with `filtered`.
    recall : dict
        Proportion of the nearest contents that it finds: "10" and "100" for the ten and the hundred nearest, and
        "10 filtered" and "100 filtered" under a filter that keeps 1 % of the contents.
    usable : bool
        Whether searches use it: it was built by this user, here, and fits the present rows.
    """

    kind: str
    rows: int
    bytes: int
    parameters: dict[str, int]
    recall: dict[str, float]
    usable: bool = True

    def describe(self, *, filtered: bool = False) -> str:
        """Return one line about a search that used it.

        Parameters
        ----------
        filtered : bool
            Whether the search had a filter.
        """
        condition = " under a filter" if filtered else ""
        recall = self.recall["10 filtered" if filtered else "10"]
        return f"approximate ({self.kind}): recall@10 {recall:.2f}{condition}; --exact searches all"


@dataclass
class UsableIndex:
    """An open index, with what was measured of it and what the file was like."""

    index: OpenIndex
    facts: VectorIndex
    stored: StoredIndex
    file: tuple[int, ...]


class Indexes:
    """The indexes of a library, opened when they are first needed.

    Parameters
    ----------
    database : Database
        The library.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: dict[int, UsableIndex] = {}
        self._told: set[str] = set()

    def usable(self, space_id: int, rows: SpaceRows) -> UsableIndex | None:
        """Return the index of a space, open, or None if there is none that may be used.

        Parameters
        ----------
        space_id : int
            Number of the space.
        rows : SpaceRows
            Its rows; call inside `SpaceReader.reading`.
        """
        stored = read_index(self._database, space_id)
        if stored is None:
            return None
        found = self._open.get(space_id)
        if found is None or found.stored != stored or found.file != self._file(stored):
            self._open.pop(space_id, None)
            found = self._opened(stored)
        if found is not None and found.index.stamp.fits(rows.space.fingerprint, facts_of(rows.runs)):
            self._open[space_id] = found
            return found
        self._tell(stored, rows.space.name)
        return None

    def facts(self, space_id: int, fingerprint: str, dim: int) -> VectorIndex | None:
        """Return what was measured of the index of a space, also of one that cannot be used, or None if there is none.

        Parameters
        ----------
        space_id : int
            Number of the space.
        fingerprint, dim : str, int
            Of the space.
        """
        stored = read_index(self._database, space_id)
        if stored is None:
            return None
        with open_own(self._database.folder, stored) as number:
            size = 0 if number is None else os.fstat(number).st_size
            usable = number is not None
        with self._database.decoding():
            stamp = Stamp.from_json(stored.stamp)
            segments = [(each.id, each.name, each.rows) for each in read_segments(self._database, space_id, dim)]
            return _facts(stored, stamp, size, usable and stamp.fits(fingerprint, segments))

    def _opened(self, stored: StoredIndex) -> UsableIndex | None:
        with open_own(self._database.folder, stored) as number:
            if number is None:
                return None
            facts, stamp = os.fstat(number), Stamp.from_json(stored.stamp)
            try:
                index = OpenIndex(own_path(number), kind_of(stored.kind), stamp)
            except (RuntimeError, ValueError) as error:  # the disk, since the file is our own
                log.warning("%s: its index cannot be read (%s)", self._database.file.parent, error_line(error))
                return None
            return UsableIndex(index, _facts(stored, stamp, facts.st_size, True), stored, _identity(facts))

    def _file(self, stored: StoredIndex) -> tuple[int, ...]:
        try:
            return _identity(os.lstat(index_file(self._database.folder, stored.name)))
        except OSError:
            return ()

    def _tell(self, stored: StoredIndex, space: str) -> None:
        if str(stored.name) not in self._told:
            self._told.add(str(stored.name))
            log.warning(
                "%s: its index of %s was not built here by you, or has changed, and is not used; "
                "`sightsound index-build` builds it anew",
                *(self._database.file.parent, space),
            )


def _facts(stored: StoredIndex, stamp: Stamp, size: int, usable: bool) -> VectorIndex:
    report, kind = json.loads(stored.report), kind_of(stored.kind)
    recall = {str(name): float(value) for name, value in report["recall"].items()}
    parameters = {str(name): int(value) for name, value in report["parameters"].items()}
    names = {f"{name}{filtered}" for name in ("10", "100") for filtered in ("", " filtered")}
    if recall.keys() != names or parameters.keys() != {kind.effort, f"{kind.effort} filtered"}:
        raise ValueError(f"index of kind {kind.name}: expected its recall and parameters")
    return VectorIndex(kind.name, stamp.rows, size, parameters, recall, usable)


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
