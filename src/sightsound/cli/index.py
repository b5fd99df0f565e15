"""The command `sightsound index`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.label_report import print_labels, print_left_out
from sightsound.cli.settings import device_option, host, json_option, library_option, time_options
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.library.facts import FactsReport
    from sightsound.library.gone import Gone
    from sightsound.library.index_report import IndexReport
    from sightsound.pipeline.timing import Timing

_SHOWN = 20  # failed files that are printed; --json and `stats` have all


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@library_option()
@click.option("-m", "--model", "models", multiple=True, help="A model instead of the default ones; may be repeated.")
@device_option()
@click.option("--label-from", metavar="folder|FILE", help="Labels: the folder's name, or a table with a `path` column.")
@click.option(
    "--scores/--no-scores",
    default=None,
    help="Keep the scores of classes, also of files that have vectors alone; or none.  [default: of new files]",
)
@click.option("--store", type=click.Choice(["f32", "f16"]), help="Precision of the vectors of a new library.  [f32]")
@click.option("--retry", is_flag=True, help="Try again the files that failed before.")
@time_options()
@click.option("--timing", is_flag=True, help="Print what the time of the processor went to.")
@json_option()
@click.pass_context
def index(
    context: click.Context,
    paths: Sequence[str],
    library: str,
    models: Sequence[str],
    device: str,
    label_from: str | None,
    scores: bool | None,
    store: str | None,
    retry: bool,
    time_zone: str | None,
    time_patterns: Sequence[str],
    timing: bool,
    as_json: bool,
) -> None:
    """Embed the images and sounds at PATH... into a library.

    Files that have not changed are skipped, so the same command continues where the last one stopped. Exit code 1 if
    some files failed; each is named with its reason.
    """
    from sightsound.library.index import index as run

    settings: dict[str, Any] = {
        "host": host(context),
        "device": device,
        "label_from": label_from,
        "retry": retry,
        "scores": scores,
        "store": store,
        "time_zone": time_zone,
        "time_patterns": time_patterns or None,
    }
    try:
        report = run(paths, library, models=models, **settings)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("what was committed is kept, the same command goes on from there") from None
    if as_json:
        output.print_json(_report_json(report))
    else:
        _print_report(report)
        _print_gone(report.gone)
        if timing and report.timing is not None:
            _print_timing(report.timing)
    context.exit(1 if report.failed or report.unmatched else 0)


def _report_json(report: IndexReport) -> dict[str, Any]:
    return {
        "counts": dict(report.counts),
        "flags": dict(report.flags),
        "windows": report.windows,
        "seconds": round(report.elapsed, 3),
        "failed": [{"path": o.item.path, "root": o.item.root, "reason": o.reason} for o in report.failed],
        "unmatched": report.unmatched,
        "labels": report.labels and vars(report.labels),
        "facts": report.facts and {name: vars(report.facts)[name] for name in ("read", "changed", "missing")},
        "execution": {model: dataclasses.asdict(execution) for model, execution in report.execution.items()},
        "gone": {"items": report.gone.items, "roots": report.gone.roots},
        "timing": report.timing.to_json() if report.timing else None,
    }


_STATUS_WORDS = {
    "ok": "embedded",
    "unchanged": "unchanged",
    **output.FAILURE_WORDS,
    "no-model": "without a model for them",
}


def _print_report(report: IndexReport) -> None:
    for outcome in report.failed[:_SHOWN]:
        output.echo(f"{printable(outcome.item)}: {printable(outcome.reason)}", err=True)
    if len(report.failed) > _SHOWN:
        output.echo(f"... and {len(report.failed) - _SHOWN} more; `sightsound stats` lists all", err=True)
    if report.labels is not None:
        print_left_out(report.labels)
    counts = ", ".join(f"{report.counts[key]} {word}" for key, word in _STATUS_WORDS.items() if report.counts[key])
    rows = output.count_of(report.windows, "new vector") if report.windows else "nothing new"
    output.echo(f"{counts or 'no files'}; {rows} in {output.format_duration(report.elapsed)}")
    if report.labels is not None:
        print_labels(report.labels)
    if report.facts is not None:
        _print_facts(report.facts)
    for model, execution in report.execution.items():
        output.echo(f"{model}: {execution}")


def _print_facts(facts: FactsReport) -> None:
    """Print of how many files the facts were read again with another zone or other patterns."""
    files = output.count_of(facts.read, "file")
    output.echo(f"facts of {files} in the library read again by the new zone or patterns, {facts.changed} changed")
    if facts.missing:
        text = f"{output.count_of(facts.missing, 'file')} not there, with the times of before"
        output.echo(f"{text}; `sightsound facts` reads them later", err=True)


def _print_timing(timing: Timing) -> None:
    """Print the seconds and the share of each stage, and how much of the cores was used."""
    between = max(0.0, timing.cpu - sum(timing.stages.values()))
    parts = [*timing.stages.items(), ("between", between), ("all", timing.cpu)]
    rows = [[name, round(seconds, 2), round(100 * seconds / max(timing.cpu, 1e-9))] for name, seconds in parts]
    output.print_table(["stage", "CPU seconds", "%"], rows)
    output.echo(
        f"utilisation {timing.utilisation:.2f} (CPU seconds over {timing.cores} cores x {timing.wall:.2f} s), "
        f"work ratio {timing.work_ratio:.2f} (stages over all)"
    )


def _print_gone(gone: Gone) -> None:
    """Print which items of the library have no file any more, and what to do."""
    if gone.items:
        text = f"{output.count_of(gone.items, 'item')} below these paths without a file"
        output.echo(f"{text}; `sightsound forget --missing` removes them", err=True)
    for root, count in sorted(gone.roots.items()):
        advice = f"`sightsound relocate {printable(root)} NEW` if it was moved"
        output.echo(f"{printable(root)}: not there any more, {output.count_of(count, 'item')}; {advice}", err=True)
