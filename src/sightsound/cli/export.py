"""The command `sightsound export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import Windows, filter_of, filter_options, host
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.filters import Filter
    from sightsound.library.library import Library


@click.command()
@click.argument("library", metavar="LIBRARY")
@click.option("-o", "--to", "out", required=True, metavar="FILE", help="The file to write: .parquet, .csv or .npz.")
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["embedding-atlas", "huggingface"]),
    help="A table of items with coordinates, neighbours and media, or a folder for `datasets`.",
)
@click.option(
    "-m", "--space", metavar="NAME", help="The network whose vectors are written, or digits of the fingerprint."
)
@filter_options()
@click.option("-k", "--top", type=click.IntRange(0), help="At most so many of the best classes of a row.  [5]")
@click.option("--neighbours", type=click.IntRange(0), help="For embedding-atlas: of each item.  [15]")
@click.option(
    "--media",
    type=click.Choice(["small", "file", "path", "none"]),
    help="For embedding-atlas: small copies, the files, their paths, or nothing.  [small]",
)
@click.option("--copy", is_flag=True, help="For huggingface: copies of the files instead of links.")
@click.option(
    "--metadata", type=click.Choice(["csv", "parquet"]), help="For huggingface: the form of the metadata.  [csv]"
)
@click.pass_context
def export(
    context: click.Context,
    /,
    library: str,
    out: str,
    purpose: str | None,
    space: str | None,
    top: int | None,
    neighbours: int | None,
    media: Any,
    copy: bool,
    metadata: Any,
    **chosen: Any,
) -> None:
    """Write the vectors of a library to a file for other programs.

    Beside FILE the meaning of its columns is written, as FILE.columns.json without the ending of FILE. Exit code 1 if
    items are left out of a folder for huggingface, or have no media in a table for embedding-atlas.
    """
    from sightsound.library.library import Library

    given = {"--top": top, "--neighbours": neighbours, "--media": media, "--copy": copy or None, "--metadata": metadata}
    _check(purpose, {name: value for name, value in given.items() if value is not None}, space)
    with Library(library) as opened:
        where = filter_of(opened, lambda: host(context), chosen, windows=_WINDOWS[purpose])
        if purpose == "huggingface":
            whole = _folder(opened, out, where, copy, metadata)
        elif purpose == "embedding-atlas":
            whole = _atlas(opened, out, where, space, media or "small", 15 if neighbours is None else neighbours)
        else:
            from sightsound.library.export.rows import export_rows

            rows = export_rows(opened, out, space=space, where=where, best=5 if top is None else top)
            output.echo(f"{output.count_of(rows, 'vector')} in {printable(out)}")
            whole = True
    context.exit(0 if whole else 1)


_WINDOWS: dict[str | None, Windows] = {None: "written", "embedding-atlas": "found", "huggingface": "none"}
_OPTIONS: dict[str | None, set[str]] = {
    None: {"--top"},
    "embedding-atlas": {"--neighbours", "--media"},
    "huggingface": {"--copy", "--metadata"},
}


def _check(purpose: str | None, given: dict[str, Any], space: str | None) -> None:
    """Refuse options that do not fit what is written."""
    if wrong := sorted(set(given) - _OPTIONS[purpose]):
        what = f"--for {purpose}" if purpose else "a file of vectors"
        raise click.UsageError(f"{wrong[0]} is not for {what}; leave it out")
    if purpose == "huggingface" and space:
        raise click.UsageError("--space is not for --for huggingface, which has no vectors; leave it out")


def _folder(opened: Library, out: str, where: Filter, copy: bool, metadata: Any) -> bool:
    """Write a folder, and return whether it has all items."""
    from sightsound.library.export.huggingface import export_huggingface

    found = export_huggingface(opened, out, where=where, files="copy" if copy else "link", table=metadata or "csv")
    output.echo(f"{output.count_of(found.items, 'item')} in {printable(out)}")
    if found.left_out:
        why = "gone, failed, or of another ending; `sightsound list --gone` and `--failed` show which"
        output.echo(f"{output.count_of(found.left_out, 'item')} left out ({why})", err=True)
    return not found.left_out


def _atlas(opened: Library, out: str, where: Filter, space: str | None, media: Any, neighbours: int) -> bool:
    """Write a table for Embedding Atlas, and return whether all items have their media."""
    from sightsound.library.export.atlas import export_atlas

    found = export_atlas(opened, out, space=space, where=where, media=media, neighbours=neighbours)
    output.echo(f"{output.count_of(found.items, 'item')} in {printable(out)}")
    if found.without_media:
        why = "gone, cannot be read, or over 64 MiB; `sightsound list --gone` shows the first kind"
        output.echo(f"{output.count_of(found.without_media, 'item')} without media ({why})", err=True)
    columns = "--x x --y y" + (" --neighbors neighbors" if neighbours else "")
    if media not in ("path", "none") and opened.chosen_space(space).modality == "image":
        columns += " --image image"
    output.echo(f"next: embedding-atlas {printable(out)} {columns}")
    return not found.without_media
