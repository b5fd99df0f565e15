"""The command `sightsound import`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import device_option, host, json_option, library_option, refuse_given
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.card import Modality
    from sightsound.library.incoming.report import ImportReport, Verification

_SHOWN = 20  # rows that were left out and are printed


@click.command("import")
@click.argument("file", required=False, metavar="[FILE]")
@library_option()
@click.option("--space", default="", metavar="NAME", help="The name of the space that the rows become.")
@click.option("--labels", multiple=True, metavar="COLUMN,...", help="Columns that become labels; may be repeated.")
@click.option("--root", metavar="FOLDER", help="The folder of relative paths; by default that of FILE.")
@click.option("--modality", type=click.Choice(["image", "sound"]), help="What the rows are of.")
@click.option("--made-by", "model", default="", metavar="MODEL", help="The network that made the rows, for the record.")
@click.option("--version", default="", metavar="TEXT", help="Its version, for the record.")
@click.option("--verify", is_flag=True, help="Embed a few files again; rows that agree join the space of the network.")
@device_option()
@json_option()
@click.pass_context
def import_(
    context: click.Context,
    file: str | None,
    library: str,
    space: str,
    labels: Sequence[str],
    root: str | None,
    modality: Modality | None,
    model: str,
    version: str,
    verify: bool,
    device: str,
    as_json: bool,
) -> None:
    """Import the rows of FILE, a .parquet or .npz that another program made, as a space of their own.

    FILE has a column path, embedding (or vector), and maybe root, start and stop, content (SHA-256), and labels. Rows
    that claim a network of sightsound are in a space "NAME (imported)". --verify, with or without FILE, embeds a few
    files again, and lets rows that agree join the space of the network.
    """
    from sightsound.library.incoming.import_rows import import_rows
    from sightsound.library.incoming.report import ImportReport
    from sightsound.library.incoming.verify_rows import verify_rows

    if file is None and not verify:
        raise click.UsageError("expected FILE, or --verify for rows that were imported before")
    if file is None:
        refuse_given(context, ["labels", "root", "modality", "model", "version"], "FILE, whose rows it is about")
    here = host(context)
    if file is None:
        report = ImportReport(verified=verify_rows(library, space=space, host=here, device=device))
    else:
        columns = [column.strip() for text in labels for column in text.split(",") if column.strip()]
        names: dict[str, Any] = {"space": space, "model": model, "version": version}
        names |= {"labels": columns, "root": root, "modality": modality}
        report = import_rows(file, library, **names, verify=verify, host=here, device=device)
    if as_json:
        output.print_json(_json(report))
    else:
        _print(report, file)
    context.exit(1 if report.left_out_count else 0)


def _print(report: ImportReport, file: str | None) -> None:
    for row in report.left_out[:_SHOWN]:
        output.echo(f"left out: {printable(row)}", err=True)
    if report.left_out_count > _SHOWN:
        output.echo(f"... and {report.left_out_count - _SHOWN} more", err=True)
    if file is not None:
        names = ", ".join(printable(space.name) for space in report.spaces)
        rows, items = output.count_of(report.rows, "row"), output.count_of(report.items, "file")
        scored = ", with scores," if report.scores else ""
        parts = [f"{rows} of {items}{scored} imported into {names}"]
        parts += [f"{report.unchanged} unchanged"] if report.unchanged else []
        parts += [f"{report.absent} not on this machine"] if report.absent else []
        output.echo("; ".join(parts))
        for note in report.notes:
            output.echo(note, err=True)
    for each in report.verified:
        files = output.count_of(each.files, "file")
        output.echo(
            f"{printable(each.space.name)}: {files} agree to {each.farthest:.1e}; {each.rows} rows joined the network's"
        )


def _json(report: ImportReport) -> dict[str, Any]:
    return {
        "spaces": [{"name": space.name, "fingerprint": space.fingerprint} for space in report.spaces],
        "items": report.items,
        "unchanged": report.unchanged,
        "rows": report.rows,
        "scores": report.scores,
        "absent": report.absent,
        "left_out": [vars(row) for row in report.left_out],
        "left_out_count": report.left_out_count,
        "notes": report.notes,
        "verified": [_verified_json(each) for each in report.verified],
    }


def _verified_json(each: Verification) -> dict[str, Any]:
    return {"space": each.space.name, "files": each.files, "farthest": each.farthest, "rows": each.rows}
