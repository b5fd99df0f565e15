"""The counts of a library as one table: a row for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sightsound.formats.columns import Batch, Column, batches_of
from sightsound.library.stats import Stats

STATS_COLUMNS = (
    Column("count_of", "text", "what is counted: space, outcome, flag, label, range or tag"),
    Column("space", "text", "the name of the space, for spaces and outcomes"),
    Column("column", "text", "the column of the label, also of time ranges"),
    Column("name", "text", "the status, flag, label or class; of a space its fingerprint"),
    Column("items", "integer", "number of items"),
    Column("vectors", "integer", "number of vectors of the space"),
    Column("seconds", "number", "sound in the space, or in the segments of the class", "s"),
)
"""The columns of `stats_batches`."""


def stats_batches(found: Stats) -> Iterator[Batch]:
    """Return an iterator over the counts of a library, in batches of `STATS_COLUMNS`."""
    rows: list[list[Any]] = []
    for name, (fingerprint, _, vectors) in found.spaces.items():
        rows.append(["space", name, None, fingerprint, None, vectors, found.seconds.get(name)])
    for (space, status), count in found.outcomes.items():
        rows.append(["outcome", space or None, None, status, count, None, None])
    rows += [["flag", None, None, flag, count, None, None] for flag, count in found.flags.items()]
    rows += [["label", None, column, value, count, None, None] for (column, value), count in found.labels.items()]
    for (column, value), (count, _) in found.ranges.items():
        rows.append(["range", None, column, value, count, None, None])
    rows += [["tag", None, None, label, count, None, seconds or None] for label, (count, seconds) in found.tags.items()]
    return batches_of(STATS_COLUMNS, rows)
