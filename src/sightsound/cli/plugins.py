"""The command `sightsound plugins`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import host

if TYPE_CHECKING:
    from sightsound.host.discovery import Plugin


@click.command()
@table_options
@click.pass_context
def plugins(context: click.Context, table: TableOutput) -> None:
    """List every installed plugin, and why one is blocked or broken."""
    table.check()
    known = host(context)
    found, runtimes = known.plugins, known.offered_runtimes()
    facts = [
        {
            "missing": [runtimes[name][1] for name in plugin.runtimes if runtimes[name][1]],
            "precisions": {name: runtimes[name][0] for name in plugin.runtimes},
        }
        for plugin in found
    ]
    table.write_objects([{**dataclasses.asdict(plugin), **more} for plugin, more in zip(found, facts)])
    if not table.shown:
        return
    texts = {
        name: f"{name} ({missing or ', '.join(precisions) or 'nothing without a GPU'})"
        for name, (precisions, missing) in runtimes.items()
    }
    rows = [
        (each.name, f"{each.distribution} {each.version}".strip(), each.status, _provided(each, texts))
        for each in found
    ]
    output.print_table(["plugin", "distribution", "status", "what it has, or why not"], rows)


def _provided(plugin: Plugin, runtimes: Mapping[str, str]) -> str:
    """Return what a plugin registers, after the reason if it is not in use, or not with all its names."""
    kinds = {
        "": plugin.embedders,
        "stages: ": plugin.stages,
        "runtimes: ": [runtimes[name] for name in plugin.runtimes],
        "options: ": plugin.options,
        "formats: ": plugin.importers,
        "exports: ": plugin.exporters,
    }
    parts = [plugin.reason, *(kind + ", ".join(names) for kind, names in kinds.items() if names)]
    return "; ".join(filter(None, parts)) or "answers for names that nobody registered"
