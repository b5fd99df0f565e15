"""The commands `sightsound weights list`, `get`, `verify`, `path` and `compiled`."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output, settings
from sightsound.cli.exports import TableOutput, table_options
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.card import WeightFile
    from sightsound.host.host import Host


@click.group()
def weights() -> None:
    """Manage the weight files of the networks."""


@weights.command("list")
@table_options
@click.pass_context
def list_(context: click.Context, table: TableOutput) -> None:
    """List every weight file, and AudioSet's ontology: its size, state, identity and licence.

    The state is present, fetchable or missing. The identity is what the content is compared with: a published SHA-256,
    a git blob id, the first digits of the SHA-256 in the file's name, or nothing: such a file is taken as it is on its
    first use, and must be the same later.
    """
    from sightsound.classify import ontology_file

    table.check()
    host = settings.host(context)
    rows = [
        _describe_file(host, card.name, card.license, file) for card in host.cards.values() for file in card.weights
    ]
    rows.append(_describe_file(host, "ontology", ontology_file.ONTOLOGY_LICENSE, ontology_file.ONTOLOGY_FILE))
    table.write_objects(rows)
    if not table.shown:
        return
    cells = [
        (r["model"], r["file"], output.format_size(r["size"]), r["state"], _identity(r), r["license"]) for r in rows
    ]
    output.print_table(["model", "file", "size", "state", "identity", "licence"], cells)
    for row in rows:
        if row["problem"]:
            output.echo(f"{printable(row['model'])}, {printable(row['file'])}: {row['problem']}", err=True)


@weights.command()
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="The files of all models.")
@click.pass_context
def get(context: click.Context, name: str | None, everything: bool) -> None:
    """Fetch the files of model NAME (or the file NAME), and print the SHA-256 and path of each."""
    if everything == (name is not None):
        raise click.UsageError("expected one of NAME and --all")
    host = settings.host(context)
    failed = False
    for model, file in _files(host, name):
        try:
            found = host.weights.get(file, model=model, plugin=_plugin(host, model))
        except SightsoundError as error:
            if not everything:
                raise
            failed = True
            output.echo(printable(error), err=True)
        else:
            output.echo(found.sha256.encode() + b"  " + os.fsencode(found.path))
    if failed:
        context.exit(1)


@weights.command()
@click.pass_context
def verify(context: click.Context) -> None:
    """Compute the SHA-256 of every fetched file again; exit code 1 if one is damaged."""
    rows = list(settings.host(context).weights.verify())
    for row in rows:
        output.echo(f"{'ok' if row.ok else 'damaged'}  ".encode() + os.fsencode(row.path))
    for row in rows:
        if not row.ok:
            name, got = printable(row.path.name), row.got or "nothing that can be read"
            advice = f"run `sightsound weights get {name}` to fetch it again"
            output.echo(f"{name}: expected SHA-256 {row.sha256}, got {got}; {advice}", err=True)
    if not all(row.ok for row in rows):
        context.exit(1)


@weights.command()
@click.argument("name")
@click.pass_context
def path(context: click.Context, name: str) -> None:
    """Print only the paths of the files of model NAME (or of the file NAME); exit code 2 if one is missing."""
    host = settings.host(context)
    found = [_find_file(host, model, file) for model, file in _files(host, name)]
    for place in found:
        output.echo(os.fsencode(place))


@weights.command()
@click.option("--clear", is_flag=True, help="Remove them; they are made again when they are needed.")
@table_options
@click.pass_context
def compiled(context: click.Context, clear: bool, table: TableOutput) -> None:
    """List the networks that runtimes have compiled on this machine, or remove them."""
    from sightsound.host.compiled_files import compiled_files, remove_compiled

    if clear and table != TableOutput():
        raise click.UsageError("--clear prints no table; leave --csv, --json, --parquet and --out out")
    table.check()
    found = compiled_files(settings.host(context).weights.compiled_folder)
    if clear:
        gone = [each for each in found if remove_compiled(each)]
        size = output.format_size(sum(each.size for each in gone))
        busy = f"; {len(found) - len(gone)} in use" if len(gone) < len(found) else ""
        output.echo(f"{len(gone)} removed, {size}{busy}")
        return
    names = ("network", "runtime", "size")
    table.write_objects([{name: getattr(each, name) for name in names} for each in found], names)
    if not table.shown:
        return
    cells = [(each.network or "?", each.runtime, output.format_size(each.size), _day(each.used)) for each in found]
    output.print_table(["network", "runtime", "size", "last used"], cells)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds)) if seconds else ""


def _files(host: Host, name: str | None) -> list[tuple[str, WeightFile]]:
    """Return (model, file) for a model, for the name of a file, or for all if there is no name."""
    from sightsound.classify import ontology_file

    every = [(card.name, file) for card in host.cards.values() for file in card.weights]
    every.append(("ontology", ontology_file.ONTOLOGY_FILE))
    if name is None:
        return every
    named = [(model, file) for model, file in every if name in (model, file.name)]
    return named or [(name, file) for file in host.card(name).weights]


def _find_file(host: Host, model: str, file: WeightFile) -> Path:
    found = host.weights.find(file)
    if found is None:
        raise host.weights.missing(file, model=model, plugin=_plugin(host, model))
    return found.path


def _plugin(host: Host, model: str) -> str:
    """Return the plugin that a model belongs to; the ontology belongs to none."""
    return "" if model == "ontology" else host.plugin_of(model)


def _identity(row: dict[str, Any]) -> str:
    seen = row["first_seen"]
    return f"{row['identity']}: {seen[:8]}..." if seen and row["identity"] == "taken on first use" else row["identity"]


def _describe_file(host: Host, model: str, license: str, file: WeightFile) -> dict[str, Any]:
    from sightsound.weights.hashes import identity

    state, problem = host.weights.examine(file)
    return {
        "model": model,
        "file": file.name,
        "size": file.size,
        "state": state,
        "problem": problem,
        "identity": identity(file),
        "first_seen": host.weights.cache.first_seen(file) if not (file.sha256 or file.git_blob) else "",
        "license": license,
        "sha256": file.sha256,
        "git_blob": file.git_blob,
    }
