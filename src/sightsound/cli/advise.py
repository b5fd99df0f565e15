"""The command `sightsound advise`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output, reports
from sightsound.cli.destinations import check_destinations
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import library_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.learn.advise import Advice


@click.command()
@library_option()
@click.option("-m", "--model", "models", multiple=True, help="A network; may be repeated.  [all of the library]")
@reports.column_option()
@reports.label_options
@reports.samples_option()
@click.option("--plot", metavar="PNG", help="Draw class counts, accuracies, learning curve and confusions.")
@table_options
def advise(
    library: str, models: Sequence[str], plot: str | None, max_samples: int | None, table: TableOutput, **labels: Any
) -> None:
    """Recommend a method for a labelled collection, and show the evidence.

    As CSV or Parquet there is a row for each method; JSON has the evidence, too.
    """
    from sightsound.learn.advise import advise as recommend
    from sightsound.learn.label_table import Labels
    from sightsound.learn.load import load_datasets

    read = [labels["source"]] if labels["source"] else []
    check_destinations(plot=plot, inputs=read, library=library)
    table.check(inputs=read, library=library)
    most = reports.samples_setting(max_samples)
    found = recommend(load_datasets(library, models, Labels(**labels), max_samples=most))
    if plot:
        from sightsound.plot.reports import plot_advice

        plot_advice(found, plot)
    methods = [dataclasses.asdict(each) for each in found.suggestions]
    table.write_objects(methods, document=lambda: dataclasses.asdict(found))
    if table.shown:
        _print_advice(found, library)


def _print_advice(found: Advice, library: str) -> None:
    items = sum(count for _, count in found.counts)
    output.print_table(["class", "items"], found.counts[: reports.MAX_CLASSES])
    reports.print_more(len(found.counts) - reports.MAX_CLASSES)
    output.echo(f"{items} items; the commonest class has {found.imbalance:.1f} x the rarest\n")
    for pair in found.near_duplicates:
        first, second = (f"{item} ({label})" for item, label in zip((pair.first, pair.second), pair.classes))
        text = f"nearly the same ({pair.similarity:.4f}): {printable(first)} and {printable(second)}"
        output.echo(text, err=True)
    networks = [(each.model, str(each.probe), str(each.neighbours)) for each in found.networks]
    output.print_table(["network", "linear probe (95 %)", "5 nearest neighbours"], networks)
    reports.print_curve(found.networks[0].report)
    output.echo()
    methods = [(each.rank, each.method, "yes" if each.suits else "no", each.reason) for each in found.suggestions]
    output.print_table(["", "method", "", "why"], methods)
    reports.print_notes(found.notes)
    output.echo(f"\ndo this first: {found.best.method}")
    if any(each.method == "fine-tuning" and each.suits for each in found.suggestions):
        name = printable(found.networks[0].model.partition("[")[0])
        output.echo(f"fine-tuning: sightsound finetune --library {printable(library)} --model {name} --out NAME")
