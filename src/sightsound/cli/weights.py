"""`sightsound weights`: list, get, verify and path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output, settings
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.card import WeightFile
    from sightsound.host.host import Host


@click.group()
def weights() -> None:
    """The files that the networks' numbers come from."""


@weights.command("list")
@settings.json_option()
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """Every weight file, and AudioSet's ontology: size, state (present, fetchable, missing) and licence."""
    from sightsound.classify import ontology_file

    host = settings.host(context)
    rows = [_row(host, card.name, card.license, file) for card in host.cards.values() for file in card.weights]
    rows.append(_row(host, "ontology", ontology_file.ONTOLOGY_LICENSE, ontology_file.ONTOLOGY_FILE))
    if as_json:
        output.dump(rows)
        return
    cells = [(r["model"], r["file"], output.size(r["size"]), r["state"], r["license"]) for r in rows]
    output.table(["model", "file", "size", "state", "licence"], cells)


@weights.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="The files of all models.")
@click.pass_context
def get(context: click.Context, name: str | None, everything: bool) -> None:
    """Fetch what model NAME needs (or the file NAME) and print each file's SHA-256 and path."""
    if everything == (name is not None):
        raise click.UsageError("expected one of NAME and --all")
    host = settings.host(context)
    failed = False
    for model, file in _files(host, name):
        try:
            found = host.weights.get(file, model=model)
        except SightsoundError as error:
            if not everything:
                raise
            failed = True
            click.echo(f"{model}: {error}", err=True)
        else:
            click.echo(found.sha256.encode() + b"  " + os.fsencode(found.path))
    if failed:
        context.exit(1)


@weights.command()
@click.pass_context
def verify(context: click.Context) -> None:
    """Hash every fetched file anew; exit with 1 where one is damaged."""
    rows = list(settings.host(context).weights.verify())
    for row in rows:
        click.echo(f"{'ok' if row.ok else 'damaged'}  ".encode() + os.fsencode(row.path))
    for row in rows:
        if not row.ok:
            name, got = printable(row.path.name), row.got or "nothing that can be read"
            advice = f"run `sightsound weights get {name}` to fetch it again"
            click.echo(f"{name}: expected SHA-256 {row.sha256}, got {got}; {advice}", err=True)
    if not all(row.ok for row in rows):
        context.exit(1)


@weights.command()
@click.argument("name")
@click.pass_context
def path(context: click.Context, name: str) -> None:
    """Print where the files of model NAME (or the file NAME) are, nothing else; exit with 2 where one is missing."""
    host = settings.host(context)
    found = [_here(host, model, file) for model, file in _files(host, name)]
    for place in found:
        click.echo(os.fsencode(place))


def _files(host: Host, name: str | None) -> list[tuple[str, WeightFile]]:
    """(model, file) for a model, for a file name, or for all. Raises `UnknownModel`."""
    from sightsound.classify import ontology_file

    every = [(card.name, file) for card in host.cards.values() for file in card.weights]
    every.append(("ontology", ontology_file.ONTOLOGY_FILE))
    if name is None:
        return every
    named = [(model, file) for model, file in every if name in (model, file.name)]
    return named or [(name, file) for file in host.card(name).weights]


def _here(host: Host, model: str, file: WeightFile) -> Path:
    found = host.weights.find(file)
    if found is None:
        raise host.weights.missing(file, model=model)
    return found.path


def _row(host: Host, model: str, license: str, file: WeightFile) -> dict[str, Any]:
    return {
        "model": model,
        "file": file.name,
        "size": file.size,
        "state": host.weights.state(file),
        "license": license,
        "sha256": file.sha256,
        "git_blob": file.git_blob,
    }
