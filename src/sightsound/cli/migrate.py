"""The command `sightsound migrate`."""

from __future__ import annotations

import click

from sightsound.cli import output
from sightsound.contract.paths import printable


@click.command()
@click.argument("library")
@click.option("--to", metavar="FOLDER", help="A new folder, where LIBRARY cannot be written; it stays as it is.")
def migrate(library: str, to: str | None) -> None:
    """Bring LIBRARY, of an older version of sightsound, to the present format.

    Every command that writes does this, too. Without --to, a copy of the old database stays beside the new one.
    """
    from sightsound.library.maintenance import migrate as bring

    bring(library, to)
    output.echo(f"{printable(to or library)} is in the present format")
