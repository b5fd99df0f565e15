"""Printing probes and their reports, and the options for labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput
from sightsound.cli.settings import Decorator
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.learn.predict import Probe
    from sightsound.linear.model import LinearModel
    from sightsound.linear.report import ProbeReport

MAX_CLASSES = 40
"""The most classes in a table; --json has all."""


def column_option(*, multiple: bool = False) -> Decorator:
    """Return the option for the column with the classes, or for several columns."""
    more = "; repeat it for one probe each" if multiple else ""
    name = "columns" if multiple else "column"
    text = f"The column with the classes{more}.  [label]"
    return click.option("--label-column", name, multiple=multiple, metavar="NAME", help=text)


def label_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the source of labels, and for the columns with folds and groups."""
    source = "Labels: the folder's name, or a table with a `path` column.  [those in the library]"
    options: list[Decorator] = [
        click.option("--label-from", "source", metavar="folder|FILE", help=source),
        click.option("--fold-column", metavar="NAME", help="A column with official folds."),
        click.option("--group-column", metavar="NAME", help="A column with groups of items that no split divides."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def samples_option() -> Decorator:
    """Return the option for how many labelled rows are loaded."""
    text = "Labelled items, or windows, of which a random sample is taken if there are more.  [100000]"
    return click.option("--max-samples", type=click.IntRange(2), metavar="N", help=text)


def samples_setting(most: int | None) -> int:
    """Return the parameter `max_samples` of functions."""
    from sightsound.learn.labelled_sample import MAX_SAMPLES

    return MAX_SAMPLES if most is None else most


def window_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for windows that have the labels of time ranges."""
    overlap = "The part of a time range or a window, whichever is shorter, that must overlap.  [0.5]"
    others = "--windows: the class of the windows without a time range, of recordings that have some."
    options: list[Decorator] = [
        click.option("--windows", "ranges", is_flag=True, help="Windows with the labels of the library's time ranges."),
        click.option("--min-overlap", type=click.FloatRange(0, 1, min_open=True), metavar="PART", help=overlap),
        click.option("--others", metavar="CLASS", help=others),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def window_settings(ranges: bool, min_overlap: float | None, others: str | None) -> dict[str, Any]:
    """Return the fields of `Labels` for windows that have the labels of time ranges."""
    if not ranges and (min_overlap is not None or others is not None):
        raise click.UsageError("--min-overlap and --others go with --windows")
    return {"ranges": ranges, "min_overlap": 0.5 if min_overlap is None else min_overlap, "others": others}


def load_linear_probe(file: str) -> LinearModel:
    """Load a probe. Raise `SightsoundError` for a stack."""
    from sightsound.linear.load import load_probe
    from sightsound.linear.stack_model import StackModel

    loaded = load_probe(file)
    if isinstance(loaded, StackModel):
        raise SightsoundError(
            f"{file}: expected a probe, got a stack; `sightsound probe predict` and `show` take stacks"
        )
    return loaded


def probe_json(loaded: Probe) -> dict[str, Any]:
    """Return the networks, classes and report of a probe or a stack as values for JSON."""
    from sightsound.learn.predict import feature_specs_of

    specs = feature_specs_of(loaded)
    return {
        "classes": loaded.classes_.tolist(),
        "spaces": [{**spec.to_json(), "use": spec.use, "fingerprint": spec.space.fingerprint} for spec in specs],
        "report": loaded.report_.to_json() if loaded.report_ else None,
        **_fitted_numbers(loaded),
    }


def write_report(table: TableOutput, report: ProbeReport | None, document: Callable[[], object]) -> None:
    """Write the scores of the classes, a row for each; as JSON the whole report."""
    from sightsound.linear.report import ClassScore

    names = [field.name for field in dataclasses.fields(ClassScore)]
    table.write_objects([vars(score) for score in report.classes] if report else [], names, document=document)


def print_probe(loaded: Probe) -> None:
    """Print the networks, classes and report of a probe or a stack."""
    from sightsound.learn.predict import feature_specs_of

    for spec in feature_specs_of(loaded):
        kind = "windows" if spec.level == "window" else "items"
        place = printable(f"{spec.space.name} ({spec.space.fingerprint[:12]}): {spec.column}")
        what = {"embedding": kind, "scores": f"scores of {kind}", "both": f"embedding and scores of {kind}"}[spec.use]
        output.echo(f"{loaded.fitted_by} on {what} of {place}")
    if loaded.report_ is not None:
        print_report(loaded.report_)


def _fitted_numbers(loaded: Probe) -> dict[str, float | None]:
    from sightsound.linear.model import LinearModel

    if not isinstance(loaded, LinearModel):
        return {}
    return {"C": loaded.C_, "temperature": loaded.temperature_, "none_below": loaded.none_below_}


def draw_report(report: ProbeReport | None, plot: str | None) -> None:
    """Draw a report if a file is given for it."""
    if plot:
        from sightsound.plot.reports import plot_report

        if report is None:
            raise SightsoundError("--plot: expected a probe with a report; fit it without --strength")
        plot_report(report, plot)


def print_report(report: ProbeReport) -> None:
    """Print a report: scores of the classes, accuracy, calibration, learning curve and notes."""
    rows = [
        (score.label, score.count, f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}")
        for score in report.classes[:MAX_CLASSES]
    ]
    output.print_table(["class", "rows", "precision", "recall", "F1"], rows)
    print_more(len(report.classes) - len(rows))
    alone = report.rows == report.groups
    items = f"{report.rows} items" if alone else f"{report.rows} rows, {report.groups} of which are independent"
    output.echo(f"\n{items}, {printable(report.how)}")
    corrected = "" if report.corrected is None else f"; {report.corrected:.3f} corrected for the choice of C"
    neighbours = "" if report.neighbours is None else f", 5 nearest neighbours {report.neighbours.value:.3f}"
    output.echo(f"accuracy {report.accuracy}{corrected}")
    output.echo(f"macro F1 {report.macro_f1:.3f}; commonest class {report.majority:.3f}{neighbours}")
    output.echo(f"calibration error {report.error:.3f} (without temperature {report.raw_error:.3f})")
    print_curve(report)
    if report.by_features:
        each = ", ".join(f"{found.use} {found.accuracy:.3f}" for found in report.by_features)
        output.echo(f"accuracy by features, with the usual C: {each}")
    print_notes(report.notes)


def print_reliability(report: ProbeReport | None) -> None:
    """Print the reliability table: the accuracy of the rows in each range of probabilities."""
    if report is None:
        raise SightsoundError("--reliability: expected a probe with a report; fit it without --strength")
    output.echo()
    rows = [(f"{each.confidence:.3f}", each.count, f"{each.accuracy:.3f}") for each in report.reliability]
    output.print_table(["probability", "rows", "right"], rows)


def print_curve(report: ProbeReport) -> None:
    """Print the learning curve, if there is one, in one line."""
    if report.curve:
        points = ", ".join(f"{size}: {mean:.3f}" for size, mean, _, _ in report.curve)
        output.echo(
            f"accuracy by {'items' if report.rows == report.groups else 'independent items'} per class: {points}"
        )


def print_more(count: int) -> None:
    """Print how many classes a table leaves out, if any."""
    if count > 0:
        output.echo(f"... and {count} more; --json has all")


def print_notes(notes: Sequence[str], *, err: bool = False) -> None:
    """Print what was left out, and why."""
    for note in notes:
        output.echo(printable(note), err=err)
