"""The command `sightsound remove-model`."""

from __future__ import annotations

import click

from sightsound.cli import output
from sightsound.cli.settings import host
from sightsound.contract.paths import printable


@click.command("remove-model")
@click.argument("name")
@click.pass_context
def remove_model(context: click.Context, name: str) -> None:
    """Remove model NAME, which `sightsound import-model` made. Its vectors stay in libraries."""
    from sightsound.host.importing import remove_model as run

    run(name, host=host(context))
    output.echo(f"{printable(name)} is removed")
