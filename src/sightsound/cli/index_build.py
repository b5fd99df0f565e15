"""The command `sightsound index-build`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sightsound.cli import output
from sightsound.cli.settings import library_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.approximate.indexes import VectorIndex


@click.command("index-build")
@library_option()
@click.option(
    "--kind",
    type=click.Choice(["auto", "hnsw", "ivf", "ivf-sq8", "ivf-pq"]),
    default="auto",
    show_default=True,
    help="What to build; auto chooses by the number of vectors and the memory.",
)
@click.option("-m", "--model", "models", multiple=True, help="Only for the vectors of this model; may be repeated.")
def index_build(library: str, kind: str, models: Sequence[str]) -> None:
    """Build an approximate index of the vectors of a library, for searches that need not look at all of them.

    Its recall is measured and shown. `search --exact` does not use it. Vectors that are added later are searched
    exactly, until the index is built anew.
    """
    from sightsound.library.approximate.build import build_index
    from sightsound.library.library import Library
    from sightsound.library.space_names import meant_space

    with Library(library) as opened:
        spaces = [meant_space(model, opened.spaces) for model in models] or [*opened.spaces]
        for space in spaces:
            found = build_index(opened, kind=kind, spaces=[space])[space]
            name = printable(space.name)
            if found is None:
                count = output.count_of(opened.spaces[space], "vector")
                output.echo(f"{name}: {count}, which exact search finds fast; no index was built")
            else:
                output.echo(f"{name}: {_text(found)}")


def _text(index: VectorIndex) -> str:
    parameters = ", ".join(f"{name} {value}" for name, value in index.parameters.items())
    recall = ", ".join(f"recall@{name} {value:.3f}" for name, value in index.recall.items())
    rows = output.count_of(index.rows, "vector")
    return f"{index.kind} of {rows}, {output.format_size(index.bytes)}; {recall}; {parameters}"
