"""`sightsound tag`"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sightsound.cli import output
from sightsound.cli.settings import device_option, host, json_option
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.classify.segments import SegmentRules
    from sightsound.contract.results import Classified, Segment

_SUMMARY = 25  # classes in the summary of a folder; --csv and --json have all
_LATENCY = 0.5  # seconds of a stream that are waited for
_NAMED = 3  # classes on the line of a file
_WORDS = {"ok": "tagged", **output.FAILURES}


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE...")
@click.option("-m", "--model", "models", multiple=True, help="A model instead of the defaults: one for each modality.")
@click.option("--probe", "probes", multiple=True, metavar="FILE", help="The classes of a probe, by its own network.")
@click.option("-k", "--top", default=5, show_default=True, type=click.IntRange(1), help="How many classes of a file.")
@click.option("--threshold", type=float, help="The least score of a class in a window.  [default: 0.35]")
@click.option("--min-separation", type=float, metavar="S", help="Join what is closer than S seconds.  [default: 0.25]")
@click.option("--min-duration", type=float, metavar="S", help="Drop what is shorter than S seconds.  [default: 0.5]")
@click.option("--specificity", type=click.Choice(["high", "low", "none"]), help="Bark, or Animal, or both.  [high]")
@click.option("--include", multiple=True, metavar="CLASS", help="Only this class, id, or subtree:NAME; repeatable.")
@click.option("--exclude", multiple=True, metavar="CLASS", help="Not this class, id, or subtree:NAME; repeatable.")
@click.option("--backoff", is_flag=True, help="Name a kind of sound by what lies below it together.")
@click.option("--hop", type=float, metavar="S", help="A window every S seconds, a multiple of 0.01.  [default: 0.48]")
@click.option("--channels", type=click.Choice(["mean", "each"]), default="mean", help="Mix them, or each by itself.")
@device_option()
@json_option()
@click.option("--csv", "form", flag_value="csv", help="CSV: a row for each segment, or class of a picture.")
@click.option("--audacity", "form", flag_value="audacity", help="Audacity's label track.")
@click.option("--raven", "form", flag_value="raven", help="Raven's selection table.")
@click.option("-o", "--out", metavar="FILE", help="Write there instead (a folder, for --audacity of several files).")
@click.option("--plot", metavar="PNG", help="Draw a recording: waveform, spectrogram, segments.")
@click.option("--wordcloud", metavar="PNG", help="Draw the classes as words, by seconds times score.")
@click.pass_context
def tag(
    context: click.Context,
    /,
    paths: Sequence[str],
    models: Sequence[str],
    probes: Sequence[str],
    top: int,
    hop: float | None,
    channels: Any,
    device: str,
    as_json: bool,
    form: str | None,
    out: str | None,
    plot: str | None,
    wordcloud: str | None,
    **rules: Any,
) -> None:
    """Say what is in pictures and sounds: 1,000 kinds of things, 521 kinds of sound and when each is heard.

    For one file its classes and segments; for several, or folders, a line each and a summary. `-` reads a WAV from
    standard input and prints each segment as soon as it has ended. Exit code 1 when a file failed.
    """
    from sightsound.classify.segments import SegmentRules

    form = "json" if as_json else form
    if out and not form:
        raise click.UsageError("--out goes with --json, --csv, --audacity or --raven")
    one = len(paths) == 1 and not os.path.isdir(paths[0])
    if plot and not one:
        raise click.UsageError("--plot draws one recording; name one file")
    _ready(out, plot, wordcloud)
    given = SegmentRules(**{name: value for name, value in rules.items() if value not in (None, ())})
    settings = {"hop": hop, "channels": channels, "host": host(context), "device": device}
    if "-" in paths:
        if len(paths) > 1 or len(models) > 1 or plot or probes:
            raise click.UsageError("- is read alone, with one model, without --plot and --probe")
        found = iter([_piped(given, models, top, settings, live=form is None)])
    else:
        from sightsound.classify.tag import tag as run
        from sightsound.cli.reports import probe_of

        taught = [probe_of(probe) for probe in probes]
        found = run(paths, models=models, probes=taught, k=top, rules=given, **settings)
    kept = [_noted(tags, one, form) for tags in found]
    _export(kept, form, out) if form else _finish(kept, one)
    _draw(kept, plot, wordcloud)
    statuses = {tags.outcome.status for tags in kept}
    context.exit(1 if "failed" in statuses or (kept and "ok" not in statuses) else 0)


def _ready(out: str | None, plot: str | None, wordcloud: str | None) -> None:
    """What cannot be written shows before hours of work."""
    if out:
        from sightsound._atomic import check_writable

        check_writable(out)
    if plot or wordcloud:
        from sightsound.plot import sounds

        sounds.check(plot, wordcloud)


def _piped(rules: SegmentRules, models: Sequence[str], top: int, settings: dict[str, Any], *, live: bool) -> Classified:
    """Hears standard input to its end; `live` prints every segment as it ends."""
    from sightsound import media
    from sightsound.classify.classify import classify_stream
    from sightsound.classify.segments import sort_segments
    from sightsound.contract.results import Item, Outcome

    found = []
    with media.pipe_sound(0) as sound:
        blocks, model = sound.frames(_LATENCY), next(iter(models), None)
        stream = classify_stream(blocks, sound.sample_rate, model=model, rules=rules, **settings)
        for segment in stream:
            found.append(segment)
            if live:
                output.line("  ".join(map(str, _row(segment))))
        outcome = Outcome(Item("", "-"), "ok", seconds=sound.seconds, facts=sound.facts)
    return replace(stream.classified(top), item=outcome.item, outcome=outcome, segments=sort_segments(found))


def _noted(tags: Classified, one: bool, form: str | None) -> Classified:
    """Prints a file as it comes: why it failed, or its line."""
    name, outcome = printable(tags.item), tags.outcome
    if outcome.status != "ok":
        click.echo(f"{name}: {printable(outcome.reason or outcome.status)}", err=True)
    elif not one and form is None:
        output.line(f"{name}  {_classes(tags, _NAMED)}")
    return tags


def _classes(tags: Classified, count: int) -> str:
    return ", ".join(f"{printable(p.label)} {p.score:.2f}" for p in tags.top[:count])


def _row(segment: Segment) -> tuple[str, ...]:
    channel = () if segment.channel is None else (f"channel {segment.channel}",)
    times = f"{segment.start:.2f}-{segment.stop:.2f}"
    return (times, *channel, segment.label, f"{segment.mean:.2f}", f"{segment.peak:.2f}")


def _finish(kept: Sequence[Classified], one: bool) -> None:
    if one and kept and kept[0].outcome.status == "ok":
        _print(kept[0])
    elif not one:
        _summary(kept)


def _print(tags: Classified) -> None:
    """All of one file."""
    if tags.outcome.seconds is None:
        output.table(["score", "class"], [(f"{p.score:.4f}", p.label) for p in tags.top])
        return
    if tags.item.path == "-":
        click.echo(f"{len(tags.segments)} segments")
    elif tags.segments:
        channel = [] if tags.segments[0].channel is None else [""]
        output.table(["seconds", *channel, "class", "mean", "peak"], [_row(s) for s in tags.segments])
    else:
        click.echo("no segments: no class is over the threshold for long enough")
    click.echo(f"\nwhole recording ({output.duration(tags.outcome.seconds)}): {_classes(tags, len(tags.top))}")


def _summary(kept: Sequence[Classified]) -> None:
    """Classes over all files: those of segments with their seconds, those of pictures by the best class."""
    files: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for tags in kept:
        heard = {s.label for s in tags.segments}
        files.update(heard if tags.outcome.seconds is not None else [p.label for p in tags.top[:1]])
        for s in tags.segments:
            seconds[s.label] += s.stop - s.start  # type: ignore[assignment]
    order = sorted(files, key=lambda label: (-seconds[label], -files[label], label))
    rows = [(label, files[label], f"{seconds[label]:.1f}" if seconds[label] else "") for label in order[:_SUMMARY]]
    if rows:
        click.echo()
        output.table(["class", "files", "seconds"], rows)
    more = f", {len(order) - _SUMMARY} more classes" if len(order) > _SUMMARY else ""
    statuses = Counter(str(tags.outcome.status) for tags in kept)
    counts = ", ".join(f"{statuses[key]} {word}" for key, word in _WORDS.items() if statuses[key])
    click.echo(f"{counts or 'no files'}{more}")


def _export(kept: Sequence[Classified], form: str, out: str | None) -> None:
    if form == "audacity":
        _audacity([tags for tags in kept if tags.outcome.status == "ok" and tags.outcome.seconds is not None], out)
    else:
        from sightsound.classify import export

        makers = {"csv": export.csv_table, "raven": export.raven, "json": export.json_list}
        output.write(makers[form](kept), out)


def _audacity(kept: Sequence[Classified], out: str | None) -> None:
    from sightsound.classify import export

    if not kept:
        return
    if len(kept) == 1 and not (out and os.path.isdir(out)):
        output.write(export.audacity(kept[0].segments), out)
        return
    if not out:
        raise SightsoundError(f"--audacity: expected one recording, got {len(kept)}; name a folder with --out")
    for name, tags in export.file_names(kept):
        output.write(export.audacity(tags.segments), os.path.join(out, name))
    click.echo(f"{len(kept)} label tracks in {printable(out)}")


def _draw(kept: Sequence[Classified], plot: str | None, wordcloud: str | None) -> None:
    if plot or wordcloud:
        from sightsound.plot import sounds
    if plot:
        for tags in kept:
            if tags.outcome.status == "ok" and tags.outcome.seconds is None:
                raise SightsoundError(f"{tags.item}: --plot draws a recording, got a picture; leave it out")
            if tags.outcome.status == "ok":
                assert tags.outcome.seconds is not None
                sounds.sound(tags.item.file, tags.segments, tags.outcome.seconds, plot)
    if wordcloud:
        sounds.wordcloud([segment for tags in kept for segment in tags.segments], wordcloud)
