"""The command `sightsound merge`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import json_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.merging.labels import Conflict, Prefer

_SHOWN = 20  # conflicts that are printed


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--into", required=True, metavar="FOLDER", help="A new folder; or A or B, which takes in the other.")
@click.option("--prefer", type=click.Choice(["a", "b", "both"]), help="Whose labels count where they differ.")
@json_option()
def merge(a: str, b: str, into: str, prefer: Prefer | None, as_json: bool) -> None:
    """Merge the libraries A and B: items, labels, vectors and scores of both, without running a network.

    A and B stay as they are, but for the one that is named by --into. Labels that differ for the same file or content
    are listed and refused, unless --prefer says whose count.
    """
    from sightsound.library.merging.labels import MergeConflict
    from sightsound.library.merging.libraries import merge_libraries

    try:
        report = merge_libraries(a, b, into, prefer=prefer)
    except MergeConflict as error:
        _print_conflicts(error.conflicts, error.count, as_json)
        raise
    if as_json:
        output.print_json(vars(report))
        return
    parts = [f"{output.count_of(report.copied, 'item')} of {printable(a)}"] if report.copied else []
    whose = f" of {printable(b)}" if report.copied else ""
    parts.append(
        f"{output.count_of(report.items, 'item')}{whose} and {output.count_of(report.rows, 'vector')} taken in"
    )
    parts += [f"{report.known} known"] if report.known else []
    parts += [f"{report.conflicts} conflicts settled"] if report.conflicts else []
    output.echo(f"{printable(into)}: {'; '.join(parts)}")


def _print_conflicts(conflicts: list[Conflict], count: int, as_json: bool) -> None:
    if as_json:
        output.print_json({"conflicts": [_json(each) for each in conflicts], "count": count})
        return
    rows = [
        [each.column or "(content)", ", ".join(each.a), ", ".join(each.b), each.item.shown]
        for each in conflicts[:_SHOWN]
    ]
    output.print_table(["column", "a", "b", "path"], rows)
    if count > _SHOWN:
        output.echo(f"... and {count - _SHOWN} more; --json has {'all' if count == len(conflicts) else 'more'}")


def _json(conflict: Conflict) -> dict[str, Any]:
    place = {"path": conflict.path, "root": conflict.root, "file": conflict.item.shown}
    return {**place, "column": conflict.column or None, "a": list(conflict.a), "b": list(conflict.b)}
