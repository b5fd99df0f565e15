"""The command `sightsound forget`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sightsound.cli import output
from sightsound.cli.settings import library_option
from sightsound.contract.paths import printable


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...")
@library_option()
@click.option("--missing", is_flag=True, help="Remove the items whose files do not exist any more.")
@click.option("--yes", is_flag=True, help="Consent: --missing also where a folder is absent, or most of its files are.")
@click.option("--space", metavar="NAME", help="Remove a model's vectors: its name, or 8 digits of the fingerprint.")
def forget(paths: Sequence[str], library: str, missing: bool, yes: bool, space: str | None) -> None:
    """Remove files or folders, or a model's vectors, from a library; the files themselves stay."""
    from sightsound.library import maintenance

    if bool(paths) + missing + (space is not None) != 1:
        raise click.UsageError("expected one of PATH..., --missing and --space")
    if space is not None:
        output.echo(f"{maintenance.forget_space(space, library)} vectors forgotten")
        return
    items = maintenance.forget_missing(library, yes=yes) if missing else maintenance.forget(paths, library)
    for item in items:
        output.echo(f"forgot {printable(item)}")
    output.echo(f"{output.count_of(len(items), 'item')} forgotten")
