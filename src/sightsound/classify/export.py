"""Tags as other programs read them: JSON, CSV, Audacity's label track, Raven's selection table."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sightsound.contract.paths import printable
from sightsound.contract.results import Classified, Segment

CSV_COLUMNS = ("path", "start", "stop", "label", "id", "mean", "peak", "channel", "model", "status", "reason")
RAVEN_COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin File", "Label", "Mean Score", "Peak Score"),
)
NYQUIST = 8000
"""Hz: the networks hear up to here (16 kHz); a selection needs a band, and a segment has none of its own."""


def csv_table(found: Iterable[Classified]) -> str:
    """A row for each segment of a sound and each class of a picture; one with the reason for a file that failed.

    Times are seconds. Texts that a spreadsheet would take for a formula get an apostrophe in front.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(CSV_COLUMNS)
    for tags in found:
        end = (tags.model, tags.outcome.status, _plain(tags.outcome.reason))
        path = _plain(tags.item.path)
        for s in tags.segments:
            channel = "" if s.channel is None else s.channel
            times = (f"{s.start:.3f}", f"{s.stop:.3f}")
            rows.writerow((path, *times, _plain(s.label), s.id, f"{s.mean:.4f}", f"{s.peak:.4f}", channel, *end))
        if tags.outcome.seconds is None:
            for p in tags.top:
                rows.writerow((path, "", "", _plain(p.label), p.id, f"{p.score:.4f}", f"{p.score:.4f}", "", *end))
        if not tags.segments and not (tags.top and tags.outcome.seconds is None):
            rows.writerow((path, *[""] * 7, *end))
    return text.getvalue()


def audacity(segments: Iterable[Segment]) -> str:
    """Audacity's label track of one recording: start, stop and label, separated by tabs."""
    return "".join(f"{s.start:.6f}\t{s.stop:.6f}\t{printable(s.label)}\n" for s in segments)


def raven(found: Iterable[Classified]) -> str:
    """Raven's selection table of any number of recordings."""
    lines = ["\t".join(RAVEN_COLUMNS)]
    for tags in found:
        for s in tags.segments:
            place = (len(lines), "Spectrogram 1", 1 if s.channel is None else s.channel + 1)
            times = (f"{s.start:.6f}", f"{s.stop:.6f}", 0, NYQUIST)
            words = (printable(tags.item.path), printable(s.label), f"{s.mean:.4f}", f"{s.peak:.4f}")
            lines.append("\t".join(map(str, (*place, *times, *words))))
    return "\n".join(lines) + "\n"


def json_list(found: Iterable[Classified]) -> str:
    """A JSON list with an object for each file."""
    return json.dumps([_object(tags) for tags in found], indent=1) + "\n"


def _object(tags: Classified) -> dict[str, Any]:
    outcome = tags.outcome
    return {
        "path": tags.item.path,
        "root": tags.item.root,
        "model": tags.model,
        "status": outcome.status,
        "reason": outcome.reason,
        "flags": list(outcome.flags),
        "seconds": outcome.seconds,
        "top": [dataclasses.asdict(prediction) for prediction in tags.top],
        "segments": [dataclasses.asdict(segment) for segment in tags.segments],
    }


def file_names(found: Sequence[Classified]) -> Iterator[tuple[str, Classified]]:
    """A name for the label track of each recording, all different: that of the file, numbered where two are alike."""
    taken: set[str] = set()
    for tags in found:
        stem = name = Path(tags.item.path).stem
        number = 1
        while name in taken:
            number += 1
            name = f"{stem} ({number})"
        taken.add(name)
        yield f"{name}.txt", tags


def _plain(text: str) -> str:
    """Text that is only text, in a spreadsheet and in UTF-8."""
    text = printable(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
