"""`sightsound check-model`: the conformance kit on one model."""

from __future__ import annotations

import dataclasses

import click

from sightsound.cli import output
from sightsound.cli.settings import host, json_option


@click.command("check-model")
@click.argument("name")
@click.option(
    "--golden", type=click.Path(exists=True, dir_okay=False), help="A file that sightsound.testing.write_golden wrote."
)
@json_option()
@click.pass_context
def check_model(context: click.Context, name: str, golden: str | None, as_json: bool) -> None:
    """Check that network NAME keeps to the contract for plugins; leaves with 1 where it does not."""
    from sightsound import testing

    results = testing.check_model(name, host=host(context), golden=golden)
    failed = [result for result in results if not result.passed]
    if as_json:
        output.dump([dataclasses.asdict(result) for result in results])
    else:
        rows = [
            (r.check.replace("_", " "), "ok" if r.passed else "failed", f"{r.seconds:.2f}", r.reason) for r in results
        ]
        output.table(["check", "result", "seconds", "reason"], rows)
        click.echo(f"{len(results) - len(failed)} of {len(results)} checks passed")
    if failed:
        context.exit(1)
