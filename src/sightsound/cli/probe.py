"""The commands `sightsound probe fit`, `predict`, `eval`, `show` and `export`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output, reports
from sightsound.cli.destinations import check_destinations
from sightsound.cli.exports import TableOutput, table_options
from sightsound.cli.settings import device_option, host, json_option, library_option, none_below_option, refuse_given
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.results import Classified

_PROBE_ENDINGS = (".probe", ".safetensors")
_TOP = 3  # classes of an item in a table


@click.group()
def probe() -> None:
    """Train and apply a linear classifier of your own classes on the vectors of a library."""


@probe.command()
@library_option()
@click.option("-m", "--model", required=True, help="The network whose vectors are used.")
@reports.column_option(multiple=True)
@reports.label_options
@reports.window_options
@reports.samples_option()
@click.option("-o", "--out", required=True, metavar="FILE", help="The file to write, usually NAME.probe.")
@click.option("--kind", type=click.Choice(["logistic", "svm", "ridge"]), default="logistic", show_default=True)
@click.option("--level", type=click.Choice(["item", "window"]), default="item", help="What a row is.  [item]")
@click.option(
    "--pool",
    type=click.Choice(["auto", "mean", "max", "mean+max", "mean+std"]),
    default="auto",
    help="How the windows of a sound become a row.  [auto]",
)
@click.option(
    "--features",
    type=click.Choice(["auto", "embedding", "scores", "both"]),
    default="auto",
    help="Vectors, scores of the network's classes, or both.  [auto: vectors, unless another is clearly better]",
)
@click.option(
    "--scaling",
    type=click.Choice(["auto", "none", "global", "unit", "centred", "standard"]),
    default="auto",
    help="How features are scaled: all by one number, rows to length 1 (also around their mean), or z-scores.  [auto]",
)
@click.option("--sqrt/--no-sqrt", default=None, help="Take square roots of the features.  [auto]")
@click.option("--folds", "cv", type=click.IntRange(2), help="Folds of the cross-validation.  [5]")
@click.option(
    "--class-weight", type=click.Choice(["balanced"]), help="Give rare classes as much weight as common ones."
)
@click.option(
    "--scoring", type=click.Choice(["accuracy", "f1_macro"]), default="accuracy", help="The score that C maximises."
)
@click.option("--strength", "C", type=float, help="C, the inverse regularisation; without cross-validation.")
@click.option("--multi-label", is_flag=True, help="Items may have several of the classes.")
@click.option(
    "--background",
    metavar="CLASS|unlabelled",
    help="Items that are none of the classes, for the threshold of predict --none-below auto.",
)
@click.option("--curve/--no-curve", default=True, help="Compute the learning curve, which takes the longest.")
@click.option("--plot", metavar="PNG", help="Draw confusion matrix, reliability and learning curve.")
@json_option()
@click.pass_context
def fit(
    context: click.Context,
    /,
    library: str,
    model: str,
    out: str,
    level: Any,
    pool: Any,
    features: Any,
    plot: str | None,
    curve: bool,
    as_json: bool,
    source: str | None,
    columns: Sequence[str],
    fold_column: str | None,
    group_column: str | None,
    multi_label: bool,
    background: str | None,
    ranges: bool,
    min_overlap: float | None,
    others: str | None,
    max_samples: int | None,
    **settings: Any,
) -> None:
    """Fit a probe to the labelled items of a library, and evaluate it by cross-validation.

    Cross-validation also chooses C. It never splits the windows of an item, or the copies of a file.
    """
    from sightsound.learn.fit import fit_probe
    from sightsound.learn.label_table import Labels
    from sightsound.learn.load import load_dataset
    from sightsound.linear.probe import LinearProbe

    if fold_column and settings["cv"]:
        raise click.UsageError("--folds or --fold-column, one of the two")
    if (level == "window" or ranges) and pool not in ("auto", "mean"):
        raise click.UsageError("--pool is for items; leave out --level window and --windows")
    windows = reports.window_settings(ranges, min_overlap, others)
    if plot and settings["C"]:
        raise click.UsageError("--plot draws what was held out, which --strength does not do")
    if settings["C"] is not None:
        names = ["cv", "fold_column", "group_column", "scoring", *(["curve"] if curve else [])]
        refuse_given(context, names, "cross-validation, which --strength does without")
    if ranges and level == "item":
        refuse_given(context, ["level"], "items; --windows is about windows")
    if multi_label and settings["scoring"] == "accuracy":
        refuse_given(context, ["scoring"], "one class an item; with --multi-label it is f1_macro")
    wanted = {_file_for_column(out, column, columns): column for column in columns or (None,)}
    if (plot or as_json) and len(wanted) > 1:
        raise click.UsageError("--plot and --json are for one probe; name one --label-column")
    read = [source] if source else []
    for place in wanted:
        check_destinations(place, endings=_PROBE_ENDINGS, plot=plot, inputs=read, library=library)
    for place, column in wanted.items():
        labels = Labels(source, column, fold_column, group_column, multi_label, background, **windows)
        how: dict[str, Any] = {"level": level, "pool": pool, "features": features}
        data = load_dataset(library, model, labels, max_samples=reports.samples_setting(max_samples), **how)
        fitted = fit_probe(data, LinearProbe(**settings), curve=curve)
        fitted.save(place)
        reports.draw_report(fitted.report_, plot)
        output.print_json(reports.probe_json(fitted)) if as_json else reports.print_probe(fitted)
        if fitted.report_ is None:
            reports.print_notes(data.notes, err=True)
        if not as_json:
            output.echo(f"\nwritten to {printable(place)}")


def _file_for_column(out: str, column: str | None, columns: Sequence[str]) -> str:
    """Return the file for the probe of a column: `dogs.probe`, or `dogs.breed.probe` if there are several columns."""
    if len(columns) < 2:
        return out
    place, name = Path(out), str(column)
    if (place.exists() and not place.is_file()) or {"/", "\\", "\0"} & set(name):
        raise click.UsageError(f"--out: expected the name of a file, which {name!r} can be put in")
    return str(place.with_name(f"{place.stem}.{name}{place.suffix}"))


@probe.command()
@click.argument("file", metavar="PROBE")
@click.argument("paths", nargs=-1, metavar="PATH...")
@click.option("-l", "--library", metavar="FOLDER", help="Classify the items of a library instead, by its vectors.")
@click.option("-k", "--top", type=click.IntRange(1), help="The number of classes of an item.  [3; all in JSON]")
@none_below_option()
@device_option()
@table_options
@click.pass_context
def predict(
    context: click.Context,
    file: str,
    paths: Sequence[str],
    library: str | None,
    top: int | None,
    none_below: Any,
    device: str,
    table: TableOutput,
) -> None:
    """Classify images and sounds with a probe or a stack.

    With --json, probes of windows give the scores of each window. Exit code 1 if a file failed.
    """
    from sightsound.classify.tag_table import PREDICTION_COLUMNS, prediction_batches
    from sightsound.learn.predict import predict as classify
    from sightsound.learn.predict import predict_stored
    from sightsound.linear.load import load_probe

    if bool(paths) == bool(library):
        raise click.UsageError("name files and folders, or --library, one of the two")
    table.check(inputs=[file, *paths], library=library)
    loaded = load_probe(file)
    kept = [] if library else list(classify(loaded, paths, none_below=none_below, host=host(context), device=device))
    statuses = set[str]()

    def found() -> Iterator[Classified]:
        for each in predict_stored(loaded, library, none_below=none_below) if library else kept:
            statuses.add(each.outcome.status)
            yield each

    table.write(
        PREDICTION_COLUMNS,
        lambda: prediction_batches(found(), top or _TOP),
        objects=lambda: (_classified_json(each, top) for each in found()),
    )
    if table.shown:
        _print_classified(list(found()), top or _TOP)
    context.exit(1 if statuses - {"ok"} else 0)


def _print_classified(found: Sequence[Classified], top: int) -> None:
    rows: list[Sequence[object]] = []
    for each in found:
        if each.outcome.status != "ok":
            why = printable(each.outcome.reason or each.outcome.status)
            output.echo(f"{printable(each.item.shown)}: {why}", err=True)
            continue
        best, others = each.top[0], each.top[each.label is not None : top]
        rest = ", ".join(f"{other.label} {other.score:.3f}" for other in others)
        rows.append((f"{best.score:.3f}", "-" if each.label is None else each.label, each.item.shown, rest))
    if rows:
        output.print_table(["score", "class", "path", "then"], rows)
    none = [each.none_below for each in found if each.outcome.status == "ok" and each.label is None]
    if none:
        output.echo(f"{len(none)} of {len(rows)} items have no class, as all probabilities are under {none[0]:.3f}")


def _classified_json(found: Classified, top: int | None) -> dict[str, Any]:
    plain: dict[str, Any] = {"path": found.item.path, "root": found.item.root, "file": found.item.shown}
    plain["status"] = found.outcome.status
    if found.outcome.status != "ok":
        return {**plain, "reason": found.outcome.reason}
    plain["label"] = found.label
    plain["classes"] = [{"label": each.label, "score": each.score} for each in found.top[:top]]
    windows = found.windows
    if windows is not None and windows.spans is not None:
        plain["windows"] = [
            {"start": span[0], "stop": span[1], "scores": dict(zip(windows.labels, row))}
            for span, row in zip(windows.spans.tolist(), windows.scores.tolist())
        ]
    return plain


@probe.command("eval")
@click.argument("file", metavar="PROBE")
@library_option()
@reports.column_option()
@reports.label_options
@reports.window_options
@reports.samples_option()
@click.option(
    "--background", metavar="CLASS|unlabelled", help="Items that are none of the classes: how many get a class."
)
@click.option("--plot", metavar="PNG", help="Draw confusion matrix and reliability.")
@table_options
def evaluate(
    file: str,
    library: str,
    plot: str | None,
    ranges: bool,
    min_overlap: float | None,
    others: str | None,
    max_samples: int | None,
    table: TableOutput,
    **labels: Any,
) -> None:
    """Evaluate a probe on the labelled items of a library, preferably one that it was not fitted to.

    As CSV or Parquet there is a row for each class; JSON has the whole report.
    """
    from sightsound.learn.fit import evaluate_stored
    from sightsound.learn.label_table import Labels

    read = [file, labels["source"]] if labels["source"] else [file]
    check_destinations(plot=plot, inputs=read, library=library)
    table.check(inputs=read, library=library)
    windows, most = reports.window_settings(ranges, min_overlap, others), reports.samples_setting(max_samples)
    report = evaluate_stored(reports.load_linear_probe(file), library, Labels(**labels, **windows), max_samples=most)
    reports.draw_report(report, plot)
    reports.write_report(table, report, report.to_json)
    if table.shown:
        reports.print_report(report)


@probe.command()
@click.argument("file", metavar="PROBE")
@click.option("--plot", metavar="PNG", help="Draw confusion matrix, reliability and learning curve.")
@click.option("--reliability", is_flag=True, help="Print the accuracy for each range of probabilities.")
@table_options
def show(file: str, plot: str | None, reliability: bool, table: TableOutput) -> None:
    """Show the classes of a probe, what it was fitted to, and its evaluation.

    As CSV or Parquet there is a row for each class; JSON has the whole report.
    """
    from sightsound.linear.load import load_probe

    if reliability and not table.shown:
        raise click.UsageError(
            "--reliability is printed; leave it out, or --csv, --json and the like, of which JSON has it"
        )
    check_destinations(plot=plot, inputs=[file])
    table.check(inputs=[file])
    loaded = load_probe(file)
    reports.draw_report(loaded.report_, plot)
    reports.write_report(table, loaded.report_, lambda: reports.probe_json(loaded))
    if table.shown:
        reports.print_probe(loaded)
        if reliability:
            reports.print_reliability(loaded.report_)


@probe.command()
@click.argument("file", metavar="PROBE")
@click.option("-o", "--out", required=True, metavar="ONNX", help="The file to write.")
def export(file: str, out: str) -> None:
    """Write a probe as an ONNX graph that turns vectors into decisions, probabilities and a label."""
    from sightsound.linear.onnx import export_onnx

    check_destinations(out, endings=(".onnx",), inputs=[file])
    loaded = reports.load_linear_probe(file)
    export_onnx(loaded, out)
    output.echo(f"{loaded.n_features_in_} numbers -> {len(loaded.classes_)} classes, in {printable(out)}")
