"""The hits of a search as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sightsound.contract.results import Hit
from sightsound.formats.columns import Column
from sightsound.library.label_names import label_column_names

_FIXED = (
    Column("query", "text", "the query, where there are several"),
    Column("library", "path", "the library, where there are several"),
    Column("score", "number", "cosine; with several spaces a sum of reciprocal ranks; of a class its mean score"),
    Column("id", "integer", "id of the item in the library"),
    Column("path", "path", "path of the file below `root`, with slashes"),
    Column("root", "path", "absolute path of the folder that was indexed"),
    Column("file", "path", "path of the file as it is typed in the working folder"),
    Column("start", "number", "where the best window, or the segment, starts; empty for images", "s"),
    Column("stop", "number", "where it stops", "s"),
    Column("recorded", "text", "when the window, or the image, was recorded: ISO 8601, with the offset if it is known"),
    Column("query_start", "number", "where the window of the query starts that it was compared with", "s"),
    Column("query_stop", "number", "where that window stops", "s"),
    Column("tag", "text", "the class, in a search for classes"),
    Column("spaces", "texts", "the names of the spaces that found it"),
)


def hit_columns(labels: Sequence[str], *, several: bool = False, libraries: bool = False) -> list[Column]:
    """Return the columns of hits.

    Parameters
    ----------
    labels : sequence of str
        The columns of labels of the library.
    several : bool
        Whether there are several queries, and so a column for them.
    libraries : bool
        Whether there are several libraries, and so a column for them.
    """
    left_out = {name for name, there in (("query", several), ("library", libraries)) if not there}
    fixed = [column for column in _FIXED if column.name not in left_out]
    names = label_column_names(labels, [*(column.name for column in _FIXED), "note"])
    return [*fixed, *(Column(names[each], "texts", f"labels in the column {each}") for each in labels)]


def hit_batches(
    columns: Sequence[Column], labels: Sequence[str], found: Mapping[str, Sequence[Hit]]
) -> Iterator[dict[str, list[Any]]]:
    """Yield the hits of queries as one batch of `columns`, those of `hit_columns` for these columns of labels."""
    hits = [(query, hit) for query, each in found.items() for hit in each]
    spans = [(hit.seconds or (None, None), hit.query_seconds or (None, None)) for _, hit in hits]
    cells: dict[str, list[Any]] = {
        "query": [query for query, _ in hits],
        "library": [hit.library for _, hit in hits],
        "score": [hit.score for _, hit in hits],
        "id": [hit.item.id for _, hit in hits],
        "path": [hit.item.path for _, hit in hits],
        "root": [hit.item.root for _, hit in hits],
        "file": [hit.item.shown for _, hit in hits],
        "start": [own[0] for own, _ in spans],
        "stop": [own[1] for own, _ in spans],
        "recorded": [hit.recorded and hit.recorded.isoformat() for _, hit in hits],
        "query_start": [other[0] for _, other in spans],
        "query_stop": [other[1] for _, other in spans],
        "tag": [hit.tag or None for _, hit in hits],
        "spaces": [list(hit.spaces) for _, hit in hits],
    }
    of_labels = columns[len(columns) - len(labels) :] if labels else ()
    for column, name in zip(of_labels, labels):
        cells[column.name] = [list(hit.labels.get(name, ())) for _, hit in hits]
    yield {column.name: cells[column.name] for column in columns}
