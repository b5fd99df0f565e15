"""The command `sightsound tag`."""

from __future__ import annotations

import functools
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import exports, output
from sightsound.cli.settings import (
    device_option,
    filter_options,
    host,
    json_option,
    none_below_option,
    refuse_filter,
    refuse_given,
    take_filter,
)
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.classify.segments import SegmentRules
    from sightsound.contract.results import Classified, Segment

_SUMMARY_CLASSES = 25  # classes in the summary of a folder; --csv and --json have all
_BLOCK_SECONDS = 0.5  # of a stream, read at a time
_LINE_CLASSES = 3  # classes on the line of a file
_STATUS_WORDS = {"ok": "tagged", **output.FAILURE_WORDS}


@click.command()
@click.argument("paths", nargs=-1, metavar="FILE...")
@click.option("-l", "--library", metavar="FOLDER", help="The items of a library, by the scores that it keeps.")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    help="A model instead of the default one of its modality; may be repeated.",
)
@click.option(
    "--probe", "probes", multiple=True, metavar="FILE", help="Use the classes of a probe, with its own network."
)
@none_below_option()
@click.option(
    "--classes",
    multiple=True,
    metavar="NAMES",
    help='Your own classes in words, "dog,cat,car", or a file with one on each line, with a network that takes words; '
    "repeat it for names with commas.",
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    metavar="TEXT",
    help='With --classes, a text such as "a photo of a {}."; repeat it for the mean of several.  [the network\'s own]',
)
@click.option(
    "-k", "--top", default=5, show_default=True, type=click.IntRange(1), help="The number of classes of a file."
)
@click.option("--threshold", type=float, help="The lowest score of a class in a window.  [default: 0.35]")
@click.option(
    "--min-separation", type=float, metavar="S", help="Join segments less than S seconds apart.  [default: 0.25]"
)
@click.option("--min-duration", type=float, metavar="S", help="Drop segments shorter than S seconds.  [default: 0.5]")
@click.option(
    "--specificity",
    type=click.Choice(["high", "low", "none"]),
    help="Keep the specific class (Bark), the general one (Animal), or both.  [high]",
)
@click.option(
    "--include", multiple=True, metavar="CLASS", help="Only this class, id, or subtree:NAME; may be repeated."
)
@click.option("--exclude", multiple=True, metavar="CLASS", help="Not this class, id, or subtree:NAME; may be repeated.")
@click.option(
    "--backoff", is_flag=True, help="Add a general class where no class below it passes, but all together do."
)
@click.option(
    "--hop", type=float, metavar="S", help="A window every S seconds, in steps of the network.  [default: its own]"
)
@click.option(
    "--channels",
    type=click.Choice(["mean", "each"]),
    default="mean",
    help="The mean of the channels, or each separately.",
)
@filter_options(tags=False, windows="none")
@device_option()
@json_option()
@click.option("--csv", "form", flag_value="csv", help="CSV: a row for each segment, or class of an image.")
@click.option("--audacity", "form", flag_value="audacity", help="Audacity's label track.")
@click.option("--raven", "form", flag_value="raven", help="Raven's selection table.")
@click.option("--parquet", metavar="FILE", help="Write a Parquet file with the columns of --csv, too.")
@click.option(
    *("-o", "--out"),
    metavar="FILE",
    help="The file to write (a folder for --audacity of several files); .csv, .json and .parquet say the form.",
)
@click.option("--plot", metavar="PNG", help="Draw a recording: waveform, spectrogram and segments.")
@click.option("--wordcloud", metavar="PNG", help="Draw a word cloud of the classes, by seconds times score.")
@click.pass_context
def tag(
    context: click.Context,
    /,
    paths: Sequence[str],
    library: str | None,
    models: Sequence[str],
    probes: Sequence[str],
    classes: tuple[str, ...],
    templates: tuple[str, ...],
    none_below: Any,
    top: int,
    hop: float | None,
    channels: Any,
    device: str,
    as_json: bool,
    form: str | None,
    parquet: str | None,
    out: str | None,
    plot: str | None,
    wordcloud: str | None,
    **rules: Any,
) -> None:
    """Name what is in images and sounds: 1,000 classes of images, and 521 of sounds with their seconds.

    Prints the classes and segments of one file; for several, or folders, one line for each and a summary. `-` reads a
    WAV file from standard input and prints each segment as soon as it has ended. With --library no file is read: other
    rules take a moment. Exit code 1 if a file failed.
    """
    from sightsound.classify.segments import SegmentRules

    if as_json and form:
        raise click.UsageError(f"--json and --{form}: expected one of them")
    form = "json" if as_json else form
    if out == "-" and form:
        out = None
    if out and not form:
        form, out, parquet = exports.form_of(out, parquet)
    if bool(paths) == bool(library):
        raise click.UsageError("expected FILE... or --library")
    if library and (probes or none_below is not None or hop is not None or channels != "mean" or plot):
        raise click.UsageError("--library goes with rules, models and --classes alone: no file is read")
    if form in ("audacity", "raven") and not parquet:
        refuse_given(context, ["top"], "the classes of a file, which --csv, --json and the printed list have")
    one = len(paths) == 1 and not os.path.isdir(paths[0])
    if plot and not one:
        raise click.UsageError("--plot draws one recording; name one file")
    read = [path for path in (*paths, *probes, *classes[:1]) if path != "-"]
    files = {"plot": plot, "wordcloud": wordcloud, "parquet": parquet}
    exports.check(form, out, one=one, **files, inputs=read, library=library)
    where = take_filter(rules, windows="none") if library else None
    if where is None:
        refuse_filter(rules)
    given = SegmentRules(**{name: value for name, value in rules.items() if value not in (None, ())})
    settings = {
        "classes": _class_names(classes),
        "templates": templates,
        **{"hop": hop, "channels": channels, "host": host(context), "device": device},
    }
    if "-" in paths:
        if len(paths) > 1 or len(models) > 1 or plot or probes or none_below is not None:
            raise click.UsageError("- is read alone, with one model, without --plot, --probe and --none-below")
        found = _classify_stdin(given, models, top, settings, live=form is None)
    elif library:
        from sightsound.library.stored_tags import tag_stored

        of_library = {name: settings[name] for name in ("classes", "templates", "host", "device")}
        stored = functools.partial(tag_stored, library, models=models, k=top, rules=given, where=where, **of_library)
        if not (wordcloud or form == "audacity"):
            context.exit(_write_stored(stored, form, out, parquet))
        found = stored()
    else:
        from sightsound.classify.tag import tag as run
        from sightsound.cli.reports import load_linear_probe

        loaded = [load_linear_probe(probe) for probe in probes]
        found = run(paths, models=models, probes=loaded, none_below=none_below, k=top, rules=given, **settings)
    kept: list[Classified] = []
    try:
        for tags in found:
            _print_file(tags, one, form)
            kept.append(tags)
    except KeyboardInterrupt:
        if form and kept:
            exports.export(kept, form, out)
        exports.write_parquet(kept, parquet)
        raise KeyboardInterrupt(_what_is_kept(kept, form, out)) from None
    summary = _Summary()
    for tags in kept:
        summary.add(tags)
    if form:
        exports.export(kept, form, out)
    elif one and kept and kept[0].outcome.status == "ok":
        _print_classes(kept[0])
    elif not one:
        summary.print()
    exports.write_parquet(kept, parquet)
    exports.draw(kept, plot, wordcloud)
    context.exit(summary.exit_code)


def _write_stored(
    stored: Callable[[], Iterator[Classified]], form: str | None, out: str | None, parquet: str | None
) -> int:
    """Print or write what is in a library, as it is read; return the exit code. Nothing is kept in memory."""
    summary = _Summary()

    def seen() -> Iterator[Classified]:
        for tags in stored():
            _print_file(tags, False, form)
            summary.add(tags)
            yield tags

    if form:
        exports.export(seen(), form, out)
        exports.write_parquet(stored() if parquet else (), parquet)
    else:
        if parquet:
            exports.write_parquet(seen(), parquet)
        else:
            deque(seen(), maxlen=0)
        summary.print()
    return summary.exit_code


def _class_names(given: tuple[str, ...]) -> list[str]:
    """Return the classes of --classes.

    A single one is a file with a class on each line, or its parts between commas; of several each is as it is.
    """
    names: Sequence[str] = given
    if len(given) == 1:
        names = _lines(given[0]) if os.path.isfile(given[0]) else given[0].split(",")
    found = [name.strip() for name in names if name.strip()]
    if given and not found:
        raise click.UsageError("--classes: expected names, got none")
    return found


def _lines(file: str) -> list[str]:
    """Return the lines of a file of classes."""
    try:
        return Path(file).read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise click.UsageError(f"--classes: {printable(file)}: expected a class on each line, got: {reason}") from error


def _what_is_kept(kept: Sequence[Classified], form: str | None, out: str | None) -> str:
    if not (form and kept):
        return "nothing is kept"
    files = "1 file" if len(kept) == 1 else f"{len(kept)} files"
    return f"what was found in {files} is in {printable(out or 'the output')}, the rest is not kept"


def _classify_stdin(
    rules: SegmentRules, models: Sequence[str], top: int, settings: dict[str, Any], *, live: bool
) -> Iterator[Classified]:
    """Classify standard input to its end, or until it is interrupted; print each segment as it ends if `live`."""
    from sightsound import media
    from sightsound.classify.classify import classify_stream
    from sightsound.classify.segments import sort_segments
    from sightsound.contract.results import Classified, Item, Outcome

    found, stopped = [], False
    with media.pipe_sound(0) as sound:
        blocks, model = sound.frames(_BLOCK_SECONDS), next(iter(models), None)
        stream = classify_stream(blocks, sound.sample_rate, model=model, rules=rules, **settings)
        try:
            for segment in stream:
                found.append(segment)
                if live:
                    output.print_line("  ".join(map(printable, _segment_cells(segment))))
        except KeyboardInterrupt:
            stopped = True
        outcome = Outcome(Item("", "-"), "ok", seconds=sound.seconds, facts=sound.facts)
    if not sound.seconds:
        yield Classified(outcome.item, replace(outcome, status="no-windows", reason="no samples"))
    else:
        yield replace(stream.classified(top), item=outcome.item, outcome=outcome, segments=sort_segments(found))
    if stopped:
        raise KeyboardInterrupt


def _print_file(tags: Classified, one: bool, form: str | None) -> None:
    """Print a file: why it failed, or its line among several."""
    name, outcome = printable(tags.item.shown), tags.outcome
    if outcome.status != "ok":
        output.echo(f"{name}: {printable(outcome.reason or outcome.status)}", err=True)
    elif not one and form is None:
        output.print_line(f"{name}  {_classes(tags, _LINE_CLASSES)}")


def _classes(tags: Classified, count: int) -> str:
    top = tags.top[:count]
    between = "; " if any("," in p.label for p in top) else ", "  # such as "tabby, tabby cat"
    none = "-: " if top and tags.label is None else ""
    return none + between.join(f"{printable(p.label)} {p.score:.2f}" for p in top)


def _segment_cells(segment: Segment) -> tuple[str, ...]:
    channel = () if segment.channel is None else (f"channel {segment.channel}",)
    times = f"{segment.start:.2f}-{segment.stop:.2f}"
    return (times, *channel, segment.label, f"{segment.mean:.2f}", f"{segment.peak:.2f}")


def _print_classes(tags: Classified) -> None:
    """Print all classes and segments of one file."""
    if tags.outcome.seconds is None:
        none = [(f"{tags.top[0].score:.4f}", "-")] if tags.top and tags.label is None else []
        output.print_table(["score", "class"], [*none, *((f"{p.score:.4f}", p.label) for p in tags.top)])
        return
    if tags.item.path == "-":
        output.echo(output.count_of(len(tags.segments), "segment"))
    elif tags.segments:
        channel = [] if tags.segments[0].channel is None else [""]
        output.print_table(["seconds", *channel, "class", "mean", "peak"], [_segment_cells(s) for s in tags.segments])
    else:
        output.echo("no segments: no class is over --threshold for --min-duration (0.5 s unless given)")
    output.echo(f"\nwhole recording ({output.format_duration(tags.outcome.seconds)}): {_classes(tags, len(tags.top))}")


class _Summary:
    """Counts over all files: the files and seconds of each class, and what became of the files."""

    def __init__(self) -> None:
        self._files, self._seconds = Counter[str](), Counter[str]()
        self._statuses = Counter[str]()

    def add(self, tags: Classified) -> None:
        """Add a file: the classes of its segments with their seconds, or the best class of an image."""
        self._statuses[tags.outcome.status] += 1
        heard = {s.label for s in tags.segments}
        self._files.update(heard if tags.outcome.seconds is not None else [tags.label] if tags.label else [])
        for s in tags.segments:
            self._seconds[s.label] += s.stop - s.start  # type: ignore[assignment]

    @property
    def exit_code(self) -> int:
        """1 if a file failed, or none could be classified; else 0."""
        return 1 if self._statuses["failed"] or (self._statuses and not self._statuses["ok"]) else 0

    def print(self) -> None:
        """Print the classes that were found in the most seconds and files, and the counts of files."""
        files, seconds = self._files, self._seconds
        order = sorted(files, key=lambda label: (-seconds[label], -files[label], label))
        rows = [
            (label, files[label], f"{seconds[label]:.1f}" if seconds[label] else "")
            for label in order[:_SUMMARY_CLASSES]
        ]
        if rows:
            output.echo()
            output.print_table(["class", "files", "seconds"], rows)
        more = f", {len(order) - _SUMMARY_CLASSES} more classes" if len(order) > _SUMMARY_CLASSES else ""
        counts = ", ".join(
            f"{self._statuses[key]} {word}" for key, word in _STATUS_WORDS.items() if self._statuses[key]
        )
        output.echo(f"{counts or 'no files'}{more}")
