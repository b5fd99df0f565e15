"""The command `sightsound plugins`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from sightsound.cli import output
from sightsound.cli.settings import host, json_option

if TYPE_CHECKING:
    from sightsound.host.discovery import Plugin


@click.command()
@json_option()
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List every installed plugin, and why one is blocked or broken."""
    known = host(context)
    found, missing, precisions = known.plugins, known.missing_packages(), known.offered_precisions()
    if as_json:
        facts = [
            {
                "missing": [missing[name] for name in plugin.runtimes if name in missing],
                "precisions": {name: precisions[name] for name in plugin.runtimes},
            }
            for plugin in found
        ]
        output.print_json([{**dataclasses.asdict(plugin), **more} for plugin, more in zip(found, facts)])
        return
    runtimes = {name: f"{name} ({missing.get(name) or _precisions(each)})" for name, each in precisions.items()}
    rows = [
        (each.name, f"{each.distribution} {each.version}".strip(), each.status, _provided(each, runtimes))
        for each in found
    ]
    output.print_table(["plugin", "distribution", "status", "what it has, or why not"], rows)


def _precisions(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing without a GPU"


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
