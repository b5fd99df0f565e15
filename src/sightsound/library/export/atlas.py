"""The items of a space in a file for Embedding Atlas: coordinates, neighbours, and media to look at."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sightsound._progress import bar
from sightsound.contract.arrays import Floats
from sightsound.contract.csv_cells import joined
from sightsound.contract.errors import MediaError, SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.space import Space
from sightsound.formats.columns import Batch, Column, batch_of
from sightsound.formats.writing import require_ending, write_table
from sightsound.library.export.item_means import ItemMean, item_means
from sightsound.library.export.places import require_apart, require_room_for_dictionary, write_dictionary
from sightsound.library.export.projection import Projection, principal_axes
from sightsound.library.fact_columns import fact_cells
from sightsound.library.filters import Filter
from sightsound.library.label_names import label_column_names
from sightsound.library.library import Library, open_library
from sightsound.library.query_types import QueryVectors
from sightsound.library.row_table import row_metadata
from sightsound.media.preview import sound_part, thumbnail
from sightsound.media.safe_open import open_file

Media = Literal["small", "file", "path", "none"]
"""What a table has of the media: small copies, the files themselves, their paths, or nothing."""

_ROWS = 256  # of a batch, which may have media
_MOST_BYTES = 2**26  # of a file that is put into a table


@dataclass(frozen=True)
class AtlasExport:
    """What `export_atlas` wrote.

    Parameters
    ----------
    items : int
        How many items are in the table.
    without_media : int
        How many of them have no bytes, though small copies or files were asked for: their files are gone, cannot be
        read, or have over 64 MiB.
    """

    items: int
    without_media: int = 0


def export_atlas(
    library: PathLike | Library,
    file: PathLike,
    *,
    space: Space | str | None = None,
    where: Filter | None = None,
    media: Media = "small",
    neighbours: int = 15,
    progress: bool | None = None,
) -> AtlasExport:
    """Write the items of a space to a Parquet file for Embedding Atlas.

    `x` and `y` are coordinates of the mean of the rows of an item, at length 1, on the two principal axes of all means.
    `neighbors` are the items that `Library.search` finds for the row that is most like the mean, as numbers of rows of
    the table, with 1 - cosine; of a recording the part with that row is shown. For large libraries build an index
    first: exact neighbours take a comparison of every item with every row.

    Parameters
    ----------
    library : path-like or Library
        The library.
    file : path-like
        The .parquet file to create or replace; the description of its columns is written beside it.
    space : Space, str or None
        A space of the library: itself, the name of its model, or the first 8 digits of its fingerprint. None for the
        only one.
    where : Filter or None
        Which items; None for all.
    media : {"small", "file", "path", "none"}
        What the column `image` or `audio` has: thumbnails, or parts of at most 10 s of the recordings; the files
        themselves; their paths alone; or no such column. Files that cannot be read have no bytes, and are counted.
    neighbours : int
        How many neighbours of an item; 0 for no such column.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    AtlasExport

    Raises
    ------
    LibraryError
        If the library does not have the space, or is damaged.
    SightsoundError
        If pyarrow is missing (extra `tables`), or the file cannot be written.

    Examples
    --------
    >>> sightsound.export_atlas("zoo", "zoo.parquet")  # then: embedding-atlas zoo.parquet --x x --y y
    """
    if media not in ("small", "file", "path", "none"):
        raise SightsoundError(f"media: expected small, file, path or none, got {media!r}")
    require_ending(file, (".parquet",))
    with open_library(library) as opened:
        require_apart(file, opened)
        require_room_for_dictionary(file, opened)
        chosen = opened.chosen_space(space)
        table = _Table(opened, chosen, where or Filter(), media, neighbours)
        metadata = {**row_metadata(chosen), "projection": "principal component analysis of the means of items"}
        with bar(len(opened), "export", progress, unit="item") as shown:
            write_table(file, table.columns, table.batches(shown), metadata)
        write_dictionary(file, table.columns, metadata)
        return AtlasExport(len(table.ids), table.without_media)


class _Table:
    """The items as rows; two passes over the space: one for the axes and the numbers of rows, one to write."""

    def __init__(self, library: Library, space: Space, where: Filter, media: Media, neighbours: int) -> None:
        self._library, self._space, self._where = library, space, where
        self._media, self._neighbours = media, neighbours
        self._labels, self._facts = library.label_columns(ranges=False), library.fact_columns(space.modality)
        self._scored = bool(library.class_lists([space]))
        self.columns = self._columns()
        self.ids = array("q")
        self.without_media = 0

    def _columns(self) -> list[Column]:
        of_media = "image" if self._space.modality == "image" else "audio"
        columns = [
            Column("x", "single", "coordinate on the first principal axis"),
            Column("y", "single", "coordinate on the second principal axis"),
            Column("item", "integer", "id of the item in the library"),
            Column("path", "path", "path of the file below `root`, with slashes"),
            Column("root", "path", "absolute path of the folder that was indexed"),
        ]
        if self._neighbours:
            about = "the most similar items as numbers of rows, counted from 0, and 1 - cosine of each"
            columns.append(Column("neighbors", "neighbours", about))
        if self._media != "none":
            columns.append(Column(of_media, "media", "the file, or a small copy of it, and its path"))
        if self._scored:
            columns.append(Column("top_label", "text", "the class with the highest score"))
        columns += self._facts
        names = label_column_names(self._labels, [*(column.name for column in columns), "note"])
        return [*columns, *(Column(names[each], "text", f"labels in the column {each}") for each in self._labels)]

    def batches(self, shown: Any) -> Iterator[Batch]:
        axes = principal_axes(self._first_pass(), self._space.dim)
        ids = np.array(self.ids, np.int64)
        order = np.argsort(ids, kind="stable")
        for means, rows in self._means():
            for first in range(0, len(means), _ROWS):
                part = slice(first, first + _ROWS)
                yield self._batch(means[part], rows[part], axes, ids, order)
                shown.update(len(means[part]))

    def _means(self) -> Iterator[tuple[list[ItemMean], Floats]]:
        return item_means(self._library.row_blocks(self._space, self._where, best=int(self._scored)))

    def _first_pass(self) -> Iterator[Floats]:
        for means, rows in item_means(self._library.row_blocks(self._space, self._where)):
            self.ids.extend(mean.item.id or 0 for mean in means)
            yield rows

    def _batch(
        self, means: list[ItemMean], rows: Floats, axes: Projection, ids: np.ndarray[Any, Any], order: Any
    ) -> Batch:
        near = self._near(means, ids, order) if self._neighbours else [None] * len(means)
        facts = dict(self._library.facts_of([mean.item.id or 0 for mean in means])) if self._facts else {}
        cells = []
        for mean, (x, y), neighbours in zip(means, axes(rows).tolist(), near):
            row: list[Any] = [x, y, mean.item.id, mean.item.path, mean.item.root]
            row += [neighbours] if self._neighbours else []
            row += [self._medium(mean)] if self._media != "none" else []
            row += [next(iter(mean.best), None)] if self._scored else []
            row += fact_cells(self._facts, facts.get(mean.item.id or 0, {}))
            cells.append([*row, *(joined(mean.labels.get(name, ())) or None for name in self._labels)])
        return batch_of(self.columns, cells)

    def _near(self, means: list[ItemMean], ids: Any, order: Any) -> list[dict[str, list[Any]]]:
        """Return the neighbours of items, without the items themselves.

        All lists have the same length, which Embedding Atlas needs for the ranks of images: where fewer neighbours were
        found, the item itself stands first, at distance 0.
        """
        count = min(self._neighbours, len(ids) - 1)
        queries = [QueryVectors({self._space: mean.row[None]}) for mean in means]
        found = []
        for mean, hits in zip(
            means, self._library.search_many(queries, self._neighbours + 1, where=self._where, copies=True)
        ):
            others = [hit for hit in hits if hit.item.id != mean.item.id][: self._neighbours]
            wanted = np.array([hit.item.id for hit in others], np.int64)
            at = np.minimum(np.searchsorted(ids, wanted, sorter=order), max(0, len(ids) - 1))
            numbers = order[at] if len(ids) else at
            known = ids[numbers] == wanted
            distances = [max(0.0, 1 - hit.score) for hit, there in zip(others, known) if there]
            own = int(order[np.searchsorted(ids, mean.item.id or 0, sorter=order)])
            missing = max(0, count - len(distances))
            found.append({"ids": [own] * missing + numbers[known].tolist(), "distances": [0.0] * missing + distances})
        return found

    def _medium(self, mean: ItemMean) -> dict[str, Any]:
        file = mean.item.file
        data: bytes | None = None
        try:
            if self._media == "file":
                with open_file(file) as opened:
                    data = opened.read(_MOST_BYTES + 1)
                data = data if len(data) <= _MOST_BYTES else None
            elif self._media == "small" and mean.seconds is None:
                data = thumbnail(file)
            elif self._media == "small" and mean.seconds is not None:
                data = sound_part(file, *mean.seconds)
        except (OSError, MediaError):  # gone, or changed since it was indexed
            data = None
        self.without_media += data is None and self._media != "path"
        return {"bytes": data, "path": str(file)}
