"""Building approximate indexes of a library."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sightsound._progress import bar
from sightsound.contract.arrays import Floats
from sightsound.contract.errors import LibraryError
from sightsound.contract.paths import PathLike
from sightsound.contract.space import Space
from sightsound.library.approximate.indexes import VectorIndex
from sightsound.library.approximate.kinds import (
    IndexKind,
    choose,
    load_faiss,
    memory_bytes,
    sample_count,
    threads,
    trained,
)
from sightsound.library.approximate.list_files import ListFiles
from sightsound.library.approximate.measuring import Measurement
from sightsound.library.approximate.opened import OpenIndex, Stamp, facts_of, own_path
from sightsound.library.library import Library, open_library
from sightsound.library.space_rows import RowsView
from sightsound.library.store.files import new_file
from sightsound.library.store.index_files import StoredIndex
from sightsound.library.store.user_key import user_key
from sightsound.media.safe_open import error_line

log = logging.getLogger(__name__)
_LARGEST = 1.01  # of a number of a row, which has length 1 up to rounding


def build_index(
    library: PathLike | Library,
    *,
    kind: str = "auto",
    spaces: Sequence[Space] = (),
    memory: int | None = None,
    progress: bool | None = None,
) -> dict[Space, VectorIndex | None]:
    """Build an approximate index of each space of a library, in place of the one there is.

    Searches use it from then on. Rows that are added later are searched exactly. The lock for writing is held
    meanwhile; the library can be searched.

    Parameters
    ----------
    library : path-like or Library
        The library.
    kind : {"auto", "hnsw", "ivf", "ivf-sq8", "ivf-pq"}
        What to build. "auto" takes none for under 50,000 rows, which are searched exactly in no time, `hnsw` for up to
        200,000, and for more `ivf-sq8`, or `ivf-pq` if the rows with 8 bits a number would take over half of memory.
    spaces : sequence of Space
        Spaces of the library. Empty for all.
    memory : int or None
        Bytes of memory, for "auto". None stands for the memory of this machine.
    progress : bool or None
        Whether to show progress bars. None stands for "on a terminal".

    Returns
    -------
    dict of Space to VectorIndex or None
        What was built; None where "auto" builds none.

    Raises
    ------
    SpaceMismatch
        If the library does not have one of the spaces.
    LibraryError
        If another process writes to the library, or it is damaged, or the disk is full.
    SightsoundError
        If there is no such kind, or it does not fit the rows or the memory.
    """
    with open_library(library) as opened:
        for space in spaces:
            opened.require(space)
        return {
            space: _build(opened, space, kind, memory or memory_bytes(), progress) for space in spaces or opened.spaces
        }


def _build(library: Library, space: Space, wanted: str, memory: int, progress: bool | None) -> VectorIndex | None:
    with library.writing() as writer:
        space_id, generation, rows = library.mapped_rows(space)
        stamp = Stamp(space.fingerprint, generation, tuple(facts_of(rows.runs)))
        kind = choose(wanted, sum(runs.count for runs in rows.runs), space.dim, memory)
        if kind is None:
            return None
        user_key(create=True)  # so that it is not missed after an hour
        try:
            with new_file(library.path, "library.index-") as part:
                with threads():
                    _write_file(part, kind, rows, space.dim, progress)
                with part.open("rb") as file:
                    stamp = dataclasses.replace(stamp, digest=hashlib.file_digest(file, "sha256").hexdigest())
                    parameters, recall = Measurement(rows, OpenIndex(own_path(file.fileno()), kind, stamp)).run(
                        progress
                    )
                    size = os.fstat(file.fileno()).st_size
                report = json.dumps({"parameters": parameters, "recall": recall})
                index = StoredIndex(space_id, secrets.token_hex(8), kind.name, stamp.to_json(), report)
                writer.add_index(part, index)
                writer.commit()
        except OSError as error:
            raise LibraryError(
                f"{library.path}: the index cannot be written ({error_line(error)}); free some space"
            ) from error
    return VectorIndex(kind.name, stamp.rows, size, parameters, recall)


def _write_file(part: Path, kind: IndexKind, rows: RowsView, dim: int, progress: bool | None) -> None:
    """Train an index, add all rows block by block, and write it to an empty file."""
    total = sum(len(runs.segment) for runs in rows.runs)
    log.info("training an index of kind %s", kind.name)
    index = trained(kind, _sample(rows, sample_count(kind, total, dim), dim), total)
    with bar(total, "index", progress, unit="row") as shown:
        if kind.effort != "nprobe":
            for block, _ in _blocks(rows):
                index.add(block)
                shown.update(len(block))
            load_faiss().write_index(index, str(part))
            return
        with ListFiles(index, part.parent) as lists, part.open("wb") as file:
            for block, first in _blocks(rows):
                lists.add(block, np.arange(first, first + len(block)))
                shown.update(len(block))
            lists.write(file)


def _blocks(rows: RowsView) -> Iterator[tuple[Floats, int]]:
    """Yield blocks of all rows, and the number of their first row in the index."""
    first = 0
    for runs in rows.runs:
        for start, count in runs.segment.blocks():
            block = np.ascontiguousarray(runs.segment.unit_rows(start, count))
            if not (block.max() < _LARGEST and block.min() > -_LARGEST):  # also for NaN
                raise rows.damaged("a vector is not finite, or not of length 1")
            yield block, first + start
        first += len(runs.segment)


def _sample(rows: RowsView, count: int, dim: int) -> Floats:
    """Return about `count` rows from all over the space, float32 (n, dim)."""
    total = sum(len(runs.segment) for runs in rows.runs)
    chosen = np.sort(np.random.default_rng(0).choice(total, count, replace=False))
    sample, first, done = np.empty((count, dim), np.float32), 0, 0
    for runs in rows.runs:
        inside = chosen[(chosen >= first) & (chosen < first + len(runs.segment))] - first
        for at in range(0, len(inside), 2**13):
            part = inside[at : at + 2**13]
            sample[done : done + len(part)] = runs.segment.take(part)
            done += len(part)
        first += len(runs.segment)
    if not np.isfinite(sample).all():
        raise rows.damaged("a vector is not finite, or not of length 1")
    return sample
