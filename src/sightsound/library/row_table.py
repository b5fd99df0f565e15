"""The rows of a space as a table: its columns, their meaning, and the batches of cells."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

import sightsound
from sightsound.contract import row_names
from sightsound.contract.classlist import ClassList
from sightsound.contract.space import Space
from sightsound.formats.columns import Batch, Column
from sightsound.library.fact_columns import fact_cells
from sightsound.library.incoming.row_source import MEANT, MEANT_PREFIXES
from sightsound.library.label_names import label_column_names
from sightsound.library.row_blocks import BestClasses, RowBlock

FactsOf = Callable[[Collection[int]], Iterable[tuple[int, dict[str, Any]]]]
"""Returns the ids and the facts of some items, as `Library.facts_of`."""

FORMAT = "1"
"""The version of the columns and of the metadata of a table of rows."""

EMBEDDING = "embedding"
TOP = (row_names.TOP_LABELS, row_names.TOP_IDS, row_names.TOP_SCORES)
"""The columns of the best classes, as the fields of `BestClasses`."""


def range_column(column: str) -> str:
    """Return the name of the column with the labels that windows have from time ranges in a column of labels."""
    return f"{row_names.WINDOW}{column}"


def _label_names(labels: Sequence[str], ranges: Sequence[str], facts: Sequence[Column]) -> dict[str, str]:
    taken = ["item", *MEANT, *map(range_column, ranges), *(column.name for column in facts)]
    return label_column_names(labels, [*taken, *(name for name in labels if name.startswith(MEANT_PREFIXES))])


def row_columns(
    space: Space, labels: Sequence[str], ranges: Sequence[str], facts: Sequence[Column], best: int
) -> list[Column]:
    """Return the columns of the rows of a space.

    Parameters
    ----------
    space : Space
        The space.
    labels, ranges : sequence of str
        The columns of labels of items, and of time ranges.
    facts : sequence of Column
        The columns of facts, as of `Library.fact_columns`.
    best : int
        The number of the best classes that a row has at most; without columns for them if it is 0.
    """
    columns = [
        Column("item", "integer", "id of the item in the library"),
        Column("path", "path", "path of the file below `root`, with slashes"),
        Column("root", "path", "absolute path of the folder that was indexed"),
        Column("content", "text", "SHA-256 of the file in hexadecimal digits"),
        Column("start", "number", "where the window starts in the recording; empty for images", "s"),
        Column("stop", "number", "where the window stops in the recording; empty for images", "s"),
    ]
    names = _label_names(labels, ranges, facts)
    columns += [Column(names[each], "texts", f"labels of the item in the column {each}") for each in labels]
    about = "labels of the time ranges that the window overlaps, in the column"
    columns += [Column(range_column(each), "texts", f"{about} {each}") for each in ranges]
    if best:
        columns += [
            Column(row_names.TOP_LABELS, "texts", f"at most {best} classes with the highest scores, best first"),
            Column(row_names.TOP_IDS, "texts", "their ids, such as those of AudioSet; empty for classes without ids"),
            Column(row_names.TOP_SCORES, "singles", "their scores, from 0 to 1"),
        ]
    columns += facts
    about = "the vector, as the network gave it; compare vectors of one space only, by cosine"
    return [*columns, Column(EMBEDDING, "vector", about, dim=space.dim)]


def row_metadata(space: Space) -> dict[str, str]:
    """Return what holds for all rows of a space, as texts: format, space, fingerprint and what it hashes, writer."""
    return {
        row_names.FORMAT: FORMAT,
        row_names.SPACE: space.name,
        row_names.FINGERPRINT: space.fingerprint,
        row_names.FACTS: space.facts,
        row_names.WRITER: f"sightsound {sightsound.__version__}",
    }


def score_metadata(scored: tuple[str, ClassList] | None, best: int) -> dict[str, str]:
    """Return what the columns of the best classes need to be read as scores again, as texts.

    Parameters
    ----------
    scored : tuple of str and ClassList, or None
        What the scores are, as `LibraryRows.scored_classes` returns it.
    best : int
        The number of the best classes that a row has at most.
    """
    if scored is None or not best:
        return {}
    kind, classes = scored
    listed = {"name": classes.name, "labels": classes.labels, "ids": classes.ids}
    return {row_names.SCORE_KIND: kind, row_names.CLASSES: json.dumps(listed), row_names.BEST: str(best)}


def row_batches(
    blocks: Iterator[RowBlock],
    labels: Sequence[str],
    ranges: Sequence[str],
    facts: Sequence[Column],
    facts_of: FactsOf,
    best: int,
) -> Iterator[Batch]:
    """Yield blocks of rows as batches of the columns of `row_columns`."""
    names = _label_names(labels, ranges, facts)
    for block in blocks:
        of = block.of.tolist()
        hashes = [content.hex() for content in block.contents]
        batch = {
            "item": np.array([item.id for item in block.items], np.int64)[block.of],
            "path": [block.items[i].path for i in of],
            "root": [block.items[i].root for i in of],
            "content": [hashes[i] for i in of],
            "start": block.spans[:, 0],
            "stop": block.spans[:, 1],
        }
        for column in labels:
            values = [list(given.get(column, ())) for given in block.labels]
            batch[names[column]] = [values[i] for i in of]
        for column in ranges:
            batch[range_column(column)] = [list(given.get(column, ())) for given in block.range_labels]
        known = dict(facts_of({item.id for item in block.items if item.id is not None})) if facts else {}
        cells = [fact_cells(facts, known.get(item.id or 0, {})) for item in block.items]
        for number, fact in enumerate(facts):
            batch[fact.name] = [cells[i][number] for i in of]
        if best:
            for name, field in zip(TOP, BestClasses._fields):
                batch[name] = [getattr(each, field) for each in block.best]
        yield {**batch, EMBEDDING: block.rows}
