"""The command `sightsound import-model`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import host
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.model_settings import ModelSettings

_SETTINGS = (
    click.Option(["--modality"], type=click.Choice(["image", "sound"]), help="What it takes, if the file cannot say."),
    click.Option(["--size"], metavar="N|HxW", help="Images: pixels of a side, or height and width."),
    click.Option(["--layout"], type=click.Choice(["nchw", "nhwc"]), help="Images: the order of the axes."),
    click.Option(
        ["--channels"], type=click.Choice(["rgb", "bgr", "gray"]), help="Images: their channels.  [default: rgb]"
    ),
    click.Option(["--scale"], type=float, help="Images: values from 0 to 255 are divided by it.  [default: 255]"),
    click.Option(["--mean"], metavar="A[,B,C]", help="Images: what is subtracted then.  [default: 0]"),
    click.Option(["--std"], metavar="A[,B,C]", help="Images: what they are divided by then.  [default: 1]"),
    click.Option(["--resize"], type=int, help="Images: pixels of the shorter side before the crop.  [default: size]"),
    click.Option(["--squash/--no-squash"], default=None, help="Images: resize both sides, without a crop."),
    click.Option(["--interpolation"], help="Images: a filter of Pillow.  [default: bilinear]"),
    click.Option(["--rate"], type=int, metavar="HZ", help="Sound: the sample rate."),
    click.Option(["--window"], type=float, metavar="SECONDS", help="Sound: length of a window."),
    click.Option(["--hop"], type=float, metavar="SECONDS", help="Sound: distance of windows.  [default: the window]"),
    click.Option(["--tail"], type=click.Choice(["pad", "drop"]), help="Sound: the end of a recording.  [default: pad]"),
    click.Option(["--input"], metavar="NAME", help="The input, if there are several."),
    click.Option(["--embedding"], metavar="NAME", help="The output or layer that is the embedding."),
    click.Option(["--output"], metavar="NAME", help="The output with the scores."),
    click.Option(["--scores"], type=click.Choice(["softmax", "sigmoid"]), help="What scores are.  [default: softmax]"),
    click.Option(["--logits/--no-logits"], default=None, help="Whether softmax or sigmoid must be applied to them."),
    click.Option(["--license"], metavar="TEXT", help="The licence of the weights."),
    click.Option(["--about"], metavar="TEXT", help="A description in one line."),
)


def _with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that are fields of `ModelSettings`."""
    made: click.Command = command  # type: ignore[assignment]
    made.params += _SETTINGS
    return command


@_with_settings
@click.command("import-model")
@click.argument("sources", nargs=-1, required=True, metavar="FILE...")
@click.option("--name", help="The name of the model.")
@click.option("--format", "format_", default="", help="The format; that of the first file's suffix by default.")
@click.option("--card", type=click.Path(dir_okay=False), help="JSON with these settings.  [default: that beside FILE]")
@click.option("--labels", type=click.Path(dir_okay=False), help="A class in each line, in the order of the scores.")
@click.option("--trust", is_flag=True, help="Import a format whose files are programs.")
@click.option("--replace", is_flag=True, help="Replace an imported model of this name.")
@click.pass_context
def import_model(
    context: click.Context,
    /,
    sources: Sequence[str],
    name: str | None,
    format_: str,
    card: str | None,
    labels: str | None,
    trust: bool,
    replace: bool,
    **settings: Any,
) -> None:
    """Make a model of a network in a file, or in several: ONNX, TFLite, OpenVINO, Keras, Caffe, SavedModel and more.

    The file is copied; then the model has a name in every command, and `sightsound remove-model NAME` removes it. Which
    formats there are depends on the plugins, see `sightsound plugins`. What the file does not say about its input is
    given by options, or by a JSON file with the same names beside it (net.card.json for net.onnx). A line of --labels
    may begin with an id of the class and a tab.
    """
    from sightsound.host.importing import import_model as run

    found = _settings(sources[0], card, labels, {"name": name, **settings})
    made = run(sources, found, format=format_, trust=trust, replace=replace, host=host(context))
    size = "x".join(map(str, made.input_shape))
    rate = f" at {made.sample_rate} Hz" if made.sample_rate else ""
    classes = f", {len(made.labels)} classes" if made.labels else ""
    output.echo(f"{printable(made.name)}: {made.modality}, input {size}{rate}, {made.dim} numbers a vector{classes}")
    output.echo(f"next: sightsound index FOLDER --library zoo --model {printable(made.name)}")


def _settings(source: str, card: str | None, labels: str | None, options: dict[str, Any]) -> ModelSettings:
    """Return the settings of the options and of the file beside the network."""
    from sightsound.contract.model_settings import ModelSettings

    beside = Path(source).parent / f"{Path(source).stem}.card.json"
    file = Path(card) if card else beside if beside.is_file() else None
    for name in ("mean", "std"):
        options[name] = options[name] and tuple(_numbers(options[name], f"--{name}"))
    if options["size"]:
        sides = [int(side) for side in _numbers(options["size"].replace("x", ","), "--size")]
        options["size"] = tuple(sides if len(sides) == 2 else sides * 2)
    if labels:
        pairs = [line.rpartition("\t")[::2] for line in _text(Path(labels)).splitlines() if line.strip()]
        if not pairs or not all(label.strip() for _, label in pairs):
            raise SightsoundError(f"{labels}: expected a class in each line, got an empty one; correct the file")
        options["labels"] = tuple(label for _, label in pairs)
        options["ids"] = tuple(id_ for id_, _ in pairs) if all(id_ for id_, _ in pairs) else None
    try:
        return ModelSettings.from_json(_text(file) if file else "{}", **options)
    except SightsoundError as error:
        raise (SightsoundError(f"{file}: {error}") if file else error) from None


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"{option}: expected numbers with commas between them, got {text!r}") from None


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise SightsoundError(f"{file}: cannot be read ({error.strerror}); name another file") from None
    except UnicodeDecodeError:
        raise SightsoundError(f"{file}: expected text in UTF-8; save it as such") from None
