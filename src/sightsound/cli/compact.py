"""The command `sightsound compact`."""

from __future__ import annotations

import click

from sightsound.cli import output
from sightsound.cli.settings import library_option


@click.command()
@library_option()
def compact(library: str) -> None:
    """Give back the room of what was removed from a library."""
    from sightsound.library.maintenance import compact as give_back

    output.echo(f"{give_back(library) / 1e6:,.1f} MB given back")
