"""The command `sightsound copy`."""

from __future__ import annotations

import click

from sightsound.cli import output
from sightsound.contract.paths import printable


@click.command()
@click.argument("library")
@click.argument("to")
def copy(library: str, to: str) -> None:
    """Copy LIBRARY into the new folder TO, also while it is written: the copy is as of its last commit.

    A library of an older format becomes one of the present format.
    """
    from sightsound.library.copying import copy_library

    copy_library(library, to)
    output.echo(f"{printable(library)} is copied to {printable(to)}")
