"""The command `sightsound label`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.destinations import check_destinations
from sightsound.cli.label_report import print_labels, print_left_out
from sightsound.cli.settings import (
    Decorator,
    filter_of,
    filter_options,
    host,
    json_option,
    library_option,
    refuse_given,
)
from sightsound.contract.errors import SightsoundError

if TYPE_CHECKING:
    from sightsound.library.filters import Filter
    from sightsound.library.label_export import LabelExport, LabelForm
    from sightsound.library.label_staging import LabelReport
    from sightsound.library.library import Library

_TABLE_ENDINGS = (".csv", ".json", ".parquet")
_ENDINGS = {"raven": (".txt", ".tsv"), "audacity": (".txt", ".tsv")}


def _assignments(context: click.Context, parameter: click.Parameter, texts: Sequence[str]) -> dict[str, list[str]]:
    """Return column -> values of COLUMN=VALUE, each of which may come several times."""
    found: dict[str, list[str]] = {}
    for text in texts:
        column, sign, value = text.partition("=")
        if not (column and sign and value):
            raise click.BadParameter(f"expected COLUMN=VALUE, got {text!r}")
        found.setdefault(column, []).append(value)
    return found


def _assignment(name: str, parameter: str, text: str) -> Decorator:
    return click.option(name, parameter, multiple=True, metavar="COLUMN=VALUE", callback=_assignments, help=text)


def _seconds(context: click.Context, parameter: click.Parameter, text: str | None) -> float | None:
    """Return the seconds of a time in a recording."""
    from sightsound.contract.seconds import TIME_FORMS, parse_seconds

    try:
        return None if text is None else parse_seconds(text)
    except ValueError as error:
        raise click.BadParameter(f"expected {TIME_FORMS}, got {text!r}") from error


def _time(name: str, text: str) -> Decorator:
    return click.option(name, metavar="TIME", callback=_seconds, help=text)


@click.command()
@click.argument("paths", nargs=-1, metavar="PATH...")
@library_option()
@_assignment("--set", "put", "Give this label, in place of those of the column; repeat it for several.")
@_assignment("--add", "add", "Give this label beside those of the column.")
@_assignment("--remove", "remove", "Take this label away.")
@click.option("--clear", multiple=True, metavar="COLUMN", help="Take all labels of a column away.")
@_time("--start", "--set, --add, --remove, --clear: of a time range from here (12.5, 1:30, 1:02:03.5)")
@_time("--stop", "to here; --remove and --clear: of all that lie in it.")
@click.option(
    "--from",
    "source",
    metavar="FILE|FOLDER",
    help="Take labels from a .csv, .json or .parquet, a file of Raven or Audacity, or a folder of such files.",
)
@click.option("--for", "recording", metavar="RECORDING", help="The recording that the file of --from is of.")
@click.option("--to", "out", metavar="FILE|-", help="Write labels to a .csv, .json or .parquet, or to standard output.")
@click.option("--raven", "form", flag_value="raven", help="--to: a selection table of Raven, of time ranges.")
@click.option("--audacity", "form", flag_value="audacity", help="--to: label tracks of Audacity, of time ranges.")
@click.option("--ranges", is_flag=True, help="--to, --remove, --clear: the labels of time ranges.")
@click.option("--column", "columns", multiple=True, metavar="NAME", help="--from, --to: only this column.")
@click.option("--new-column", is_flag=True, help="A column may be new though its name is similar to another.")
@filter_options(windows="none")
@json_option()
@click.pass_context
def label(
    context: click.Context,
    /,
    paths: Sequence[str],
    library: str,
    put: dict[str, list[str]],
    add: dict[str, list[str]],
    remove: dict[str, list[str]],
    clear: Sequence[str],
    start: float | None,
    stop: float | None,
    source: str | None,
    recording: str | None,
    out: str | None,
    form: LabelForm | None,
    ranges: bool,
    columns: Sequence[str],
    new_column: bool,
    as_json: bool,
    **conditions: Any,
) -> None:
    """Label the items at PATH..., or take labels from a table and write them to one.

    A table has a column `path` and one for each kind of label; with `start` and `stop` in seconds it is of time ranges.
    --from replaces what the items of the file have in its columns. Exit code 1 if some of its rows mean no item.
    """
    from sightsound.library.label_import import import_labels
    from sightsound.library.labels import set_labels
    from sightsound.library.library import Library

    changes = bool(put or add or remove or clear)
    if changes + (source is not None) + (out is not None) != 1:
        raise click.UsageError("expected one of --from, --to, and changes with --set, --add, --remove and --clear")
    if source is not None and (paths or any(conditions.values())):
        raise click.UsageError("--from takes the items that its file names; leave out PATH... and conditions")
    if (recording is not None and source is None) or (form is not None and out is None):
        raise click.UsageError("--for goes with --from, --raven and --audacity with --to")
    if ranges and (put or add or source):
        raise click.UsageError("--ranges goes with --to, --remove and --clear; label one with --start and --stop")
    if not changes and (start, stop) != (None, None):
        raise click.UsageError("--start and --stop go with --set, --add, --remove and --clear")
    if columns and changes:
        raise click.UsageError("--column goes with --from and --to")
    if not (put or add or source):
        refuse_given(context, ["new_column"], "--from, --set and --add")
    with Library(library) as opened:
        if out is not None:
            if as_json:
                raise click.UsageError("--json goes with --from and changes")
            where = filter_of(opened, lambda: host(context), conditions, windows="none")
            _write(opened, out, form, ranges, paths, columns, where)
            return
        if source is not None:
            how: dict[str, Any] = {"columns": columns, "recording": recording, "new_columns": new_column}
            report = import_labels(source, opened, **how)
        else:
            settings: dict[str, Any] = {"put": put, "add": add, "remove": remove, "clear": clear, "ranges": ranges}
            settings |= {"start": start, "stop": stop}
            where = filter_of(opened, lambda: host(context), conditions, windows="none")
            report = set_labels(opened, paths, where=where, new_columns=new_column, **settings)
    _print_report(report, as_json)
    context.exit(1 if report.unmatched_count or report.refused_count else 0)


def _write(
    library: Library,
    out: str,
    given: LabelForm | None,
    ranges: bool,
    paths: Sequence[str],
    columns: Sequence[str],
    where: Filter,
) -> None:
    import os

    from sightsound.library.label_export import LabelExport, export_labels, form_of

    of_ranges = ranges or given is not None
    form = given or form_of(out)
    if out == "-":
        with library.snapshot():
            labels = LabelExport(library, paths, where, columns, of_ranges)
            _print_lines(labels, form)
            notes = labels.notes
    else:
        if not (form == "audacity" and os.path.isdir(out)):
            _check_name(out, form)
            check_destinations(out, inputs=paths)
        notes = export_labels(library, out, form=form, ranges=of_ranges, paths=paths, where=where, columns=columns)
    for note in notes:
        output.echo(note, err=True)


def _check_name(out: str, form: LabelForm) -> None:
    from sightsound.formats.writing import require_ending

    endings = _ENDINGS.get(form)
    if endings is None:
        require_ending(out, _TABLE_ENDINGS, "; --raven and --audacity write .txt")
    elif not out.lower().endswith(endings):
        step = "name another place" if form == "raven" else "or make the folder, for the tracks of several recordings"
        raise SightsoundError(f"{out}: expected a name that ends in {' or '.join(endings)}; {step}")


def _print_lines(labels: LabelExport, form: LabelForm) -> None:
    """Print a table as it would stand in a file."""
    if form == "audacity":
        if labels.count_recordings() > 1:
            raise SightsoundError("--to -: expected one recording for --audacity; name it, or a folder for several")
        lines: Iterator[str] = (line for _, track in labels.audacity_tracks() for line in track)
    else:
        lines = labels.csv_lines() if form == "csv" else labels.raven_lines()
    for line in lines:
        click.echo(f"{line}\n".encode(), nl=False)


def _print_report(report: LabelReport, as_json: bool) -> None:
    if as_json:
        output.print_json(vars(report))
        return
    print_left_out(report)
    if report.changed is None:
        print_labels(report)
        return
    same = report.items - report.changed
    output.echo(f"{output.count_of(report.changed, 'item')} changed{f'; {same} as before' if same else ''}")
