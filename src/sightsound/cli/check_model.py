"""The command `sightsound check-model`."""

from __future__ import annotations

import dataclasses

import click

from sightsound.cli import output
from sightsound.cli.settings import host, json_option


@click.command("check-model")
@click.argument("name")
@click.option(
    "--golden",
    type=click.Path(exists=True, dir_okay=False),
    help="Reference rows, a file that sightsound.testing.write_golden wrote.",
)
@json_option()
@click.pass_context
def check_model(context: click.Context, name: str, golden: str | None, as_json: bool) -> None:
    """Check that network NAME keeps to the contract for plugins; exit code 1 if it does not."""
    from sightsound import testing

    results = testing.check_model(name, host=host(context), golden=golden)
    passed = sum(result.passed for result in results)
    if as_json:
        output.print_json([dataclasses.asdict(result) for result in results])
    else:
        rows = [
            (each.check.replace("_", " "), "ok" if each.passed else "failed", f"{each.seconds:.2f}", each.reason)
            for each in results
        ]
        output.print_table(["check", "result", "seconds", "reason"], rows)
        output.echo(f"{passed} of {len(results)} checks passed")
    context.exit(0 if passed == len(results) else 1)
