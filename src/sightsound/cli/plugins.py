"""The command `sightsound plugins`."""

from __future__ import annotations

import dataclasses

import click

from sightsound.cli import output
from sightsound.cli.settings import host, json_option


@click.command()
@json_option()
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List every installed plugin, and why one is blocked or broken."""
    found = host(context).plugins
    if as_json:
        output.print_json([dataclasses.asdict(plugin) for plugin in found])
        return
    rows = [
        (each.name, f"{each.distribution} {each.version}", each.status, each.reason or ", ".join(each.embedders))
        for each in found
    ]
    output.print_table(["plugin", "distribution", "status", "embedders, or why not"], rows)
