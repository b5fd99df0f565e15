"""The command `sightsound check`."""

from __future__ import annotations

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import library_option
from sightsound.contract.paths import printable


@click.command()
@library_option()
@click.option("--fast", is_flag=True, help="Look at the sizes of files and the counts of rows only.")
@table_options
@click.pass_context
def check(context: click.Context, library: str, fast: bool, table: TableOutput) -> None:
    """Verify that a library is intact; exit code 1 if it is not."""
    from sightsound.library.check import check as find_problems

    table.check(library=library)
    problems = find_problems(library, fast=fast)
    rows = [{"problem": problem.what, "remedy": problem.remedy} for problem in problems]
    table.write_objects(rows, ("problem", "remedy"))
    if table.shown:
        for problem in problems:
            output.echo(printable(problem))
        output.echo(f"{len(problems)} problems" if problems else "sound: every item, vector and space fits")
    context.exit(1 if problems else 0)
