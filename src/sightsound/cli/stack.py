"""The command `sightsound stack`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output, reports
from sightsound.cli.destinations import check_destinations
from sightsound.cli.exports import TableOutput, table_options_without_out
from sightsound.cli.settings import device_option, host, library_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.learn.compare import Candidate


@click.command()
@library_option()
@click.option("-m", "--model", "models", multiple=True, help="A network; may be repeated.  [all of the library]")
@reports.column_option()
@reports.label_options
@reports.samples_option()
@click.option("-o", "--out", metavar="FILE", help="Write the stack; it can be used like a probe.")
@click.option("--top", type=click.Choice(["svm", "logistic", "ridge"]), default="svm", help="The classifier.  [svm]")
@click.option("--combine", type=click.Choice(["concatenate", "average"]), default="concatenate", show_default=True)
@click.option("--folds", "cv", type=click.IntRange(2), help="Folds of the cross-validation.  [5]")
@click.option("--plot", metavar="PNG", help="Draw the accuracies with their intervals.")
@device_option()
@table_options_without_out
@click.pass_context
def stack(
    context: click.Context,
    /,
    library: str,
    models: Sequence[str],
    out: str | None,
    top: Any,
    combine: Any,
    cv: int | None,
    plot: str | None,
    device: str,
    max_samples: int | None,
    table: TableOutput,
    **labels: Any,
) -> None:
    """Compare networks alone and combined, and stack them: fit a classifier to the probabilities that each gives."""
    from sightsound.learn.compare import compare_stored
    from sightsound.learn.label_table import Labels
    from sightsound.linear.stack import Stack

    if labels["fold_column"] and cv:
        raise click.UsageError("--folds or --fold-column, one of the two")
    read = [labels["source"]] if labels["source"] else []
    check_destinations(out, endings=(".probe", ".safetensors"), plot=plot, inputs=read, library=library)
    table.check(inputs=read, library=library)
    how: dict[str, Any] = {"stack": Stack(top, combine=combine, cv=cv), "fit": out is not None, "device": device}
    how["max_samples"] = reports.samples_setting(max_samples)
    found = compare_stored(library, models, Labels(**labels), host=host(context), **how)
    if out and found.stack:
        found.stack.save(out)
    if plot:
        from sightsound.plot.reports import plot_candidates

        plot_candidates(found.candidates, plot)
    table.write_objects([dataclasses.asdict(candidate) for candidate in found.candidates])
    if not table.shown:
        return
    _print_candidates(found.candidates)
    reports.print_notes(found.report.notes)
    if out:
        output.echo(f"\nstack written to {printable(out)}")


def _print_candidates(candidates: Sequence[Candidate]) -> None:
    rows = [
        (
            each.name,
            str(each.accuracy),
            f"{each.macro_f1:.3f}",
            f"{each.gain:+.1f} ({each.gain_low:+.1f} to {each.gain_high:+.1f})",
            "" if each.milliseconds is None else f"{each.milliseconds:.1f}",
            "" if each.gain_per_ms is None else f"{each.gain_per_ms:+.2f}",
        )
        for each in candidates
    ]
    output.print_table(["", "accuracy (95 %)", "macro F1", "gain in points", "ms an item", "points per ms"], rows)
