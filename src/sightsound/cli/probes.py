"""`sightsound probe`, `sightsound stack` and `sightsound advise`"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import Decorator, device_option, host, json_option, library_option
from sightsound.errors import SightsoundError

if TYPE_CHECKING:
    from sightsound.comparison import Rival
    from sightsound.dataset import Labels
    from sightsound.measures import Report
    from sightsound.predicting import Probe, Verdict

_SHOWN = 40  # classes in a table; --json has all


def _label_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Where labels, folds and groups come from."""
    options: list[Decorator] = [
        click.option("--label-from", "source", metavar="folder|CSV", help="Labels; those of the library otherwise."),
        click.option("--label-column", "column", metavar="NAME", help="The column with the classes.  [label]"),
        click.option("--fold-column", "folds", metavar="NAME", help="A column with official folds."),
        click.option("--group-column", "groups", metavar="NAME", help="A column with what stays together."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def _labels(column: str | None = None, several: bool = False, **given: Any) -> Labels:
    from sightsound.dataset import Labels

    return Labels(column=column, several=several, **given)


@click.group()
def probe() -> None:
    """Teach it your classes: a linear classifier on the vectors of a library."""


@probe.command()
@library_option()
@click.option("-m", "--model", required=True, help="The network whose vectors are used.")
@_label_options
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
    column: str | None,
    folds: str | None,
    groups: str | None,
    several: bool,
    **settings: Any,
) -> None:
    """Fit a probe to the labelled items of a library, and say how good it is.

    The strength is chosen by cross-validation; windows of one item, and copies of one file, are never on both sides.
    """
    from sightsound.dataset import load
    from sightsound.library import Library
    from sightsound.probe import LinearProbe
    from sightsound.teaching import teach

    _ready(out, plot)
    given = _labels(column, several, source=source, folds=folds, groups=groups)
    with Library(library) as opened:
        data = load(opened, model, given, level=level, pool=pool)
    fitted = teach(data, LinearProbe(**settings))
    fitted.save(out)
    _told(fitted, as_json, plot)
    if not as_json:
        click.echo(f"\nwritten to {output.safe(out)}")


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
    from sightsound.predicting import predict as judge
    from sightsound.stack import load_probe

    if bool(paths) == bool(library):
        raise click.UsageError("name files and folders, or --library, one of the two")
    loaded = load_probe(file)
    if paths:
        found = [*judge(loaded, paths, host=host(context), device=device)]
    else:
        assert library is not None
        found = _of_library(loaded, library)
    if as_json:
        output.dump([_plain(verdict, loaded) for verdict in found])
    else:
        _print(found, top)
    context.exit(1 if any(verdict.outcome.status != "ok" for verdict in found) else 0)


def _of_library(loaded: Probe, library: str) -> list[Verdict]:
    from sightsound.library import Library
    from sightsound.predicting import predict_stored

    with Library(library) as opened:
        return [*predict_stored(loaded, opened)]


def _print(found: Sequence[Verdict], top: int) -> None:
    rows: list[Sequence[object]] = []
    for verdict in found:
        if verdict.outcome.status != "ok":
            reason = verdict.outcome.reason or verdict.outcome.status
            click.echo(f"{output.safe(verdict.item)}: {output.safe(reason)}", err=True)
            continue
        best, *others = verdict.classes[:top]
        rest = ", ".join(f"{other.label} {other.score:.3f}" for other in others)
        rows.append((f"{best.score:.3f}", best.label, verdict.item, rest))
    if rows:
        output.table(["score", "class", "path", "then"], rows)


def _plain(verdict: Verdict, loaded: Probe) -> dict[str, Any]:
    found: dict[str, Any] = {"path": verdict.item.path, "root": verdict.item.root, "status": verdict.outcome.status}
    if verdict.outcome.status != "ok":
        return {**found, "reason": verdict.outcome.reason}
    found["classes"] = [{"label": each.label, "score": each.score} for each in verdict.classes]
    if verdict.windows is not None and verdict.spans is not None:
        labels = [str(label) for label in loaded.classes_]
        found["windows"] = [
            {"start": span[0], "stop": span[1], "scores": dict(zip(labels, row))}
            for span, row in zip(verdict.spans.tolist(), verdict.windows.tolist())
        ]
    return found


@probe.command("eval")
@click.argument("file", metavar="PROBE")
@library_option()
@_label_options
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
    from sightsound.dataset import load
    from sightsound.library import Library
    from sightsound.probe import LinearProbe
    from sightsound.teaching import examine

    _ready(None, plot)
    loaded = LinearProbe.load(file)
    origin = loaded.origin_
    if origin is None:
        raise SightsoundError(f"{file}: expected a probe that was fitted from a library")
    given = _labels(column, not loaded.single, source=source, folds=folds, groups=groups)
    with Library(library) as opened:
        data = load(opened, origin.space.name, given, level=origin.level, pool=origin.pool, classes=1)
    _report(examine(loaded, data), as_json, plot)


@probe.command()
@click.argument("file", metavar="PROBE")
@click.option("--plot", metavar="PNG", help="Draw confusions, reliability and the learning curve.")
@json_option()
def show(file: str, plot: str | None, as_json: bool) -> None:
    """Show what a probe knows, what it was fitted on, and how good it is."""
    from sightsound.stack import load_probe

    _ready(None, plot)
    _told(load_probe(file), as_json, plot)


@probe.command()
@click.argument("file", metavar="PROBE")
@click.option("-o", "--out", required=True, metavar="ONNX", help="The file to write.")
def export(file: str, out: str) -> None:
    """Write a probe as an ONNX graph: vectors in, decisions, probabilities and label out."""
    from sightsound.onnxfile import export as write
    from sightsound.probe import LinearProbe

    _ready(out, None)
    loaded = LinearProbe.load(file)
    write(loaded, out)
    click.echo(f"{loaded.n_features_in_} numbers -> {len(loaded.classes_)} classes, in {output.safe(out)}")


@click.command()
@library_option()
@click.option("-m", "--model", "models", multiple=True, help="A network; repeat it. All of the library otherwise.")
@_label_options
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
    from sightsound import comparison
    from sightsound.stack import Stack
    from sightsound.timing import milliseconds

    _ready(out, plot)
    datasets = _datasets(library, models, given)
    wanted = Stack(top, combine=combine, cv=cv)
    times = milliseconds(host(context), [data.origin.space.name for data in datasets], datasets[0].items, device=device)
    rivals, report = comparison.compare(datasets, stack=wanted, milliseconds=times)
    if out:
        fitted = comparison.fit(datasets, wanted)
        fitted.report_ = report
        fitted.save(out)
    if plot:
        from sightsound import charts

        charts.rivals(rivals, plot)
    _rivals(rivals, datasets[0].notes, as_json)
    if out and not as_json:
        click.echo(f"\nstack written to {output.safe(out)}")


def _datasets(library: str, models: Sequence[str], given: dict[str, Any]) -> list[Any]:
    from sightsound.dataset import load_all
    from sightsound.library import Library

    with Library(library) as opened:
        return load_all(opened, models, _labels(**given))


def _rivals(rivals: Sequence[Rival], notes: Sequence[str], as_json: bool) -> None:
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
    _notes(notes)


@click.command()
@library_option()
@click.option("-m", "--model", "models", multiple=True, help="A network; repeat it. All of the library otherwise.")
@_label_options
@click.option("--plot", metavar="PNG", help="Draw counts, accuracies, learning curve and confusions.")
@json_option()
def advise(library: str, models: Sequence[str], plot: str | None, as_json: bool, **given: Any) -> None:
    """Say which method suits a labelled collection, and show the evidence."""
    from sightsound.advice import advise as run

    _ready(None, plot)
    found = run(_datasets(library, models, given))
    if plot:
        from sightsound import charts

        networks = [(each.model, each.probe, each.neighbours) for each in found.networks]
        charts.advice(found.counts, networks, found.networks[0].report, plot)
    if as_json:
        output.dump(dataclasses.asdict(found))
        return
    output.table(["class", "items"], found.counts[:_SHOWN])
    click.echo(f"{sum(n for _, n in found.counts)} items; the commonest class has {found.imbalance:.1f} x the rarest\n")
    for pair in found.twins:
        a, b = pair.classes
        click.echo(
            f"nearly the same ({pair.cosine:.4f}): {output.safe(pair.first)} ({output.safe(a)}) and "
            f"{output.safe(pair.second)} ({output.safe(b)})",
            err=True,
        )
    rows = [(each.model, str(each.probe), str(each.neighbours)) for each in found.networks]
    output.table(["network", "linear probe (95 %)", "5 nearest neighbours"], rows)
    _curve(found.networks[0].report)
    click.echo()
    output.table(
        ["", "method", "", "why"], [(s.rank, s.method, "yes" if s.suits else "no", s.reason) for s in found.suggestions]
    )
    _notes(found.notes)
    click.echo(f"\ndo this first: {found.best.method}")


# -- what they share ---------------------------------------------------------------------------------------------------


def _ready(out: str | None, plot: str | None) -> None:
    """What cannot be written shows before the work."""
    from sightsound import drafts, plots

    if out:
        drafts.writable(out)
    plots.check(plot, None)


def _told(loaded: Probe, as_json: bool, plot: str | None) -> None:
    """What a probe is, and its report."""
    from sightsound.predicting import origins

    if as_json:
        report = loaded.report_.to_json() if loaded.report_ else None
        spaces = [
            {**origin.to_json(), "space": origin.space.name, "fingerprint": origin.space.fingerprint}
            for origin in origins(loaded)
        ]
        output.dump({"classes": loaded.classes_.tolist(), "spaces": spaces, "report": report, **_strength(loaded)})
    else:
        for origin in origins(loaded):
            kind = "windows" if origin.level == "window" else f"items ({origin.pool} of windows)"
            click.echo(f"{loaded!r} on {kind} of {origin.space.name} ({origin.space.fingerprint[:12]})")
    if loaded.report_ is not None:
        _report(loaded.report_, None if as_json else False, plot)
    elif plot:
        raise SightsoundError("--plot: expected a probe with a report; fit it without --strength")


def _strength(loaded: Probe) -> dict[str, Any]:
    from sightsound.probe import LinearProbe

    return {"C": loaded.C_, "temperature": loaded.temperature_} if isinstance(loaded, LinearProbe) else {}


def _report(report: Report, as_json: bool | None, plot: str | None) -> None:
    """Prints a report as a table (False), as JSON (True), or not at all (None), and draws it."""
    if plot:
        from sightsound import charts

        charts.report(report, plot)
    if as_json:
        output.dump(report.to_json())
    elif as_json is False:
        _table(report)


def _table(report: Report) -> None:
    rows = [
        (score.label, score.count, f"{score.precision:.3f}", f"{score.recall:.3f}", f"{score.f1:.3f}")
        for score in report.classes[:_SHOWN]
    ]
    output.table(["class", "rows", "precision", "recall", "F1"], rows)
    items = f"{report.items} items" if report.rows == report.items else f"{report.rows} rows of {report.items} items"
    click.echo(f"\n{items}, {report.how}")
    chosen = "" if report.corrected is None else f"; {report.corrected:.3f} after the choice of C is paid for"
    near = "" if report.neighbours is None else f", 5 nearest neighbours {report.neighbours.value:.3f}"
    click.echo(f"accuracy {report.accuracy}{chosen}")
    click.echo(f"macro F1 {report.macro_f1:.3f}; commonest class {report.majority:.3f}{near}")
    click.echo(f"calibration error {report.error:.3f} (without temperature {report.raw_error:.3f})")
    _curve(report)
    _notes(report.notes)


def _curve(report: Report) -> None:
    if report.curve:
        points = ", ".join(f"{size}: {mean:.3f}" for size, mean, _, _ in report.curve)
        click.echo(f"accuracy by items a class: {points}")


def _notes(notes: Sequence[str]) -> None:
    for note in notes:
        click.echo(output.safe(note))
