"""Index files into a library: embed what is new or has changed, and leave alone what is known."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Literal

from sightsound._progress import bar
from sightsound.contract.card import Modality
from sightsound.contract.errors import LibraryError, SightsoundError, UnknownModel
from sightsound.contract.paths import PathLike, as_list
from sightsound.contract.results import Item, Outcome
from sightsound.host.advice import require_not_imported
from sightsound.host.host import Host
from sightsound.library import labels
from sightsound.library.facts import read_all_files
from sightsound.library.gone import count_gone
from sightsound.library.index_report import IndexReport
from sightsound.library.index_run import ContentEmbedder, FileRecorder, IndexProgress, IndexTarget
from sightsound.library.label_files import LabelFile
from sightsound.library.label_import import take_labels
from sightsound.library.label_staging import open_label_file
from sightsound.library.library import Library, open_library
from sightsound.library.scan import FileScan, scan_files
from sightsound.media import files
from sightsound.media.facts.times import TimeRules, changed_rules
from sightsound.pipeline.queues import ModelQueues
from sightsound.pipeline.timing import StageTimes


def index(
    paths: PathLike | Sequence[PathLike],
    library: PathLike | Library,
    *,
    models: Sequence[str] = (),
    host: Host | None = None,
    device: str = "auto",
    label_from: PathLike | None = None,
    retry: bool = False,
    scores: bool | None = None,
    store: Literal["f32", "f16"] | None = None,
    progress: bool | None = None,
    max_bytes: int | None = None,
    time_zone: str | None = None,
    time_patterns: Sequence[str] | None = None,
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
        Label each file with the name of its folder, or with the columns of a table whose column `path` is relative
        to one of the folders in `paths`. It is read as by `import_labels`: a table with `start` and `stop`, or a
        selection table of Raven, labels time ranges.
    retry : bool
        Whether to try again what failed in an earlier run.
    scores : bool or None
        Whether to keep the scores of each model's classes beside the vectors, for `search_tags`, `tag_stored` and
        probes. None keeps those of what is embedded now; True also embeds files again that have vectors without scores.
    store : {"f32", "f16"} or None
        In what precision a new library keeps vectors. float16 halves them, and makes searches slower. None stands for
        the library's own, "f32" for a new one.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".
    max_bytes : int or None
        The size in bytes that the library may grow to.
    time_zone : str or None
        The zone of times that files state without one, such as "Europe/Berlin"; times in UTC are converted to it.
        "local" leaves both as they are. None stands for what the library was told last, "local" for a new one. Where it
        is another zone than before, the facts of all files of the library are read again.
    time_patterns : sequence of str or None
        Patterns of `strptime` for times in the names of files, such as "%Y-%m-%d_%H-%M", that count before all else. A
        pattern with a slash is searched in the path below the root. None stands for those of the library.

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
        If a path does not exist, the label table cannot be read, the library keeps another precision, or there is no
        such time zone or directive of a pattern.
    """
    began, times, host = time.monotonic(), StageTimes(), host or Host()
    changed_rules(TimeRules(), time_zone, time_patterns)  # raises SightsoundError before anything is read
    chosen, existing = _models_by_modality(host, models, library), files.existing_paths(as_list(paths))
    table = None if label_from is None or label_from == labels.FOLDER else _label_table(label_from, library)
    report = IndexReport()
    with open_library(library, create=True) as opened, opened.writing(max_bytes=max_bytes) as writer:
        if store is not None:
            writer.set_store(store)
        rules = changed_rules(opened.time_rules, time_zone, time_patterns)
        if rules != opened.time_rules and len(opened):  # and then stored: a run that broke off does it again
            report.facts = read_all_files(opened, writer, rules, progress)
        writer.set_time_rules(rules)
        found = files.unique_items(files.find_items(existing, opened.roots))
        with bar(len(found), "index", progress) as shown:
            target = IndexTarget(host, opened, writer, scores, IndexProgress(report, shown), times, rules)
            recorder = FileRecorder(target, chosen, retry=retry, label_folders=label_from == labels.FOLDER)
            _embed_files(found, target, recorder, device)
        if table is not None:
            folders = [str(path if path.is_dir() else path.parent) for path in existing]
            report.labels = take_labels(table, writer, opened.roots, folders)
        seen = {(each.root, each.path) for each in found if isinstance(each, Item)}
        report.gone = count_gone(existing, opened, seen)
    report.elapsed, report.timing = time.monotonic() - began, times.timing()
    return report


def _label_table(file: PathLike, library: PathLike | Library) -> LabelFile:
    """Open a table of labels; one whose columns cannot be is refused before anything is read."""
    known = list[str]()
    with contextlib.suppress(LibraryError), open_library(library) as opened:
        known = opened.label_columns()
    table = open_label_file(file, (), known, new_columns=False)
    if not table.names_recordings:
        raise SightsoundError(
            f"{file!s}: does not say which recording it is of; take it with `sightsound label --from` and `--for`"
        )
    return table


def _models_by_modality(host: Host, models: Sequence[str], library: PathLike | Library) -> dict[Modality, list[str]]:
    """Return the models that were named. An unknown one is refused before anything is read."""
    chosen: dict[Modality, list[str]] = {}
    for name in models:
        try:
            card = host.card(name)
        except UnknownModel:
            _tell_if_imported(name, library)
            raise
        if card.name not in chosen.setdefault(card.modality, []):
            chosen[card.modality].append(card.name)
    return chosen


def _tell_if_imported(name: str, library: PathLike | Library) -> None:
    """Raise `UnknownModel` with another text if the rows of a name were imported."""
    with contextlib.suppress(LibraryError), open_library(library) as opened:
        for space in opened.spaces:
            if space.name == name:
                require_not_imported(space, f"{opened.path.name}, {name}")


def _embed_files(found: Sequence[Item | Outcome], target: IndexTarget, recorder: FileRecorder, device: str) -> None:
    """Look at every file, and run the models one after the other over those that need them."""
    for unreadable in found:
        if isinstance(unreadable, Outcome):
            target.progress.count(unreadable)
    items = (item for item in found if isinstance(item, Item))
    with contextlib.closing(scan_files(items, target.writer.items.find, target.times, target.rules)) as scans:
        queues: ModelQueues[FileScan, str] = ModelQueues(scans, recorder.models_for)
        while (model := queues.next_model()) is not None:
            ContentEmbedder(target, queues, model, device).run()
    with target.times.stage("store"):
        target.writer.commit()
