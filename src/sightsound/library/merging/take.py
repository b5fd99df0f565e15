"""Compare two libraries before a merge, and take one into the other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sightsound.contract.paths import LIBRARY_FILE
from sightsound.library.merging.labels import Prefer, find_conflicts, require_no_conflicts
from sightsound.library.merging.merge import Merge, MergeReport
from sightsound.library.merging.source import MergeSource, reading
from sightsound.library.store.database import Database
from sightsound.library.store.lookup import Lookup
from sightsound.library.store.writer import Writer


def require_agreement(a: Path, b: Path) -> None:
    """Raise `MergeConflict` if the libraries in two folders say different things of the same files."""
    with contextlib.closing(Database(a / LIBRARY_FILE)) as first, first.snapshot(), _source(b) as second:
        blocks = ([item for item, _, _ in block] for block in second.blocks())
        require_no_conflicts(find_conflicts(blocks, Lookup(first.rows), second.lookup), (a.name, b.name))


def take_in(writer: Writer, folder: Path, prefer: Prefer, report: MergeReport, progress: bool | None) -> None:
    """Take the library in a folder into the one of a writer; parameters as of `Merge`."""
    with _source(folder) as source:
        Merge(source, writer, prefer, report).run(progress)


@contextlib.contextmanager
def _source(folder: Path) -> Iterator[MergeSource]:
    with contextlib.closing(Database(folder / LIBRARY_FILE)) as database, reading(database) as source:
        yield source
