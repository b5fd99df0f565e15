"""The command `sightsound facts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import library_option, time_options
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.fact_counts import FactSummary
    from sightsound.library.facts import FactsReport
    from sightsound.library.sidecars import SidecarReport

_VALUES = 3  # texts of a fact that are printed; --json has the 1,000 most frequent
_SHOWN = 20  # failures that are printed


@click.command()
@library_option()
@time_options()
@click.option("--stored", is_flag=True, help="Show what the library has; read no file.")
@click.option(
    "--write-xmp",
    "columns",
    multiple=True,
    metavar="COLUMN",
    help="Write the labels of this column as keywords into sidecar files (photo.jpg.xmp); may be repeated.",
)
@table_options
@click.pass_context
def facts(
    context: click.Context,
    library: str,
    time_zone: str | None,
    time_patterns: Sequence[str],
    stored: bool,
    columns: Sequence[str],
    table: TableOutput,
) -> None:
    """Read again when, where and with what the files of a library were made, and their keywords; embed nothing.

    Prints the facts that items have. They are conditions of `--fact`, `--after`, `--hour` and `--near`. With
    --write-xmp it writes sidecar files instead; the files themselves are never changed. Exit code 1 if a file is
    missing, or a sidecar file cannot be written. Of texts the most frequent are printed, and how many others there are;
    --json has the 1,000 most frequent with their counts. As CSV or Parquet there is a row for each fact, or for each
    sidecar file that could not be written.
    """
    from sightsound.library.facts import read_facts, summarise_facts
    from sightsound.library.sidecars import write_sidecars

    if (stored or columns) and (time_zone is not None or time_patterns):
        raise click.UsageError("--time-zone and --time-pattern go without --stored and --write-xmp")
    if stored and columns:
        raise click.UsageError("--stored and --write-xmp: expected one of them")
    table.check(library=library)
    if columns:
        _tell_sidecars(context, write_sidecars(library, columns), table)
    elif stored:
        found = summarise_facts(library)
        _write(table, found, {"facts": _facts_json(found)})
        if table.shown:
            _print_facts(found)
    else:
        report = read_facts(library, time_zone=time_zone, time_patterns=time_patterns or None)
        _write(table, report.facts, _report_json(report))
        _print_report(report, shown=table.shown)
        context.exit(1 if report.missing else 0)


def _write(table: TableOutput, found: Mapping[str, FactSummary], document: object) -> None:
    """Write a row for each fact."""
    rows = [{"fact": name, **summary} for name, summary in _facts_json(found).items()]
    table.write_objects(rows, ("fact", "items", "least", "greatest", "values", "distinct"), document=lambda: document)


def _facts_json(found: Mapping[str, FactSummary]) -> dict[str, Any]:
    return {
        name: {
            **{"items": each.items, "least": each.least, "greatest": each.greatest},
            **{"values": dict(each.values), "distinct": each.distinct},
        }
        for name, each in found.items()
    }


def _report_json(report: FactsReport) -> dict[str, Any]:
    counts = {"read": report.read, "changed": report.changed, "missing": report.missing}
    rules = {"time_zone": report.rules.zone, "time_patterns": report.rules.patterns}
    return {**counts, **rules, "facts": _facts_json(report.facts)}


def _print_report(report: FactsReport, *, shown: bool) -> None:
    if shown:
        _print_facts(report.facts)
    if report.missing:
        missing = output.count_of(report.missing, "file")
        output.echo(f"{missing} cannot be opened, whose facts stay; see `sightsound list --gone`", err=True)
    if not shown:
        return
    zone = (
        "times without a zone are local" if report.rules.zone == "local" else f"local times are of {report.rules.zone}"
    )
    output.echo(f"{output.count_of(report.read, 'file')} read, {report.changed} with other facts than before; {zone}")


def _print_facts(found: Mapping[str, FactSummary]) -> None:
    if not found:
        output.echo("no facts")
        return
    output.print_table(["fact", "items", "values"], [[name, each.items, _values(each)] for name, each in found.items()])


def _values(summary: FactSummary) -> str:
    """Return the range of a fact, or its most frequent texts."""
    if summary.least is not None:
        least, greatest = (
            each if isinstance(each, str) else f"{each:.10g}" for each in (summary.least, summary.greatest)
        )
        return str(least) if least == greatest else f"{least} to {greatest}"
    first = [f"{printable(text)} ({count})" for text, count in summary.values.most_common(_VALUES)]
    more = summary.distinct - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _tell_sidecars(context: click.Context, report: SidecarReport, table: TableOutput) -> None:
    failed = [{"path": item.path, "root": item.root, "reason": reason} for item, reason in report.failed]
    counts = {"written": report.written, "unchanged": report.unchanged, "failed": failed, "altered": report.altered}
    table.write_objects(failed, ("path", "root", "reason"), document=lambda: counts)
    if table.shown:
        for item, reason in report.failed[:_SHOWN]:
            output.echo(f"{printable(item)}: {printable(reason)}", err=True)
        if len(report.failed) > _SHOWN:
            output.echo(f"... and {len(report.failed) - _SHOWN} more; --json has all", err=True)
        if report.altered:
            what = "without control characters and spaces that keywords cannot have"
            output.echo(f"{output.count_of(report.altered, 'label')} written {what}", err=True)
        output.echo(f"{output.count_of(report.written, 'sidecar file')} written, {report.unchanged} had all keywords")
    context.exit(1 if report.failed else 0)
