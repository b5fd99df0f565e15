"""Labels of a library as keywords in XMP sidecar files, which other programs read."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightsound._atomic import atomic_path
from sightsound.contract.errors import MediaError, SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.contract.results import Item
from sightsound.library.filter_checks import require_columns
from sightsound.library.library import Library, open_library
from sightsound.library.store.renamed import is_missing
from sightsound.media.facts import sidecars
from sightsound.media.facts.read import clean_word
from sightsound.media.facts.xmp import XmpError
from sightsound.media.facts.xmp_edit import with_keywords

_PAGE = 1000  # items whose labels are read at a time


@dataclass
class SidecarReport:
    """What `write_sidecars` did.

    Parameters
    ----------
    written : int
        Sidecar files that were made, or got keywords.
    unchanged : int
        Those that had all of them.
    failed : list of tuple of (Item, str)
        Items whose sidecar file could not be written, each with the reason.
    altered : int
        Labels that are written without what a keyword cannot have: control characters, and spaces at its ends or more
        than one together; or left out, where nothing else is in them.
    """

    written: int = 0
    unchanged: int = 0
    failed: list[tuple[Item, str]] = field(default_factory=list)
    altered: int = 0


def write_sidecars(library: PathLike | Library, columns: str | Sequence[str]) -> SidecarReport:
    """Write the labels of items as keywords into sidecar files beside the files, which are never changed.

    The sidecar file of `photo.jpg` is `photo.jpg.xmp`. One that exists gets the keywords that it lacks, and keeps all
    else of its content.

    Parameters
    ----------
    library : path-like or Library
        The library.
    columns : str or sequence of str
        The columns of labels.

    Returns
    -------
    SidecarReport

    Raises
    ------
    SightsoundError
        If no item has a label in one of the columns.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    report = SidecarReport()
    with open_library(library) as opened:
        require_columns(names, opened.label_columns(ranges=False))
        for item, labels in _labelled(opened, names):
            words = [clean_word(label) for label in labels]
            report.altered += sum(word != label for word, label in zip(words, labels))
            if words := [word for word in words if word]:
                _write(item, words, report)
    return report


def _labelled(library: Library, columns: Sequence[str]) -> Iterator[tuple[Item, list[str]]]:
    """Yield the items that have labels in some columns, with these labels."""
    marks, last = ", ".join("?" * len(columns)), 0
    query = f'SELECT DISTINCT item FROM labels WHERE "column" IN ({marks}) AND item > ? ORDER BY item LIMIT {_PAGE}'
    while found := [int(id_) for (id_,) in library.rows(query, *columns, last)]:
        for id_ in found:
            labels = library.labels(id_)
            yield library.item(id_), [label for column in columns for label in labels.get(column, ())]
        last = found[-1]


def _write(item: Item, words: Sequence[str], report: SidecarReport) -> None:
    """Write the sidecar file of an item."""
    file = Path(item.file)
    if is_missing(file):
        report.failed.append((item, "no such file; forget it, or relocate its folder"))
        return
    target = next((each for each in sidecars.existing(file) if each.stem == file.name), Path(f"{file}.xmp"))
    try:
        before = sidecars.read_packet(target) if target.exists() else None
        packet = with_keywords(before, words)
        if packet is None:
            report.unchanged += 1
            return
        with atomic_path(target) as part:
            part.write_bytes(packet)
            with contextlib.suppress(OSError):
                shutil.copymode(target if before is not None else file, part)
        report.written += 1
    except XmpError as error:
        report.failed.append((item, f"{printable(target.name)}: {error}; correct it, or remove it"))
    except (MediaError, SightsoundError) as error:
        report.failed.append((item, str(error)))
