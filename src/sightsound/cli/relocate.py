"""The command `sightsound relocate`."""

from __future__ import annotations

import click

from sightsound.cli import output
from sightsound.cli.settings import library_option
from sightsound.contract.paths import printable


@click.command()
@click.argument("old")
@click.argument("new")
@library_option()
def relocate(old: str, new: str, library: str) -> None:
    """Tell a library that the folder OLD, with all that was indexed in it, is at NEW now."""
    from sightsound.library.maintenance import relocate as move

    count = move(old, new, library)
    output.echo(f"{count} items are below {printable(new)} now")
