"""`sightsound check-model`: the conformance kit on one model."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sightsound.host import Host
    from sightsound.testing import Result


@click.command("check-model")
@click.argument("name")
@click.option("--golden", type=click.Path(exists=True, dir_okay=False), help="A file from testing.write_golden.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
@click.pass_context
def check_model(context: click.Context, name: str, golden: str | None, as_json: bool) -> None:
    """Check that model NAME keeps to the contract; exit with 1 where it does not."""
    from sightsound import testing

    results = testing.check_model(name, host=_host(context), golden=golden)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(result) for result in results]))
    else:
        _table(results)
    if not all(result.passed for result in results):
        context.exit(1)


def _table(results: list[Result]) -> None:
    width = max(len(result.check) for result in results)
    for result in results:
        state = "ok" if result.passed else "failed"
        line = f"{result.check.replace('_', ' '):{width}}  {state:6}  {result.seconds:6.2f} s  {result.reason}"
        click.echo(_plain(line.rstrip()))
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results) - failed} of {len(results)} checks passed")


def _plain(text: str) -> str:
    """A plugin's text on one line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _host(context: click.Context) -> Host:
    from sightsound.host import Host

    return context.find_object(Host) or Host()
