"""The command `sightsound compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.destinations import check_destinations, check_ending
from sightsound.cli.exports import TableOutput
from sightsound.cli.settings import Decorator, device_option, host, refuse_given
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.learn.comparison.results import ModelComparison

_STANDARD_OUTPUT = "-"
_ENDINGS = {
    "csv": (".csv", ".txt"),
    "json": (".json", ".txt"),
    "markdown": (".md", ".txt"),
    "parquet": (".parquet",),
}


def _form_option(form: str, what: str) -> Decorator:
    """Return the option that writes the table in a form to a file, or without a file to standard output."""
    text = f"Write {what}; to standard output without FILE."
    return click.option(f"--{form}", form, is_flag=False, flag_value=_STANDARD_OUTPUT, metavar="[FILE]", help=text)


@click.command()
@click.option(
    "-m",
    "--models",
    multiple=True,
    required=True,
    metavar="A,B,C",
    help="The networks, NAME@RUNTIME for one in a runtime; may be repeated.",
)
@click.option("-d", "--data", required=True, metavar="FOLDER", help="A folder with a folder for each class.")
@click.option("--out-plot", "plot", metavar="PNG|SVG", help="Draw accuracy against relative time.")
@click.option(
    "--accuracy",
    type=click.Choice(["probe", "neighbours", "top1", "top5"]),
    default="probe",
    show_default=True,
    help="The accuracy that is drawn.",
)
@click.option(
    "--time",
    type=click.Choice(["network", "total"]),
    default="network",
    show_default=True,
    help="The time that is drawn: of the network alone, or from file to row.",
)
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Times are medians of so many.")
@_form_option("csv", "CSV")
@_form_option("json", "JSON")
@_form_option("markdown", "a table in Markdown")
@click.option("--parquet", metavar="FILE", help="Write the table to a Parquet file.")
@click.option("-o", "--out", metavar="FILE", help="The file to write; .csv, .json, .md and .parquet say the form.")
@device_option()
@click.pass_context
def compare(
    context: click.Context,
    /,
    models: Sequence[str],
    data: str,
    plot: str | None,
    accuracy: Any,
    time: Any,
    repeats: int,
    csv: str | None,
    json: str | None,
    markdown: str | None,
    parquet: str | None,
    out: str | None,
    device: str,
) -> int:
    """Compare networks on your own data and machine: accuracy, time, size and memory.

    DATA has a folder for each class, of images or of sounds. Each network is measured in a process of its own.
    """
    from sightsound.learn.comparison.compare import compare_models
    from sightsound.learn.comparison.tables import comparison_objects

    if not plot:
        refuse_given(context, ["accuracy", "time"], "--out-plot, which draws them")
    given = {"csv": csv, "json": json, "markdown": markdown, "parquet": parquet}
    forms = _with_out({form: file for form, file in given.items() if file}, out)
    _check(forms, plot, data)
    found = compare_models(list(models), data, host=host(context), device=device, repeats=repeats)
    for form, file in forms.items():
        if form == "parquet":
            TableOutput(parquet=file).write_objects(comparison_objects(found))
        else:
            output.write_text(_text(found, form), None if file == _STANDARD_OUTPUT else file)
    if _STANDARD_OUTPUT not in forms.values():
        _print(found)
    _print_problems(found)
    if plot:
        from sightsound.plot.comparison import plot_comparison

        plot_comparison(found, plot, accuracy=accuracy, time=time)
    return int(bool(found.failures) or any(model.reason for model in found.models))


def _with_out(forms: dict[str, str], out: str | None) -> dict[str, str]:
    """Return the forms with the file of --out: that of the form that has no file, or else of that of its ending."""
    if out is None:
        return forms
    printed = [form for form, file in forms.items() if file == _STANDARD_OUTPUT]
    ending = Path(out).suffix.lower()
    form = printed[0] if printed else next((each for each, endings in _ENDINGS.items() if ending == endings[0]), None)
    if form is None:
        raise SightsoundError(f"{out}: expected a name that ends in .csv, .json, .md or .parquet; rename it")
    if not printed and form in forms:
        raise SightsoundError(f"{out}: expected a file for each form, got two for {form}; leave one out")
    return {**forms, form: out}


def _check(forms: dict[str, str], plot: str | None, data: str) -> None:
    """Refuse what cannot be written, before anything is measured."""
    files = {form: out for form, out in forms.items() if out != _STANDARD_OUTPUT}
    if len(forms) - len(files) > 1:
        raise SightsoundError("standard output: expected one form, got several; name a file for the others")
    if len(set(files.values())) < len(files):
        raise SightsoundError(
            f"{next(iter(files.values()))}: expected a file for each form, got one for two; name another"
        )
    if "parquet" in forms:
        TableOutput(parquet=forms["parquet"]).check(inputs=[data])
    for form, out in files.items():
        check_ending(out, _ENDINGS[form], strict=True)
        check_destinations(out, plot=plot, inputs=[data])
    check_destinations(plot=plot, inputs=[data])


def _text(found: ModelComparison, form: str) -> str:
    from sightsound.learn.comparison.tables import comparison_csv, comparison_markdown

    if form == "json":
        import json

        return json.dumps(found.to_json(), indent=1) + "\n"
    return comparison_csv(found) if form == "csv" else comparison_markdown(found)


def _print(found: ModelComparison) -> None:
    from sightsound.learn.comparison import tables

    rows = tables.comparison_rows(found)
    shown = tables.columns(rows)
    header = [tables.MARKDOWN_COLUMNS[i] for i in shown]
    output.print_table(header, [[row[i] for i in shown] for row in rows])
    for line in tables.summary(found):
        output.echo(line)


def _print_problems(found: ModelComparison) -> None:
    """Print to standard error what was left out, and what failed."""
    for note in found.notes:
        output.echo(printable(note), err=True)
    for model in found.models:
        for note in [model.reason] if model.reason else model.notes:
            named = note if note.startswith(f"{model.name}:") else f"{model.name}: {note}"
            output.echo(printable(named), err=True)
    for outcome in found.failures:
        what = output.FAILURE_WORDS.get(outcome.status, outcome.status)
        output.echo(printable(f"{outcome.item}: {what}" + (f" ({outcome.reason})" if outcome.reason else "")), err=True)
