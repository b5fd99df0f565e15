"""The command `sightsound check-model`."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import Settings, host

if TYPE_CHECKING:
    from sightsound.testing import BenchRow, CheckResult


class _Command(click.Command):
    """A command that says where the options of `sightsound` itself are given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name
            if ctx.parent is None or not any(name in each.opts for each in ctx.parent.command.params):
                raise
            text = f"{name} goes before the command: sightsound {name} ... {ctx.info_name} ..."
            raise click.UsageError(text, ctx) from error


@click.command("check-model", cls=_Command)
@click.argument("name")
@click.option(
    "--golden",
    type=click.Path(exists=True, dir_okay=False),
    help="Reference rows, a file that sightsound.testing.write_golden wrote.",
)
@click.option("--traceback", is_flag=True, help="Print where a check failed (as `sightsound -v check-model` does).")
@click.option("--bench", is_flag=True, help="Measure batch sizes and workers instead of checking.")
@table_options
@click.pass_context
def check_model(
    context: click.Context, name: str, golden: str | None, traceback: bool, bench: bool, table: TableOutput
) -> None:
    """Check that network NAME keeps to the contract for plugins; exit code 1 if it does not."""
    from sightsound import testing

    table.check(inputs=[golden] if golden else [])
    if bench:
        if golden or traceback:
            raise click.UsageError("--bench: expected without --golden and --traceback; it checks nothing")
        _print_bench(testing.bench_model(name, host=host(context)), table)
        return
    results = testing.check_model(name, host=host(context), golden=golden)
    settings = context.find_object(Settings)
    _print_results(results, traceback or (settings is not None and settings.verbose), table)
    context.exit(0 if all(result.passed for result in results) else 1)


def _print_results(results: Sequence[CheckResult], with_traceback: bool, table: TableOutput) -> None:
    from sightsound.testing.run import NOT_RUN

    fields = [{**dataclasses.asdict(result), "passed": result.passed} for result in results]
    table.write_objects(
        [{key: value for key, value in each.items() if with_traceback or key != "traceback"} for each in fields]
    )
    if not table.shown:
        return
    words = {"passed": "ok", "failed": "failed", "skipped": "-"}
    not_run = Counter(each.reason for each in results if each.reason.startswith(NOT_RUN))
    shown = [each for each in results if each.reason not in not_run]
    rows = [(each.check.replace("_", " "), words[each.status], f"{each.seconds:.2f}", each.reason) for each in shown]
    output.print_table(["check", "result", "seconds", "reason"], rows)
    for reason, times in not_run.items():
        output.echo(f"{output.count_of(times, 'check')} {reason}")
    for each in results if with_traceback else ():
        if each.traceback:
            output.echo(f"\n{each.check.replace('_', ' ')}:\n{each.traceback.rstrip()}\n")
    count = {status: sum(each.status == status for each in results) for status in words}
    failed = f"{count['failed']} failed, " if count["failed"] else ""
    output.echo(f"{count['passed']} of {len(results)} checks passed, {failed}{count['skipped']} skipped")


def _print_bench(rows: Sequence[BenchRow], table: TableOutput) -> None:
    table.write_objects([dataclasses.asdict(row) for row in rows])
    if not table.shown:
        return
    workers = sorted({row.workers for row in rows})
    cells = {(row.batch_size, row.workers): _cell(row) for row in rows}
    header = ["batch size", *(output.count_of(count, "worker") for count in workers)]
    sizes = sorted({row.batch_size for row in rows})
    output.print_table(header, [(size, *(cells.get((size, count)) for count in workers)) for size in sizes])
    best = next(row for row in rows if row.best)
    output.echo(f"inputs in a second; * is the best: batch_size = {best.batch_size}, workers = {best.workers}")
    for row in rows:
        if row.reason:
            output.echo(f"batch size {row.batch_size}, {output.count_of(row.workers, 'worker')}: {row.reason}")


def _cell(row: BenchRow) -> str:
    return "failed" if row.reason else f"{row.per_second:.1f}" + " *" * row.best
