"""The command `sightsound plugins`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
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
    found, missing = known.plugins, known.missing_packages()
    if as_json:
        needs = [{"missing": [missing[name] for name in plugin.runtimes if name in missing]} for plugin in found]
        output.print_json([{**dataclasses.asdict(plugin), **need} for plugin, need in zip(found, needs)])
        return
    rows = [(each.name, f"{each.distribution} {each.version}", each.status, _provided(each, missing)) for each in found]
    output.print_table(["plugin", "distribution", "status", "what it has, or why not"], rows)


def _provided(plugin: Plugin, missing: Mapping[str, str]) -> str:
    """Return what a plugin registers, after the reason if it is not in use, or not with all its names."""
    kinds = {
        "": plugin.embedders,
        "stages: ": plugin.stages,
        "runtimes: ": [f"{name} ({missing[name]})" if name in missing else name for name in plugin.runtimes],
        "options: ": plugin.options,
        "formats: ": plugin.importers,
        "exports: ": plugin.exporters,
    }
    parts = [plugin.reason, *(kind + ", ".join(names) for kind, names in kinds.items() if names)]
    return "; ".join(filter(None, parts)) or "answers for names that nobody registered"
