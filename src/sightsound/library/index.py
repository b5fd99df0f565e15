"""Index files into a library: embed what is new or has changed, and leave alone what is known."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from sightsound._progress import bar
from sightsound.classify.segments import SegmentRules
from sightsound.classify.tag import Tagger
from sightsound.contract.card import Modality
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike, as_list
from sightsound.contract.results import Item, Outcome
from sightsound.host.host import Host
from sightsound.library import labels
from sightsound.library.gone import count_gone
from sightsound.library.index_report import IndexReport
from sightsound.library.index_run import ContentEmbedder, FileRecorder, IndexProgress, IndexTarget
from sightsound.library.library import Library, open_library
from sightsound.library.scan import FileScan, scan_files
from sightsound.media import files
from sightsound.pipeline.queues import ModelQueues


def index(
    paths: PathLike | Sequence[PathLike],
    library: PathLike | Library,
    *,
    models: Sequence[str] = (),
    host: Host | None = None,
    device: str = "auto",
    label_from: PathLike | None = None,
    retry: bool = False,
    tags: bool | SegmentRules = False,
    progress: bool | None = None,
    max_bytes: int | None = None,
) -> IndexReport:
    """Embed images and sounds into a library.

    Files whose size and time are those of an earlier run are skipped. A content that the library has is not embedded
    again. What was committed stays if the run breaks off; the same call goes on from there.

    Parameters
    ----------
    paths : path or sequence of paths
        Files, and folders that are searched for files.
    library : path or Library
        The library, which is created if it does not exist.
    models : sequence of str
        The models that files go through, any number for each modality. Empty for the default model of each.
    host : Host or None
        Where models are looked up. None stands for a new host of the installed plugins.
    device : str
        Where the models run, see `Host.load`.
    label_from : "folder", path or None
        Label each file with the name of its folder, or with the columns of a CSV file whose column `path` is relative
        to an indexed folder.
    retry : bool
        Whether to try again what failed in an earlier run.
    tags : bool or SegmentRules
        Whether to store what is in the files beside their vectors, for every model that has classes: the segments of
        sounds by these rules, and the best classes of images. Files that have vectors but no such tags go through the
        network again.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".
    max_bytes : int or None
        The size in bytes that the library may grow to.

    Returns
    -------
    IndexReport

    Raises
    ------
    UnknownModel
        If no plugin has one of the models.
    SpaceMismatch
        If the library has vectors of another model of the same name.
    LibraryError
        If the library is damaged, or another process writes to it.
    SightsoundError
        If a path does not exist, the label table cannot be read, or tags are asked for and no model has classes.
    """
    began, host = time.monotonic(), host or Host()
    chosen, existing = _models_by_modality(host, models), files.existing_paths(as_list(paths))
    tagger = _tagger(host, tags, chosen) if tags else None
    table = None if label_from in (None, labels.FOLDER) else labels.read_table(label_from)
    report = IndexReport()
    with open_library(library, create=True) as opened, opened.writing(max_bytes=max_bytes) as writer:
        found = files.unique_items(files.find_items(existing, opened.roots))
        with bar(len(found), "index", progress) as shown:
            target = IndexTarget(host, opened, writer, tagger, IndexProgress(report, shown))
            recorder = FileRecorder(target, chosen, retry=retry, label_folders=label_from == labels.FOLDER)
            _embed_files(found, target, recorder, device)
        if table is not None:
            folders = [str(path if path.is_dir() else path.parent) for path in existing]
            report.unmatched = labels.store_table(writer, table, folders, opened.roots)
        seen = {(each.root, each.path) for each in found if isinstance(each, Item)}
        report.gone = count_gone(existing, opened, seen)
    report.elapsed = time.monotonic() - began
    return report


def _models_by_modality(host: Host, models: Sequence[str]) -> dict[Modality, list[str]]:
    """Return the models that were named. An unknown one is refused before anything is read."""
    chosen: dict[Modality, list[str]] = {}
    for name in models:
        card = host.card(name)
        if card.name not in chosen.setdefault(card.modality, []):
            chosen[card.modality].append(card.name)
    return chosen


def _tagger(host: Host, tags: bool | SegmentRules, chosen: dict[Modality, list[str]]) -> Tagger:
    """Return what makes the tags. Raises `SightsoundError` if models are named, and none of them has classes."""
    tagger = Tagger(host, tags if isinstance(tags, SegmentRules) else SegmentRules())
    names = [name for of_modality in chosen.values() for name in of_modality]
    if names and not any(tagger.has_classes(name) for name in names):
        raise SightsoundError(f"{', '.join(names)}: no classes to tag with; name a model that has some")
    return tagger


def _embed_files(found: Sequence[Item | Outcome], target: IndexTarget, recorder: FileRecorder, device: str) -> None:
    """Look at every file, and run the models one after the other over those that need them."""
    for unreadable in found:
        if isinstance(unreadable, Outcome):
            target.progress.count(unreadable)
    items = (item for item in found if isinstance(item, Item))
    with contextlib.closing(scan_files(items, target.writer.items.find)) as scans:
        queues: ModelQueues[FileScan, str] = ModelQueues(scans, recorder.models_for)
        while (model := queues.next_model()) is not None:
            ContentEmbedder(target, queues, model, device).run()
    target.writer.commit()
