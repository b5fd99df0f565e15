"""Write the results of `tag` as CSV, JSON, an Audacity label track, or a Raven selection table."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sightsound.contract.csv_cells import guarded, guarded_path
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.results import Classified, Segment

CSV_COLUMNS = (
    *("path", "start", "stop", "label", "id", "mean", "peak", "channel", "model", "status", "reason", "root", "file"),
)
RAVEN_COLUMNS = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin File", "Begin Path", "File Offset (s)", "Label", "Mean Score", "Peak Score"),
)
RAVEN_NYQUIST = 8000
"""Hz. The upper end of Raven's frequency band where the sample rate of the recording is not known."""


def csv_table(results: Iterable[Classified]) -> str:
    """Return a CSV with a row for each segment of a sound and each class of an image.

    An image with none of the classes of a probe has one row without a label. A file without any has one row, with the
    reason where it failed. A spreadsheet takes no text for a formula: such paths begin with `./`, and other texts with
    an apostrophe.

    Parameters
    ----------
    results : iterable of Classified
        The results of `tag`.

    Returns
    -------
    str
        The columns are `CSV_COLUMNS`. `path` is relative to `root`, `file` to the working folder. Times are in seconds;
        `mean` and `peak` of an image are both its score.
    """
    return "".join(csv_pieces(results))


def csv_pieces(results: Iterable[Classified]) -> Iterator[str]:
    """Yield the text of `csv_table` in pieces: the line of the names, and the rows of each file."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    yield text.getvalue()
    for result in results:
        text.seek(0)
        text.truncate()
        table.writerows(_csv_rows(result))
        yield text.getvalue()


def _csv_rows(result: Classified) -> list[tuple[object, ...]]:
    path = guarded_path(printable(result.item.path))
    names = printable(result.item.root), guarded_path(printable(result.item.shown))
    end = (result.model, result.outcome.status, guarded(printable(result.outcome.reason)), *names)
    rows: list[tuple[object, ...]] = []
    for s in result.segments:
        scores = (f"{s.mean:.4f}", f"{s.peak:.4f}", "" if s.channel is None else s.channel)
        rows.append((path, f"{s.start:.3f}", f"{s.stop:.3f}", guarded(printable(s.label)), s.id, *scores, *end))
    is_image = result.outcome.seconds is None
    if is_image and result.top and result.label is None:
        score = f"{result.top[0].score:.4f}"
        return [(path, "", "", "", "", score, score, "", *end)]
    for p in result.top if is_image else ():
        score = f"{p.score:.4f}"
        rows.append((path, "", "", guarded(printable(p.label)), p.id, score, score, "", *end))
    return rows or [(path, *[""] * 7, *end)]


def audacity_labels(segments: Iterable[Segment]) -> str:
    """Return the segments of one recording as a label track of Audacity: start, stop and label, separated by tabs."""
    return "".join(f"{s.start:.6f}\t{s.stop:.6f}\t{printable(s.label)}\n" for s in segments)


def audacity_files(results: Sequence[Classified], folder: PathLike | None = None) -> Iterator[tuple[str, Classified]]:
    """Yield a name for the label track of each recording.

    Parameters
    ----------
    results : sequence of Classified
        The results of `tag` for recordings.
    folder : path, optional
        Where the files are to be written. Its label tracks may be replaced, its other texts may not.

    Yields
    ------
    name : str
        The name of the recording with the suffix .txt, and a number where two are equal.
    result : Classified
        The result that it is for.
    """
    names = TrackNames(folder)
    for result in results:
        yield f"{names.take(Path(result.item.path).stem)}.txt", result


class TrackNames:
    """Names for the label tracks of recordings, each once.

    Parameters
    ----------
    folder : path, optional
        Where the files are to be written. Its label tracks may be replaced, its other texts may not.
    """

    def __init__(self, folder: PathLike | None = None) -> None:
        texts = () if folder is None else Path(folder).glob("*.txt")
        self._taken = {path.stem.casefold() for path in texts if not _is_label_track(path)}

    def take(self, stem: str, parent: str = "") -> str:
        """Return the name of a recording, with that of its folder or a number behind it if it is taken."""
        with_folder = (f"{stem} ({parent})",) if parent else ()
        names = itertools.chain((stem, *with_folder), (f"{stem} ({number})" for number in itertools.count(2)))
        name: str = next(name for name in names if name.casefold() not in self._taken)
        self._taken.add(name.casefold())
        return name


def _is_label_track(file: Path) -> bool:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        for line in lines:
            one, two, three = line.split("\t", 2)
            numbers = (two, three) if one == "\\" else (one, two)  # a band, or start and stop
            for number in numbers:
                float(number)
    except (OSError, ValueError):
        return False
    return True


def raven_table(results: Iterable[Classified]) -> str:
    """Return the segments of any number of recordings as a selection table of Raven, with `RAVEN_COLUMNS`.

    Raven requires a frequency band, which segments do not have: it reaches from 0 to half the sample rate of the
    recording. `Begin Path` is the absolute path, so that files of equal names can be told apart. Times are of all
    recordings, one after the other, as of files that are opened in Raven together; `File Offset (s)` is that in each.
    """
    lines, offset = ["\t".join(RAVEN_COLUMNS)], 0.0
    for result in results:
        rate = result.outcome.facts.get("sample_rate")
        high = rate / 2 if isinstance(rate, int | float) else RAVEN_NYQUIST
        places = (printable(result.item.path), printable(result.item.file if result.item.root else result.item.path))
        for s in result.segments:
            selection = (len(lines), "Spectrogram 1", 1 if s.channel is None else s.channel + 1)
            bounds = (f"{offset + s.start:.6f}", f"{offset + s.stop:.6f}", 0, f"{high:g}")
            labels = (*places, f"{s.start:.6f}", printable(s.label), f"{s.mean:.4f}", f"{s.peak:.4f}")
            lines.append("\t".join(map(str, (*selection, *bounds, *labels))))
        offset += max([result.outcome.seconds or 0.0, *(s.stop for s in result.segments)])
    return "\n".join(lines) + "\n"


def json_pieces(results: Iterable[Classified]) -> Iterator[str]:
    """Yield a JSON list with an object for each file, in pieces."""
    before = "["
    for result in results:
        yield before + json.dumps([_json_object(result)], indent=1)[1:-2]
        before = ","
    yield "\n]\n" if before == "," else "[]\n"


def _json_object(result: Classified) -> dict[str, Any]:
    outcome = result.outcome
    return {
        "path": result.item.path,
        "root": result.item.root,
        "file": result.item.shown,
        "model": result.model,
        "status": outcome.status,
        "reason": outcome.reason,
        "flags": list(outcome.flags),
        "seconds": outcome.seconds,
        "label": result.label,
        "top": [dataclasses.asdict(prediction) for prediction in result.top],
        "segments": [dataclasses.asdict(segment) for segment in result.segments],
    }
