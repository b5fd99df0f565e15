"""The command `sightsound duplicates`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from sightsound.cli import output
from sightsound.cli.exports import TableOutput, table_options_of_files
from sightsound.cli.settings import device_option, host, library_option, refuse_given
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.duplicates.results import DuplicateGroup, Duplicates
    from sightsound.library.duplicates.threshold import Calibration, MeasuredThreshold

_GROUPS = 50  # that are printed
_FILES = 100  # that are altered by default


@click.command()
@library_option()
@click.option(
    "--space", metavar="NAME", help="A network, or 8 digits of a fingerprint.  [the largest of each modality]"
)
@click.option("--threshold", type=float, metavar="T", help="The least cosine.  [as calibrated, else 0.9 or 0.98]")
@click.option("--against", multiple=True, metavar="PATH", help="Compare only the files below PATH with the others.")
@click.option("--windows", is_flag=True, help="Find parts of recordings that sound the same, with their seconds.")
@click.option(
    "--keep",
    type=click.Choice(["best", "largest", "oldest"]),
    default="best",
    show_default=True,
    help="Which file of a group to keep.",
)
@click.option("--exact", is_flag=True, help="Compare all vectors, also more than 50,000.")
@click.option(
    "--calibrate",
    is_flag=False,
    flag_value=_FILES,
    type=click.IntRange(1),
    metavar="[FILES]",
    help=f"Measure the thresholds on altered copies of so many files ({_FILES}), and store them.",
)
@device_option()
@table_options_of_files
@click.pass_context
def duplicates(
    context: click.Context,
    library: str,
    space: str | None,
    threshold: float | None,
    against: Sequence[str],
    windows: bool,
    keep: Literal["best", "largest", "oldest"],
    exact: bool,
    calibrate: int | None,
    device: str,
    table: TableOutput,
) -> None:
    """Find files, or parts of recordings, that look or sound the same, and say which to keep. Nothing is deleted.

    As CSV or Parquet there is a row for each file: path, group, keep, similarity, reason.
    """
    chosen = host(context)
    table.check(inputs=against, library=library)
    if calibrate is not None:
        if against or windows or exact or threshold is not None:
            raise click.UsageError("--calibrate goes with --space, --device and the form of the table alone")
        refuse_given(context, ["keep"], "a search for near-duplicates, without --calibrate")
        from sightsound.library.duplicates.calibrate import calibrate_duplicates

        measured = calibrate_duplicates(library, space, files=calibrate, host=chosen, device=device)
        _print_calibrations(measured, table)
        return
    from sightsound.library.duplicates.find import find_duplicates
    from sightsound.library.duplicates.table import DUPLICATE_COLUMNS, duplicate_batches

    found = find_duplicates(
        library, space, threshold=threshold, against=list(against), windows=windows, keep=keep, exact=exact
    )
    table.write(DUPLICATE_COLUMNS, lambda: duplicate_batches(found), pieces=lambda: _json_pieces(found))
    if table.form and not table.out:
        return
    for each in found:
        if table.shown:
            _print_groups(each)
        _print_summary(each)
    if table.files:
        output.echo(f"written: {', '.join(map(printable, table.files))}; nothing is deleted")


def _print_groups(found: Duplicates) -> None:
    rows: list[tuple[object, ...]] = []
    for group in found:
        if group.number > _GROUPS:
            break
        for each in group.files:
            span = () if each.seconds is None else (f"{each.seconds[0]:.1f}-{each.seconds[1]:.1f}",)
            mark = "keep" if each.keep else ""
            rows.append((group.number, mark, round(each.similarity, 4), *span, each.item.shown, each.reason))
    if rows:
        seconds = ["seconds"] if found.windows else []
        output.print_table(["group", "", "similarity", *seconds, "path", "reason"], rows)
    if found.groups > _GROUPS:
        output.echo(f"... and {found.groups - _GROUPS} more groups; --csv and --json have all")


def _print_summary(found: Duplicates) -> None:
    what = "window" if found.windows else "file"
    parts = "parts of two recordings" if found.windows else "files"
    output.echo(
        f"{printable(found.space)}: {output.count_of(found.groups, 'group')} of {parts} among"
        f" {output.count_of(found.compared, what)}, {found.others} not to keep; threshold {found.threshold:.4f}"
        f" ({_origin(found)})"
    )
    if found.kind:
        recall = "unknown, since no pair was found" if found.recall is None else f"{found.recall:.3f}"
        output.echo(
            f"in nearby lists only: recall of similar pairs {recall} (of {found.measured}); --exact compares all"
        )


def _origin(found: Duplicates) -> str:
    if found.given:
        return "as given"
    if found.calibration is None:
        return "not calibrated for this library; --calibrate measures one"
    measured = found.calibration.windows if found.windows else found.calibration.items
    assert measured is not None
    recall = ", ".join(f"{name} {value:.2f}" for name, value in measured.recall.items())
    return f"calibrated on {found.calibration.files} files; recall: {recall}"


def _json_pieces(found: Sequence[Duplicates]) -> Iterator[str]:
    """Yield one JSON array with an object for each space, group by group."""
    yield "[\n"
    for number, each in enumerate(found):
        facts = {
            "space": each.space,
            "fingerprint": each.fingerprint,
            "threshold": each.threshold,
            "calibration": _calibration(each.calibration),
            "keep": each.keep,
            "windows": each.windows,
            "compared": each.compared,
            "approximate": {"kind": each.kind, "recall": each.recall, "pairs": each.measured} if each.kind else None,
        }
        yield json.dumps(facts)[:-1] + ', "groups": [\n'
        before = ""
        for group in each:
            yield f"{before}{json.dumps(_group(group))}\n"
            before = ","
        yield "]}" + "," * (number < len(found) - 1) + "\n"
    yield "]\n"


def _group(group: DuplicateGroup) -> dict[str, Any]:
    files = [
        {
            "path": each.item.path,
            "root": each.item.root,
            "file": each.item.shown,
            "id": each.item.id,
            "keep": each.keep,
            "similarity": each.similarity,
            "same_bytes": each.same_bytes,
            "seconds": each.seconds,
            "reason": each.reason,
        }
        for each in group.files
    ]
    return {"group": group.number, "files": files}


def _calibration(found: Calibration | None) -> dict[str, Any] | None:
    return None if found is None else json.loads(found.to_json())


def _print_calibrations(measured: Sequence[Calibration], table: TableOutput) -> None:
    table.write_objects([{"space": c.space, "fingerprint": c.fingerprint, **json.loads(c.to_json())} for c in measured])
    if not table.shown:
        return
    for found in measured:
        _print_measured(found, "files", found.items)
        if found.windows is not None:
            _print_measured(found, "windows", found.windows)
        for text in found.skipped:
            output.echo(f"left out: {printable(text)}", err=True)


def _print_measured(found: Calibration, what: str, measured: MeasuredThreshold) -> None:
    output.print_table(
        ["altered copies", "recall"], [(name, round(value, 3)) for name, value in measured.recall.items()]
    )
    output.echo(
        f"{printable(found.space)}, {what}: threshold {measured.threshold:.4f} from"
        f" {output.count_of(found.files, 'file')}; {100 * measured.false:.1f} % of the {what} reach it with"
        f" another {'file' if what == 'files' else 'recording; a run has three at least'}\n"
    )
