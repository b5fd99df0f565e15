"""The command `sightsound list`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import filter_of, filter_options, host, library_option

if TYPE_CHECKING:
    from sightsound.library.listing import ListedItem


_RANGES = 3  # labels of time ranges that are shown of an item


@click.command("list")
@library_option()
@filter_options(windows="none")
@click.option("--failed", is_flag=True, help="Only items that a network failed on.")
@click.option("--gone", is_flag=True, help="Only items whose file does not exist any more.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many items.")
@table_options
@click.pass_context
def list_(
    context: click.Context,
    /,
    library: str,
    failed: bool,
    gone: bool,
    limit: int | None,
    table: TableOutput,
    **chosen: Any,
) -> None:
    """List the items of a library: path, seconds, status, vectors and labels of each.

    Labels of time ranges are shown as owl@3-7.5, in seconds. A table in a file has more columns: root, size, SHA-256,
    the number of labels of time ranges, the status and number of vectors in each space, and a column fact.NAME for each
    fact.
    """
    from sightsound.library.library import Library
    from sightsound.library.listing import list_items
    from sightsound.library.listing_table import listing_batches, listing_columns
    from sightsound.library.space_names import named_spaces

    table.check(library=library)
    with Library(library) as opened:
        where = filter_of(opened, lambda: host(context), chosen, windows="none")
        facts = [] if table.shown else opened.fact_columns()
        labels, spaces = opened.label_columns(), [name for name, *_ in named_spaces(opened.spaces)]

        def found() -> Iterator[ListedItem]:
            return list_items(opened, where=where, failed=failed, gone=gone, limit=limit)

        table.write(
            listing_columns(spaces, labels, facts),
            lambda: listing_batches(found(), spaces, labels, facts),
            objects=lambda: ({**item.to_json(), "file": item.item.shown} for item in found()),
        )
        if table.shown and not output.print_pages(_header(labels), (_row(item, labels) for item in found())):
            output.echo("nothing found")


def _labels(found: ListedItem, column: str) -> str:
    """Return the labels of an item in a column, and the first of those of its time ranges."""
    ranges = [each for each in found.ranges if each.column == column]
    shown = [f"{each.value}@{each.start:.10g}-{each.stop:.10g}" for each in ranges[:_RANGES]]
    more = [f"and {len(ranges) - _RANGES} more"] if len(ranges) > _RANGES else []
    return ", ".join([*found.labels.get(column, ()), *shown, *more])


def _header(labels: Sequence[str]) -> Sequence[str]:
    return ["id", "path", "seconds", "status", "vectors", *labels]


def _row(found: ListedItem, labels: Sequence[str]) -> Sequence[object]:
    from sightsound.library.listing_table import overall

    seconds = None if found.seconds is None else round(found.seconds, 2)
    vectors = sum(found.windows.values())
    values = [_labels(found, column) for column in labels]
    return [found.item.id, found.item.shown, seconds, overall(found)[0], vectors, *values]
