"""`sightsound ontology`: tree, find, path and show."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import host, json_option

if TYPE_CHECKING:
    from sightsound.classify.ontology import Ontology, OntologyNode


@click.group()
def ontology() -> None:
    """The AudioSet ontology: 632 kinds of sound, 521 of which are classes (*) of YAMNet.

    (a) marks abstract kinds, which only group others, (b) those that Google's raters did not use.
    """


@ontology.command()
@click.argument("name", required=False)
@click.option("--depth", type=click.IntRange(0), help="How many levels below.")
@json_option()
@click.pass_context
def tree(context: click.Context, name: str | None, depth: int | None, as_json: bool) -> None:
    """Print what lies below a kind of sound, or everything."""
    found, known = _loaded(context)
    tops = [found[name]] if name else list(found.roots)
    if as_json:
        output.dump([_branch(found, known, top, depth) for top in tops])
        return
    for top in tops:
        _grow(found, known, top, depth, 0)


@ontology.command()
@click.argument("words", nargs=-1, required=True)
@json_option()
@click.pass_context
def find(context: click.Context, words: tuple[str, ...], as_json: bool) -> None:
    """Find kinds of sound by words of their names or descriptions."""
    found, known = _loaded(context)
    nodes = found.find(" ".join(words))
    if as_json:
        output.dump([_plain(node, known) for node in nodes])
        return
    rows = [(_shown(n, known), n.id, " > ".join(above.name for above in found.lineage(n)[:-1])) for n in nodes]
    output.table(["kind of sound", "id", "below"], rows) if rows else click.echo("nothing found")
    context.exit(0 if rows else 1)


@ontology.command()
@click.argument("a")
@click.argument("b")
@json_option()
@click.pass_context
def path(context: click.Context, a: str, b: str, as_json: bool) -> None:
    """Print the way from A over what both lie below to B."""
    found, known = _loaded(context)
    way, links = found.path(a, b), found.distance(a, b)
    if as_json:
        output.dump({"distance": links, "path": [_plain(node, known) for node in way]})
        return
    click.echo(" > ".join(node.name for node in way))
    top = found.lowest_common_ancestor(a, b)
    click.echo(f"{links} links" + (f" over {top.name}" if top else "; they share no root"))


@ontology.command()
@click.argument("name")
@json_option()
@click.pass_context
def show(context: click.Context, name: str, as_json: bool) -> None:
    """Print what Google says of a kind of sound, and what lies above and below it."""
    found, known = _loaded(context)
    node = found[name]
    kin = {"parents": found.parents(node), "children": found.children(node)}
    if as_json:
        output.dump({**_plain(node, known), **{key: [n.name for n in nodes] for key, nodes in kin.items()}})
        return
    click.echo(f"{_shown(node, known)}  {node.id}\n{node.description}")
    for key, nodes in kin.items():
        click.echo(f"{key}: {', '.join(n.name for n in nodes) or 'none'}")


def _loaded(context: click.Context) -> tuple[Ontology, frozenset[str]]:
    """The ontology, and the ids of the default sound network's classes where that is installed."""
    from sightsound.classify.ontology_file import load_ontology
    from sightsound.host.host import DEFAULTS

    here = host(context)
    card = here.cards.get(DEFAULTS["sound"])
    return load_ontology(here.weights), frozenset(card.label_ids if card else ())


def _shown(node: OntologyNode, known: frozenset[str]) -> str:
    marks = ((" *", node.id in known), (" (a)", node.abstract), (" (b)", node.blacklisted))
    return node.name + "".join(mark for mark, holds in marks if holds)


def _plain(node: OntologyNode, known: frozenset[str]) -> dict[str, Any]:
    return {**dataclasses.asdict(node), "class": node.id in known}


def _grow(found: Ontology, known: frozenset[str], node: OntologyNode, depth: int | None, level: int) -> None:
    click.echo("  " * level + _shown(node, known))
    if depth is None or level < depth:
        for child in found.children(node):
            _grow(found, known, child, depth, level + 1)


def _branch(found: Ontology, known: frozenset[str], node: OntologyNode, depth: int | None) -> dict[str, Any]:
    deeper = None if depth is None else depth - 1
    children = [] if depth == 0 else [_branch(found, known, child, deeper) for child in found.children(node)]
    return {**_plain(node, known), "children": children}
