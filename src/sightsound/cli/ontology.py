"""The commands `sightsound ontology tree`, `find`, `path` and `show`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import host, json_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.classify.ontology import Ontology, OntologyNode


@click.group()
def ontology() -> None:
    """Explore the AudioSet ontology: 632 kinds of sound, 521 of them classes (*) of YAMNet.

    (a) marks abstract kinds, which only group others; (b) marks kinds that Google's raters did not use.
    """


@ontology.command()
@click.argument("name", required=False)
@click.option("--depth", type=click.IntRange(0), help="The number of levels below.")
@json_option()
@click.pass_context
def tree(context: click.Context, name: str | None, depth: int | None, as_json: bool) -> None:
    """Print the kinds below a kind of sound, or all."""
    found, known = _load(context)
    tops = [found[name]] if name else list(found.roots)
    if as_json:
        output.print_json([_tree_json(found, known, top, depth) for top in tops])
        return
    for top in tops:
        _print_tree(found, known, top, depth, 0)


@ontology.command()
@click.argument("words", nargs=-1, required=True)
@table_options
@click.pass_context
def find(context: click.Context, words: tuple[str, ...], table: TableOutput) -> None:
    """Find kinds of sound by words of their names or descriptions."""
    table.check()
    found, known = _load(context)
    nodes = found.find(" ".join(words))
    table.write_objects([_node_json(node, known) for node in nodes], ("id", "name"))
    if not table.shown:
        return
    rows = [(_marked_name(n, known), n.id, " > ".join(above.name for above in found.lineage(n)[:-1])) for n in nodes]
    output.print_table(["kind of sound", "id", "below"], rows) if rows else output.echo("nothing found")
    context.exit(0 if rows else 1)


@ontology.command()
@click.argument("a")
@click.argument("b")
@json_option()
@click.pass_context
def path(context: click.Context, a: str, b: str, as_json: bool) -> None:
    """Print the path from A to B over the nearest kind that has both below it."""
    found, known = _load(context)
    way, links = found.path(a, b), found.distance(a, b)
    if as_json:
        output.print_json({"distance": links, "path": [_node_json(node, known) for node in way]})
        return
    output.echo(" > ".join(printable(node.name) for node in way))
    top = found.lowest_common_ancestor(a, b)
    output.echo(f"{links} links" + (f" over {printable(top.name)}" if top else "; they share no root"))


@ontology.command()
@click.argument("name")
@json_option()
@click.pass_context
def show(context: click.Context, name: str, as_json: bool) -> None:
    """Print Google's description of a kind of sound, and the kinds above and below it."""
    found, known = _load(context)
    node = found[name]
    kin = {"parents": found.parents(node), "children": found.children(node)}
    if as_json:
        output.print_json({**_node_json(node, known), **{key: [n.name for n in nodes] for key, nodes in kin.items()}})
        return
    output.echo(f"{_marked_name(node, known)}  {printable(node.id)}\n{node.description}")
    for key, nodes in kin.items():
        output.echo(f"{key}: {', '.join(printable(n.name) for n in nodes) or 'none'}")


def _load(context: click.Context) -> tuple[Ontology, frozenset[str]]:
    """Load the ontology, and the ids of the classes of the default sound network if that is installed."""
    from sightsound.classify.ontology_file import load_ontology

    here = host(context)
    card = next((card for card in here.cards.values() if card.default_for == "sound"), None)
    return load_ontology(here.weights), frozenset(card.label_ids if card else ())


def _marked_name(node: OntologyNode, known: frozenset[str]) -> str:
    marks = ((" *", node.id in known), (" (a)", node.abstract), (" (b)", node.blacklisted))
    return printable(node.name) + "".join(mark for mark, holds in marks if holds)


def _node_json(node: OntologyNode, known: frozenset[str]) -> dict[str, Any]:
    return {**dataclasses.asdict(node), "class": node.id in known}


def _print_tree(found: Ontology, known: frozenset[str], node: OntologyNode, depth: int | None, level: int) -> None:
    output.echo("  " * level + _marked_name(node, known))
    if depth is None or level < depth:
        for child in found.children(node):
            _print_tree(found, known, child, depth, level + 1)


def _tree_json(found: Ontology, known: frozenset[str], node: OntologyNode, depth: int | None) -> dict[str, Any]:
    deeper = None if depth is None else depth - 1
    children = [] if depth == 0 else [_tree_json(found, known, child, deeper) for child in found.children(node)]
    return {**_node_json(node, known), "children": children}
