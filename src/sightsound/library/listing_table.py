"""The items of a library as a table: its columns, and the batches of cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sightsound.formats.columns import Batch, Column, batches_of
from sightsound.library.fact_columns import fact_cells
from sightsound.library.label_names import label_column_names
from sightsound.library.listing import ListedItem

_FIXED = (
    Column("id", "integer", "id of the item in the library"),
    Column("path", "path", "path of the file below `root`, with slashes"),
    Column("root", "path", "absolute path of the folder that was indexed"),
    Column("file", "path", "path of the file as it is typed in the working folder"),
    Column("modality", "text", "image or sound; empty for neither"),
    Column("seconds", "number", "duration that was decoded; empty for images", "s"),
    Column("size", "integer", "size of the file when it was last read", "B"),
    Column("content", "text", "SHA-256 of the file in hexadecimal digits"),
    Column("status", "text", "the worst status of the item: failed, no-windows, not-media or ok"),
    Column("reason", "text", "why the status is not ok"),
    Column("ranges", "integer", "number of labels of time ranges"),
)
_WORST = ("failed", "no-windows", "not-media", "ok")


def overall(item: ListedItem) -> tuple[str, str]:
    """Return the worst status of an item over all spaces, and the reason for it; empty texts without an outcome."""
    for status in _WORST:
        for name, found in item.status.items():
            if found == status:
                return status, item.reasons.get(name, "")
    return "", ""


def listing_columns(spaces: Sequence[str], labels: Sequence[str], facts: Sequence[Column] = ()) -> list[Column]:
    """Return the columns of a list of items.

    Parameters
    ----------
    spaces : sequence of str
        The names of the spaces of the library.
    labels : sequence of str
        The columns of labels.
    facts : sequence of Column
        The columns of facts, as of `Library.fact_columns`.
    """
    columns = list(_FIXED)
    for name in spaces:
        columns.append(Column(f"status.{name}", "text", f"status of the item in the space {name}"))
        columns.append(Column(f"windows.{name}", "integer", f"number of vectors of the item in the space {name}"))
    columns += facts
    names = label_column_names(labels, [*(column.name for column in columns), "note"])
    return [*columns, *(Column(names[each], "texts", f"labels in the column {each}") for each in labels)]


def listing_batches(
    items: Iterable[ListedItem], spaces: Sequence[str], labels: Sequence[str], facts: Sequence[Column] = ()
) -> Iterator[Batch]:
    """Return an iterator over items as batches of the columns of `listing_columns`."""
    return batches_of(listing_columns(spaces, labels, facts), (_row(item, spaces, labels, facts) for item in items))


def _row(found: ListedItem, spaces: Sequence[str], labels: Sequence[str], facts: Sequence[Column]) -> list[Any]:
    item, (status, reason) = found.item, overall(found)
    row: list[Any] = [item.id, item.path, item.root, item.shown, found.modality, found.seconds, found.size]
    row += [found.content, status or None, reason or None, len(found.ranges)]
    for name in spaces:
        row += [found.status.get(name), found.windows.get(name)]
    row += fact_cells(facts, found.facts)
    return row + [list(found.labels.get(column, ())) for column in labels]
