"""The command `sightsound stats`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import library_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.stats import Stats

_TAGS = 20  # labels of a column that are printed
_CLASSES = 5  # that are printed
_FLAG_WORDS = {
    "padded": "with a last window that is filled up with zeros",
    "silent": "silent",
    "resampled-up": "with a lower sample rate than the network's",
}


@click.command()
@library_option()
@table_options
def stats(library: str, table: TableOutput) -> None:
    """Show what is in a library: items, outcomes, spaces, labels, and each file that failed with its reason.

    As CSV or Parquet there is a row for each count.
    """
    from sightsound.library.stats import stats as count
    from sightsound.library.stats_table import STATS_COLUMNS, stats_batches

    table.check(library=library)
    found = count(library)
    table.write(STATS_COLUMNS, lambda: stats_batches(found), document=lambda: _stats_json(found))
    if table.shown:
        _print_stats(found)


def _stats_json(found: Stats) -> dict[str, Any]:
    plain = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    plain["spaces"] = [
        {"name": name, "fingerprint": fingerprint, "dim": dim, "vectors": vectors}
        for name, (fingerprint, dim, vectors) in found.spaces.items()
    ]
    plain["indexes"] = {name: dataclasses.asdict(index) for name, index in found.indexes.items()}
    for key in ("outcomes", "labels"):
        plain[key] = [[*pair, count] for pair, count in plain[key].items()]
    plain["ranges"] = [[*pair, *counts] for pair, counts in found.ranges.items()]
    plain["failed"] = [{"path": o.item.path, "root": o.item.root, "reason": o.reason} for o in found.failed]
    return plain


def _print_stats(found: Stats) -> None:
    roots = ", ".join(map(printable, found.roots)) or "nothing"
    half = ", vectors as float16" if found.store == "f16" else ""
    output.echo(f"{output.count_of(found.items, 'item')}, {output.format_size(found.bytes)}{half}, of {roots}")
    if found.spaces:
        output.print_table(["space", "dim", "vectors", "sound", "fingerprint"], _space_rows(found))
    if found.indexes:
        _print_indexes(found)
    outcomes = [(status, space, count) for (space, status), count in sorted(found.outcomes.items())]
    output.print_table(["outcome", "space", "items"], outcomes)
    for flag, count in sorted(found.flags.items()):
        output.echo(f"{output.count_of(count, 'item')} {_FLAG_WORDS.get(flag) or printable(flag)}")
    if found.labels:
        _print_labels(["column", "label", "items"], {pair: (count,) for pair, count in found.labels.items()})
    if found.ranges:
        _print_labels(["column", "label of time ranges", "items", "ranges"], found.ranges)
    if found.tags:
        _print_tags(found)
    for outcome in found.failed:
        output.echo(f"failed: {printable(outcome.item)}: {printable(outcome.reason)}")


def _print_indexes(found: Stats) -> None:
    header = ["index of", "kind", "vectors", "size", "recall@10", "recall@100", "filtered", "parameters"]
    rows = []
    for name, index in found.indexes.items():
        recall = [f"{index.recall[key]:.3f}" for key in ("10", "100", "10 filtered")]
        parameters = ", ".join(f"{key} {value}" for key, value in index.parameters.items())
        size = output.format_size(index.bytes) if index.usable else "not used: build it anew"
        rows.append([name, index.kind, index.rows, size, *recall, parameters])
    output.print_table(header, rows)


def _space_rows(found: Stats) -> list[tuple[object, ...]]:
    durations = {name: output.format_duration(seconds) for name, seconds in found.seconds.items()}
    return [
        (name, dim, vectors, durations.get(name, ""), fingerprint[:12])
        for name, (fingerprint, dim, vectors) in found.spaces.items()
    ]


def _print_labels(header: Sequence[str], labels: Mapping[tuple[str, str], tuple[int, ...]]) -> None:
    """Print the commonest labels of each column."""
    columns: dict[str, list[tuple[object, ...]]] = {}
    for (column, value), counts in sorted(labels.items(), key=lambda each: (each[0][0], -each[1][0], each[0][1])):
        columns.setdefault(column, []).append((column, value, *counts))
    output.print_table(header, [row for rows in columns.values() for row in rows[:_TAGS]])
    for column, rows in columns.items():
        if len(rows) > _TAGS:
            output.echo(f"... and {len(rows) - _TAGS} more of {printable(column)}; --json has all")


def _print_tags(found: Stats) -> None:
    tags = list(found.tags.items())
    timed = any(seconds for _, seconds in found.tags.values())
    rows = [(label, count, *([f"{seconds:.1f}"] if timed else [])) for label, (count, seconds) in tags[:_CLASSES]]
    output.print_table(["tag", "items", *(["seconds"] if timed else [])], rows)
    if len(tags) > _CLASSES:
        output.echo(f"... and {len(tags) - _CLASSES} more; --json has all")
