"""The rows of a space in a file: Parquet, CSV, or an archive of NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sightsound._atomic import atomic_path
from sightsound._progress import bar
from sightsound.contract.paths import PathLike
from sightsound.contract.row_names import FACT
from sightsound.contract.space import Space
from sightsound.formats.columns import Batch, Column, count_of
from sightsound.formats.npz import write_npz
from sightsound.formats.writing import require_ending, write_table
from sightsound.library.export.places import require_apart, require_room_for_dictionary, write_dictionary
from sightsound.library.filters import Filter
from sightsound.library.library import Library, open_library
from sightsound.library.row_table import EMBEDDING, row_batches, row_columns, row_metadata, score_metadata

ENDINGS = (".parquet", ".csv", ".npz")
"""The endings of the files that `export_rows` writes."""

_PLURALS = {"path": "paths", "root": "roots", EMBEDDING: "embeddings"}  # as in the files of `save_embeddings`
_SECONDS = Column("seconds", "span", "where the window starts and stops in the recording", "s", dim=2)


def export_rows(
    library: PathLike | Library,
    file: PathLike,
    *,
    space: Space | str | None = None,
    where: Filter | None = None,
    best: int = 5,
    progress: bool | None = None,
) -> int:
    """Write the rows of a space to a file, and the description of its columns beside it.

    Rows are read and written block by block, so that memory does not grow with their number. The files appear whole or
    not at all. `rows.parquet` is described by `rows.columns.json`.

    Parameters
    ----------
    library : path-like or Library
        The library.
    file : path-like
        The file to create or replace. `.parquet` has row groups, and the name and the fingerprint of the space in the
        metadata of its schema; `.csv` has a column for each number of a vector; `.npz` has the arrays of
        `save_embeddings` and more, and is taken by `search --vector`.
    space : Space, str or None
        A space of the library: itself, the name of its model, or the first 8 digits of its fingerprint. None for the
        only one.
    where : Filter or None
        Which items; None for all.
    best : int
        How many of the best classes of a row the columns `top_labels` and `top_scores` have at most, where the library
        keeps scores; 0 for no such columns.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    LibraryError
        If the library does not have the space, or is damaged.
    SightsoundError
        If the ending is another one, pyarrow is missing for Parquet (extra `tables`), or the file cannot be written.
    """
    ending = require_ending(file, ENDINGS)
    with open_library(library) as opened:
        require_apart(file, opened)
        require_room_for_dictionary(file, opened)
        chosen = opened.chosen_space(space)
        facts = opened.fact_columns(chosen.modality)
        labels = opened.label_columns(ranges=False), opened.label_columns(ranges=True)
        columns, metadata = row_columns(chosen, *labels, facts, best), row_metadata(chosen)
        count = 0

        def batches() -> Iterator[Batch]:
            nonlocal count
            with bar(opened.spaces[chosen], "export", progress, unit="row") as shown:
                blocks = opened.row_blocks(chosen, where, best=best)
                for batch in row_batches(blocks, *labels, facts, opened.facts_of, best):
                    yield batch
                    count += count_of(batch)
                    shown.update(count_of(batch))

        if ending == ".npz":
            columns = _npz_columns(columns, chosen)
            with atomic_path(file) as path:
                write_npz(path, columns, map(_npz_batch, batches()), metadata)
        else:
            write_table(file, columns, batches(), {**metadata, **score_metadata(opened.scored_classes(chosen), best)})
        write_dictionary(file, columns, metadata)
        return count


def _npz_columns(columns: list[Column], space: Space) -> list[Column]:
    """Return the columns as those of `save_embeddings`."""
    kept = [replace(c, name=_PLURALS.get(c.name, c.name)) for c in columns if c.name not in ("start", "stop")]
    kept = [replace(c, kind="number") if c.kind == "integer" and c.name.startswith(FACT) else c for c in kept]  # or NaN
    return [*kept, _SECONDS] if space.modality == "sound" else kept


def _npz_batch(batch: Batch) -> Batch:
    renamed = {_PLURALS.get(name, name): cells for name, cells in batch.items()}
    return {**renamed, "seconds": np.stack([batch["start"], batch["stop"]], axis=1)}
