"""The command `sightsound finetune`."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output, reports
from sightsound.cli.destinations import check_destinations
from sightsound.cli.settings import device_option, host, json_option
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.learn.finetune import FineTuned


@click.command()
@click.option("-l", "--library", metavar="FOLDER", help="A library with labels and vectors of the network.")
@click.option("--data", metavar="FOLDER", help="A folder with a folder of files for each class, in place of a library.")
@click.option("-m", "--model", required=True, help="The network.")
@click.option("-o", "--out", "name", required=True, metavar="NAME", help="The name of the new model.")
@reports.column_option(multiple=False)
@reports.label_options
@reports.window_options
@click.option("--multi-label", is_flag=True, help="Items, or windows, may have several of the classes.")
@click.option(
    "--freeze-until",
    multiple=True,
    metavar="STAGE|P",
    help="The first stage that is trained, or the proportion of layers that are not.  [default: 0.5]",
)
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True, help="How often all items are seen.")
@click.option("--rate", type=float, multiple=True, help="Learning rate of the head.  [default: 0.001]")
@click.option(
    "--search",
    is_flag=True,
    help="Compare several of --freeze-until and --rate by cross-validation, and train with the best.",
)
@click.option("--backbone-factor", type=float, default=0.1, show_default=True, help="Rate of the network, of that.")
@click.option("--layer-decay", type=float, default=1.0, show_default=True, help="Rate of a layer, of the next one's.")
@click.option("--batch-size", type=click.IntRange(2), default=16, show_default=True, help="Items for each step.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the arithmetic of a step; auto is bf16 on a GPU that has it.",
)
@click.option("--patience", type=click.IntRange(1), default=3, show_default=True, help="Epochs without improvement.")
@click.option("--augment/--no-augment", default=True, help="Change inputs at random.  [default: augment]")
@click.option("--balanced/--no-balanced", default=True, help="Rare classes weigh as much.  [default: balanced]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order, and of what is changed at random.")
@click.option("--resume", metavar="FILE", help="Keep checkpoints in FILE, and go on from it if it is there.")
@click.option("--log", metavar="CSV", help="Write loss and accuracy of each epoch.")
@click.option("--plot", metavar="PNG", help="Draw loss and accuracy.")
@click.option("--replace", is_flag=True, help="Replace an imported model of this name.")
@device_option()
@json_option()
@click.pass_context
def finetune(
    context: click.Context,
    /,
    library: str | None,
    data: str | None,
    model: str,
    name: str,
    column: str | None,
    source: str | None,
    fold_column: str | None,
    group_column: str | None,
    ranges: bool,
    min_overlap: float | None,
    others: str | None,
    multi_label: bool,
    freeze_until: tuple[str, ...],
    rate: tuple[float, ...],
    search: bool,
    log: str | None,
    plot: str | None,
    as_json: bool,
    augment: bool,
    **how: Any,
) -> None:
    """Train the last layers of a network on your own classes, and make a model of it.

    Its head starts as a linear probe. A fifth of the items are held out: the network of the epoch that is most
    accurate on them is kept, or the network as it is where none is clearly better than the probe. ^C stops after
    the batch; with --resume the same command goes on from there.

    With --windows it learns from the windows of recordings that have labels of time ranges, as probe fit does.
    """
    if not search and max(len(freeze_until), len(rate)) > 1:
        raise click.UsageError("expected one --freeze-until and one --rate, or --search to compare several")
    if (library is None) == (data is None):
        raise click.UsageError("expected --library or --data")
    windows = reports.window_settings(ranges, min_overlap, others)
    if ranges and data is not None:
        raise click.UsageError("--windows goes with --library, which has the labels of time ranges")
    from sightsound._atomic import check_writable
    from sightsound.learn.finetune import finetune as run
    from sightsound.learn.finetune import write_log
    from sightsound.learn.finetune_search import Grid
    from sightsound.learn.label_table import Labels
    from sightsound.torch import TrainingSettings
    from sightsound.torch.examples import NONE

    read = [each for each in (source, data) if each]
    check_destinations(log, endings=(".csv", ".txt"), strict=True, plot=plot, inputs=read, library=library)
    if how["resume"]:
        check_writable(how["resume"])
    depths = tuple(map(_depth, freeze_until))
    settings = TrainingSettings(
        epochs=how["epochs"],
        learning_rate=(rate or (TrainingSettings.learning_rate,))[0],
        backbone_factor=how["backbone_factor"],
        layer_decay=how["layer_decay"],
        batch_size=how["batch_size"],
        seed=how["seed"],
        precision=how["precision"],
    )
    labels = Labels(source, column, fold_column, group_column, multi_label, **windows)
    with _stopping() as stopped:
        tuned = run(
            library or data or "",
            model,
            name,
            labels=labels,
            freeze_until=(depths or (0.5,))[0],
            search=Grid(freeze_until=depths or Grid.freeze_until, learning_rate=rate or Grid.learning_rate)
            if search
            else None,
            settings=settings,
            augmentation=None if augment else NONE,
            balanced=how["balanced"],
            patience=how["patience"],
            checkpoint=how["resume"],
            replace=how["replace"],
            host=host(context),
            device=how["device"],
            stopped=stopped,
        )
    if tuned is None:
        step = f"the same command goes on from {how['resume']}" if how["resume"] else "nothing is kept without --resume"
        output.echo(f"stopped; {step}", err=True)
        context.exit(130)
    if log:
        write_log(tuned, log)
    if plot:
        from sightsound.plot.reports import plot_training

        plot_training(tuned, plot)
    _print(tuned, as_json)


def _print(tuned: FineTuned, as_json: bool) -> None:
    epochs = [{**dataclasses.asdict(each), "loss": each.loss if each.number else None} for each in tuned.epochs]
    candidates = [dataclasses.asdict(each) for each in tuned.candidates]
    if as_json:
        kept = {"name": tuned.card.name, "parent": tuned.parent, "best": tuned.best, "notes": list(tuned.notes)}
        measured = {each: dataclasses.asdict(getattr(tuned, each)) for each in ("accuracy", "probe")}
        counts = {"items": tuned.items, "held_out": tuned.held_out, "freeze_until": tuned.freeze_until}
        counts |= {"level": tuned.level}
        output.print_json({**kept, **counts, **measured, "epochs": epochs, "candidates": candidates})
        return
    if tuned.candidates:
        from sightsound.learn.finetune_search import best

        chosen = best(tuned.candidates)
        output.print_table(
            ["frozen until", "rate", "best epoch", "loss", "accuracy (95 %)"],
            [
                (
                    str(each.freeze_until) + (" *" if each is chosen else ""),
                    f"{each.learning_rate:g}",
                    each.epoch or "probe",
                    f"{each.loss:.3f}",
                    str(each.accuracy),
                )
                for each in tuned.candidates
            ],
        )
        output.echo()
    header = ["epoch", "loss", "held-out loss", "held-out accuracy, %"]
    rows = [
        (
            "probe" if each.number == 0 else each.number,
            "" if each.number == 0 else f"{each.loss:.3f}",
            f"{each.held_out_loss:.3f}",
            f"{100 * each.held_out_accuracy:.1f}" + (" *" if number == tuned.best else ""),
        )
        for number, each in enumerate(tuned.epochs)
    ]
    output.print_table(header, rows)
    reports.print_notes(tuned.notes)
    name = printable(tuned.card.name)
    classes, learnt = len(tuned.card.labels), output.count_of(tuned.items, tuned.level)
    output.echo(f"{name}: {classes} classes, from {learnt} and {tuned.held_out} held out; * is kept")
    output.echo(f"accuracy on those held out: {tuned.accuracy}; linear probe: {tuned.probe}")
    output.echo(f"next: sightsound tag FOLDER --model {name}")


def _depth(text: str) -> str | float:
    """Return a proportion, or the name of a stage, which may be a number too."""
    try:
        return float(text) if 0 <= float(text) <= 1 else text
    except ValueError:
        return text


@contextlib.contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether ^C was pressed; the second time it ends the program as usual."""
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def press(number: int, frame: Any) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, press)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
