"""The command `sightsound new-plugin`."""

from __future__ import annotations

import os
from typing import Any

import click

from sightsound.cli import output
from sightsound.contract.paths import printable

_KINDS = ("sound", "image", "onnx", "stage", "runtime")


@click.command("new-plugin")
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), required=True, help="What the plugin adds.")
@click.option("--folder", default=".", metavar="FOLDER", help="Where the package gets its folder.  [default: here]")
def new_plugin(name: str, kind: Any, folder: str) -> None:
    """Write the package of a new plugin NAME, such as acme-birds, which passes every check as it is.

    `sound` and `image` are networks in NumPy to be replaced by yours, `onnx` runs an ONNX file, `stage` changes the
    rows of other networks, `runtime` runs networks in another program.
    """
    from sightsound.testing.plugin_package import new_plugin as run

    made = run(name, kind, folder)
    for file in sorted(path for path in made.rglob("*") if path.is_file()):
        output.echo(printable(os.path.relpath(file)))
    where = printable(os.path.relpath(made))
    output.echo(f'\nnext: pip install --editable "{where}[test]" && python -m pytest {where}')
