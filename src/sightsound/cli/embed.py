"""The command `sightsound embed`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import click

from sightsound.cli import output
from sightsound.cli.destinations import check_destinations
from sightsound.cli.settings import device_option, host
from sightsound.contract.paths import printable

_SHOWN = 20  # files without rows that are printed


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-o", "--out", required=True, metavar="NPZ", help="The file to write.")
@click.option("-m", "--model", help="The model; by default that of the modality of the first file.")
@click.option("--layer", "layers", multiple=True, help="A layer of the network instead of the last; may be repeated.")
@click.option("--pool", default="", metavar="avg|max|std|flat", help="How positions become one row; + joins several.")
@device_option()
@click.pass_context
def embed(
    context: click.Context,
    paths: Sequence[str],
    out: str,
    model: str | None,
    layers: Sequence[str],
    pool: str,
    device: str,
) -> None:
    """Write the embeddings of files to an .npz: embeddings, paths, seconds and, if there are any, scores.

    With several layers (see `sightsound models layers NAME`) the file has embeddings[LAYER] for each, from one pass.
    """
    from sightsound.pipeline.embeddings import embed as run
    from sightsound.pipeline.embeddings import save_embeddings

    check_destinations(out, endings=(".npz",), inputs=paths)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the outcomes below say the same
        rows = run(paths, model, host=host(context), device=device, layers=layers, layer_pool=pool)
        count = save_embeddings(rows, out)
    failed = [outcome for outcome in rows.outcomes if outcome.status != "ok"]
    for outcome in failed[:_SHOWN]:
        output.echo(f"{printable(outcome.item)}: {printable(outcome.reason or outcome.status)}", err=True)
    if len(failed) > _SHOWN:
        output.echo(f"... and {len(failed) - _SHOWN} more", err=True)
    output.echo(f"{count} rows of {len(rows.outcomes) - len(failed)} files in {printable(out)}")
    output.echo(f"{rows.model}: {rows.execution}")
    context.exit(1 if failed else 0)
