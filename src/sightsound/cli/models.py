"""`sightsound models` and `sightsound plugins`"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import host, json_option

if TYPE_CHECKING:
    from sightsound.contract.card import Card
    from sightsound.host.host import Host


@click.group(invoke_without_command=True)
@json_option()
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List every network: what it takes and gives, its licence, and whether its weights are here."""
    if context.invoked_subcommand is not None:
        return
    found = host(context)
    rows = [_row(found, card) for card in found.cards.values()]
    if as_json:
        output.dump(rows)
        return
    header = ["name", "takes", "dim", "input", "rate", "classes", "params", "depth", "top-1", "weights", "licence"]
    output.table(header, [_cells(row) for row in rows])
    click.echo(f"{len(rows)} models; * is the default. Plugins may know more by name: see plugins/README.md")


@models.command()
@click.argument("name")
@json_option()
@click.pass_context
def layers(context: click.Context, name: str, as_json: bool) -> None:
    """List the layers of network NAME for NAME[layer=LAYER], with what each gives for one input."""
    found = host(context).layers(name)
    if as_json or (context.parent is not None and context.parent.params["as_json"]):
        output.dump([{**dataclasses.asdict(layer), "dim": layer.dim} for layer in found])
        return
    rows = [(layer.name, layer.kind, "x".join(map(str, layer.shape)), layer.dim, layer.calls) for layer in found]
    output.table(["layer", "kind", "output", "dim", "calls"], rows)


def _row(found: Host, card: Card) -> dict[str, Any]:
    from sightsound.host.host import DEFAULTS

    states = [found.weights.state(file) for file in card.weights]
    state = next((s for s in ("missing", "fetchable") if s in states), "present" if states else "none needed")
    row = json.loads(card.to_json())
    row["classes"] = len(row.pop("labels"))
    return {**row, "state": state, "default": DEFAULTS.get(card.modality) == card.name}


def _cells(row: dict[str, Any]) -> list[object]:
    return [
        row["name"] + (" *" if row["default"] else ""),
        row["modality"],
        row["dim"],
        "x".join(map(str, row["input_shape"])),
        row["sample_rate"],
        row["classes"] or None,
        f"{row['params'] / 1e6:.1f} M" if row["params"] else "",
        row["depth"],
        row["top1"],
        row["state"],
        row["license"],
    ]


@click.command()
@json_option()
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List every plugin that was found, with the reason where one is blocked or broken."""
    rows = host(context).plugins
    if as_json:
        output.dump([dataclasses.asdict(row) for row in rows])
        return
    cells = [(r.name, f"{r.distribution} {r.version}", r.status, r.reason or ", ".join(r.embedders)) for r in rows]
    output.table(["plugin", "distribution", "status", "embedders, or why not"], cells)
