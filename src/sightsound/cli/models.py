"""The commands `sightsound models` and `sightsound models layers`."""

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
    """List every network: its input and output, its licence, and whether its weights are here."""
    if context.invoked_subcommand is not None:
        return
    found = host(context)
    described = [_describe(found, card) for card in found.cards.values()]
    if as_json:
        output.print_json(described)
        return
    header = ["name", "takes", "dim", "input", "rate", "classes", "params", "depth", "top-1", "weights", "licence"]
    output.print_table(header, [_cells(model) for model in described])
    output.echo(f"{len(described)} models; * is the default. Plugins may know more by name: see plugins/README.md")


@models.command()
@click.argument("name")
@json_option()
@click.pass_context
def layers(context: click.Context, name: str, as_json: bool) -> None:
    """List the layers of network NAME, to be used as NAME[layer=LAYER], and the shape of their output for one input."""
    found = host(context).layers(name)
    if as_json or (context.parent is not None and context.parent.params["as_json"]):
        output.print_json([{**dataclasses.asdict(layer), "dim": layer.dim} for layer in found])
        return
    rows = [(layer.name, layer.kind, _shape(layer.shape), layer.dim, layer.calls) for layer in found]
    output.print_table(["layer", "kind", "output", "dim", "calls"], rows)


def _describe(found: Host, card: Card) -> dict[str, Any]:
    """Return the fields of a card, whether it is a default, and the state of its weights."""
    from sightsound.host.host import DEFAULTS

    states = [found.weights.state(file) for file in card.weights]
    state = next((s for s in ("missing", "fetchable") if s in states), "present" if states else "none needed")
    described = json.loads(card.to_json())
    described["classes"] = len(described.pop("labels"))
    return {**described, "state": state, "default": DEFAULTS.get(card.modality) == card.name}


def _cells(model: dict[str, Any]) -> list[object]:
    return [
        model["name"] + (" *" if model["default"] else ""),
        model["modality"],
        model["dim"],
        _shape(model["input_shape"]),
        model["sample_rate"],
        model["classes"] or None,
        f"{model['params'] / 1e6:.1f} M" if model["params"] else "",
        model["depth"],
        model["top1"],
        model["state"],
        model["license"],
    ]


def _shape(sizes: Any) -> str:
    return "x".join(map(str, sizes))
