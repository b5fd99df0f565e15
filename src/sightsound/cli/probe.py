"""`sightsound probe`"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output, reports
from sightsound.cli.reports import label_options, probe_of
from sightsound.cli.settings import device_option, host, json_option, library_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.results import Classified
    from sightsound.learn.predict import Probe


@click.group()
def probe() -> None:
    """Teach it your classes: a linear classifier on the vectors of a library."""


@probe.command()
@library_option()
@click.option("-m", "--model", required=True, help="The network whose vectors are used.")
@reports.column_option(multiple=True)
@label_options
@click.option("-o", "--out", required=True, metavar="FILE", help="The file to write, usually NAME.probe.")
@click.option("--kind", type=click.Choice(["logistic", "svm", "ridge"]), default="logistic", show_default=True)
@click.option("--level", type=click.Choice(["item", "window"]), default="item", help="A row for each.  [item]")
@click.option("--pool", type=click.Choice(["mean", "max", "mean+std"]), default="mean", help="Windows to item.  [mean]")
@click.option("--folds", "cv", type=click.IntRange(2), help="Folds of the cross-validation.  [5]")
@click.option("--class-weight", type=click.Choice(["balanced"]), help="Rare classes count as much as common ones.")
@click.option("--scoring", type=click.Choice(["accuracy", "f1_macro"]), default="accuracy", help="What C is chosen by.")
@click.option("--strength", "C", type=float, help="C itself; nothing is held out then.")
@click.option("--multi-label", "several", is_flag=True, help="Items may have several of the classes.")
@click.option("--plot", metavar="PNG", help="Draw confusions, reliability and the learning curve.")
@json_option()
def fit(
    library: str,
    model: str,
    out: str,
    level: Any,
    pool: Any,
    plot: str | None,
    as_json: bool,
    source: str | None,
    columns: Sequence[str],
    folds: str | None,
    groups: str | None,
    several: bool,
    **settings: Any,
) -> None:
    """Fit a probe to the labelled items of a library, and say how good it is.

    The strength is chosen by cross-validation; windows of one item, and copies of one file, are never on both sides.
    """
    from sightsound.learn.dataset import load_dataset
    from sightsound.learn.fit import fit_probe
    from sightsound.library.library import Library
    from sightsound.linear.probe import LinearProbe

    if folds and settings["cv"]:
        raise click.UsageError("--folds or --fold-column, one of the two")
    if level == "window" and pool != "mean":
        raise click.UsageError("--pool is for items; leave out --level window")
    if plot and settings["C"]:
        raise click.UsageError("--plot draws what was held out, which --strength does not do")
    wanted = {_out(out, column, columns): column for column in columns or (None,)}
    if (plot or as_json) and len(wanted) > 1:
        raise click.UsageError("--plot and --json are for one probe; name one --label-column")
    for place in wanted:
        reports.ready(place, plot)
    for place, column in wanted.items():
        given = reports.labels(column, several, source=source, folds=folds, groups=groups)
        with Library(library) as opened:
            data = load_dataset(opened, model, given, level=level, pool=pool)
        fitted = fit_probe(data, LinearProbe(**settings))
        fitted.save(place)
        reports.draw(fitted.report_, plot)
        reports.told(fitted, as_json)
        if fitted.report_ is None:
            for note in data.notes:
                click.echo(printable(note), err=True)
        if not as_json:
            click.echo(f"\nwritten to {printable(place)}")


def _out(out: str, column: str | None, columns: Sequence[str]) -> str:
    """Where the probe of a column goes: `dogs.probe`, or `dogs.breed.probe` where there are several."""
    if len(columns) < 2:
        return out
    place, name = Path(out), str(column)
    if (place.exists() and not place.is_file()) or {"/", "\\", "\0"} & set(name):
        raise click.UsageError(f"--out: expected the name of a file, which {name!r} can be put in")
    return str(place.with_name(f"{place.stem}.{name}{place.suffix}"))


@probe.command()
@click.argument("file", metavar="PROBE")
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("-l", "--library", metavar="FOLDER", help="Judge the items of a library instead, by its vectors.")
@click.option("-k", "--top", default=3, show_default=True, type=click.IntRange(1), help="Classes of an item.")
@device_option()
@json_option()
@click.pass_context
def predict(
    context: click.Context,
    file: str,
    paths: Sequence[str],
    library: str | None,
    top: int,
    device: str,
    as_json: bool,
) -> None:
    """Say what a probe or a stack takes pictures and sounds for.

    Probes of windows say it for every window with --json. Exit code 1 when a file failed.
    """
    from sightsound.learn.predict import predict as judge
    from sightsound.linear.stack import load_probe

    if bool(paths) == bool(library):
        raise click.UsageError("name files and folders, or --library, one of the two")
    loaded = load_probe(file)
    if paths:
        found = [*judge(loaded, paths, host=host(context), device=device)]
    else:
        assert library is not None
        found = _of_library(loaded, library)
    if as_json:
        output.dump([_plain(verdict) for verdict in found])
    else:
        _print(found, top)
    context.exit(1 if any(verdict.outcome.status != "ok" for verdict in found) else 0)


def _of_library(loaded: Probe, library: str) -> list[Classified]:
    from sightsound.learn.predict import predict_stored
    from sightsound.library.library import Library

    with Library(library) as opened:
        return [*predict_stored(loaded, opened)]


def _print(found: Sequence[Classified], top: int) -> None:
    rows: list[Sequence[object]] = []
    for verdict in found:
        if verdict.outcome.status != "ok":
            reason = verdict.outcome.reason or verdict.outcome.status
            click.echo(f"{printable(verdict.item)}: {printable(reason)}", err=True)
            continue
        best, *others = verdict.top[:top]
        rest = ", ".join(f"{other.label} {other.score:.3f}" for other in others)
        rows.append((f"{best.score:.3f}", best.label, verdict.item, rest))
    if rows:
        output.table(["score", "class", "path", "then"], rows)


def _plain(verdict: Classified) -> dict[str, Any]:
    found: dict[str, Any] = {"path": verdict.item.path, "root": verdict.item.root, "status": verdict.outcome.status}
    if verdict.outcome.status != "ok":
        return {**found, "reason": verdict.outcome.reason}
    found["classes"] = [{"label": each.label, "score": each.score} for each in verdict.top]
    windows = verdict.windows
    if windows is not None and windows.spans is not None:
        found["windows"] = [
            {"start": span[0], "stop": span[1], "scores": dict(zip(windows.labels, row))}
            for span, row in zip(windows.spans.tolist(), windows.scores.tolist())
        ]
    return found


@probe.command("eval")
@click.argument("file", metavar="PROBE")
@library_option()
@reports.column_option()
@label_options
@click.option("--plot", metavar="PNG", help="Draw confusions and reliability.")
@json_option()
def evaluate(
    file: str,
    library: str,
    plot: str | None,
    as_json: bool,
    source: str | None,
    column: str | None,
    folds: str | None,
    groups: str | None,
) -> None:
    """Say how good a probe is on the labelled items of a library, best one that it was not fitted on."""
    from sightsound.learn.dataset import load_dataset
    from sightsound.learn.fit import evaluate_probe
    from sightsound.library.library import Library

    reports.ready(None, plot)
    loaded = probe_of(file)
    origin = loaded.require_feature_spec()
    given = reports.labels(column, not loaded.single, source=source, folds=folds, groups=groups)
    with Library(library) as opened:
        data = load_dataset(opened, origin.space.name, given, level=origin.level, pool=origin.pool, classes=1)
    report = evaluate_probe(loaded, data)
    reports.draw(report, plot)
    if as_json:
        output.dump(report.to_json())
    else:
        reports.table(report)


@probe.command()
@click.argument("file", metavar="PROBE")
@click.option("--plot", metavar="PNG", help="Draw confusions, reliability and the learning curve.")
@click.option("--reliability", is_flag=True, help="Show how often it is right for how sure it is.")
@json_option()
def show(file: str, plot: str | None, reliability: bool, as_json: bool) -> None:
    """Show what a probe knows, what it was fitted on, and how good it is."""
    from sightsound.linear.stack import load_probe

    reports.ready(None, plot)
    loaded = load_probe(file)
    reports.draw(loaded.report_, plot)
    reports.told(loaded, as_json)
    if reliability and not as_json:
        reports.reliability(loaded.report_)


@probe.command()
@click.argument("file", metavar="PROBE")
@click.option("-o", "--out", required=True, metavar="ONNX", help="The file to write.")
def export(file: str, out: str) -> None:
    """Write a probe as an ONNX graph: vectors in, decisions, probabilities and label out."""
    from sightsound.linear.onnx import export as write

    reports.ready(out, None)
    loaded = probe_of(file)
    write(loaded, out)
    click.echo(f"{loaded.n_features_in_} numbers -> {len(loaded.classes_)} classes, in {printable(out)}")
