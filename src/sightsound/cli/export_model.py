"""The command `sightsound export-model`."""

from __future__ import annotations

import click

from sightsound.cli import output, reports
from sightsound.cli.destinations import check_destinations
from sightsound.cli.settings import host
from sightsound.contract.paths import printable


@click.command("export-model")
@click.argument("name")
@click.option("--to", default="", metavar="onnx|safetensors|openvino", help="The format; that of the file by default.")
@click.option("-o", "--out", required=True, metavar="FILE", help="The file to write, such as NAME.onnx.")
@click.option("--probe", metavar="FILE", help="A probe that gives the scores, in place of the network's own classes.")
@click.pass_context
def export_model(context: click.Context, name: str, to: str, out: str, probe: str | None) -> None:
    """Write network NAME to a file for other programs, which `sightsound import-model` reads again.

    The file has the network and what its input is: size, mean, sample rate, windows, and the labels of its classes. It
    is imported once, and compared with the network, before it takes its place. Which formats there are depends on the
    plugins, see `sightsound plugins`.
    """
    from sightsound.host.exporting import export_model as run

    check_destinations(out, inputs=[probe] if probe else [])
    head = reports.load_linear_probe(probe) if probe else None
    files = run(name, out, to=to, probe=head, host=host(context))
    output.echo(f"{printable(name)} is in {' and '.join(map(printable, files))}")
    names = " ".join(map(printable, files))
    output.echo(f"next: sightsound import-model {names} --name my_net")
