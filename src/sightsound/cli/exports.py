"""The files that `sightsound tag` writes: tables, label tracks and figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sightsound.cli import output
from sightsound.cli.destinations import check_destinations
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import printable

if TYPE_CHECKING:
    from sightsound.contract.results import Classified

_ENDINGS = {"json": (".json", ".txt"), "csv": (".csv", ".txt"), "audacity": (".txt", ".tsv"), "raven": (".txt", ".tsv")}


def check(
    form: str | None, out: str | None, *, one: bool, plot: str | None, wordcloud: str | None, inputs: Sequence[str]
) -> None:
    """Refuse what cannot be written before the work begins, and create the folder of several label tracks.

    Parameters
    ----------
    form : {"json", "csv", "audacity", "raven"} or None
        The form of the results.
    out, plot, wordcloud : str or None
        The files to write.
    one : bool
        Whether there is a single file to tag.
    inputs : sequence of str
        The files and folders that are read.
    """
    if form == "audacity" and not (one and not (out and os.path.isdir(out))):
        _make_folder(out)
        out = None
    check_destinations(out, endings=_ENDINGS.get(form or "", ()), plot=plot, wordcloud=wordcloud, inputs=inputs)


def _make_folder(out: str | None) -> None:
    """Create the folder for the label tracks of several recordings."""
    if not out:
        raise SightsoundError("--audacity: expected a folder for the label tracks; name it with --out")
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise SightsoundError(f"{out}: expected a folder ({error.strerror}); name another place") from error


def export(kept: Sequence[Classified], form: str, out: str | None) -> None:
    """Write the results in one of the forms to a file, a folder or standard output."""
    if form == "audacity":
        images = [tags for tags in kept if tags.outcome.status == "ok" and tags.outcome.seconds is None]
        if len(images) == len(kept) == 1:
            raise SightsoundError(f"{images[0].item}: expected a recording for --audacity, got an image; leave it out")
        if images:
            output.echo(f"{output.count_of(len(images), 'image')} without a label track", err=True)
        _audacity([tags for tags in kept if tags.outcome.status == "ok" and tags.outcome.seconds is not None], out)
    else:
        from sightsound.classify import export as tables

        makers = {"csv": tables.csv_table, "raven": tables.raven_table, "json": tables.json_list}
        output.write_text(makers[form](kept), out)


def _audacity(kept: Sequence[Classified], out: str | None) -> None:
    from sightsound.classify import export as tables

    if not kept:
        return
    if not (out and os.path.isdir(out)):
        output.write_text(tables.audacity_labels(kept[0].segments), out)
        return
    assert out is not None
    for name, tags in tables.audacity_files(kept, out):
        output.write_text(tables.audacity_labels(tags.segments), os.path.join(out, name))
    output.echo(f"{output.count_of(len(kept), 'label track')} in {printable(out)}")


def draw(kept: Sequence[Classified], plot: str | None, wordcloud: str | None) -> None:
    """Draw a recording, and a word cloud of all of them, where files are given for them."""
    if plot or wordcloud:
        from sightsound.plot.sounds import plot_sound, plot_wordcloud
    if plot:
        for tags in kept:
            if tags.outcome.status == "ok" and tags.outcome.seconds is None:
                raise SightsoundError(f"{tags.item}: expected a recording for --plot, got an image; leave it out")
            if tags.outcome.status == "ok":
                assert tags.outcome.seconds is not None
                plot_sound(tags.item.file, tags.segments, tags.outcome.seconds, plot)
    if wordcloud:
        plot_wordcloud([segment for tags in kept for segment in tags.segments], wordcloud)
