"""`sightsound stack` and `sightsound advise`"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output, reports
from sightsound.cli.reports import label_options
from sightsound.cli.settings import device_option, host, json_option, library_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.learn.compare import Candidate


@click.command()
@library_option()
@click.option("-m", "--model", "models", multiple=True, help="A network; repeat it. All of the library otherwise.")
@reports.column_option()
@label_options
@click.option("-o", "--out", metavar="FILE", help="Write the stack, to use like a probe.")
@click.option("--top", type=click.Choice(["svm", "logistic", "ridge"]), default="svm", help="What is on top.  [svm]")
@click.option("--combine", type=click.Choice(["concatenate", "average"]), default="concatenate", show_default=True)
@click.option("--folds", "cv", type=click.IntRange(2), help="Folds of the cross-validation.  [5]")
@click.option("--plot", metavar="PNG", help="Draw the accuracies with their intervals.")
@device_option()
@json_option()
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
    as_json: bool,
    **given: Any,
) -> None:
    """Compare networks one by one and together, and stack them: a classifier on what each of them says."""
    from sightsound.learn import compare
    from sightsound.linear.stack import Stack
    from sightsound.pipeline.latency import milliseconds

    reports.ready(out, plot)
    datasets = _datasets(library, models, given)
    wanted = Stack(top, combine=combine, cv=cv)
    times = milliseconds(host(context), [data.origin.space.name for data in datasets], datasets[0].items, device=device)
    rivals, report = compare.compare(datasets, stack=wanted, milliseconds=times)
    if out:
        fitted = compare.fit(datasets, wanted)
        fitted.report_ = report
        fitted.save(out)
    if plot:
        from sightsound.plot import reports as charts

        charts.rivals(rivals, plot)
    _rivals(rivals, report.notes, as_json)
    if out and not as_json:
        click.echo(f"\nstack written to {printable(out)}")


def _datasets(library: str, models: Sequence[str], given: dict[str, Any]) -> list[Any]:
    from sightsound.learn.dataset import load_datasets
    from sightsound.library.library import Library

    with Library(library) as opened:
        return load_datasets(opened, models, reports.labels(**given))


def _rivals(rivals: Sequence[Candidate], notes: Sequence[str], as_json: bool) -> None:
    if as_json:
        output.dump([dataclasses.asdict(rival) for rival in rivals])
        return
    rows = [
        (
            rival.name,
            str(rival.accuracy),
            f"{rival.macro_f1:.3f}",
            f"{rival.gain:+.1f} ({rival.gain_low:+.1f} to {rival.gain_high:+.1f})",
            "" if rival.milliseconds is None else f"{rival.milliseconds:.1f}",
            "" if rival.gain_per_ms is None else f"{rival.gain_per_ms:+.2f}",
        )
        for rival in rivals
    ]
    output.table(["", "accuracy (95 %)", "macro F1", "gain in points", "ms an item", "points per ms"], rows)
    reports.notes(notes)


@click.command()
@library_option()
@click.option("-m", "--model", "models", multiple=True, help="A network; repeat it. All of the library otherwise.")
@reports.column_option()
@label_options
@click.option("--plot", metavar="PNG", help="Draw counts, accuracies, learning curve and confusions.")
@json_option()
def advise(library: str, models: Sequence[str], plot: str | None, as_json: bool, **given: Any) -> None:
    """Say which method suits a labelled collection, and show the evidence."""
    from sightsound.learn.advise import advise as run

    reports.ready(None, plot)
    found = run(_datasets(library, models, given))
    if plot:
        from sightsound.plot import reports as charts

        networks = [(each.model, each.probe, each.neighbours) for each in found.networks]
        charts.advice(found.counts, networks, found.networks[0].report, plot)
    if as_json:
        output.dump(dataclasses.asdict(found))
        return
    output.table(["class", "items"], found.counts[: reports.SHOWN])
    click.echo(f"{sum(n for _, n in found.counts)} items; the commonest class has {found.imbalance:.1f} x the rarest\n")
    for pair in found.twins:
        a, b = pair.classes
        click.echo(
            f"nearly the same ({pair.cosine:.4f}): {printable(pair.first)} ({printable(a)}) and "
            f"{printable(pair.second)} ({printable(b)})",
            err=True,
        )
    rows = [(each.model, str(each.probe), str(each.neighbours)) for each in found.networks]
    output.table(["network", "linear probe (95 %)", "5 nearest neighbours"], rows)
    reports.curve(found.networks[0].report)
    click.echo()
    output.table(
        ["", "method", "", "why"], [(s.rank, s.method, "yes" if s.suits else "no", s.reason) for s in found.suggestions]
    )
    reports.notes(found.notes)
    click.echo(f"\ndo this first: {found.best.method}")
