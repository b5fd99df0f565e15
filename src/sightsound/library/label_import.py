"""Labels of items and of time ranges that are taken from files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.library.item_finder import Found, ItemFinder
from sightsound.library.label_files import LabelFile
from sightsound.library.label_rows import LabelRow
from sightsound.library.label_staging import LabelReport, LabelStaging, open_label_file
from sightsound.library.label_tracks import stage_tracks
from sightsound.library.library import Library, open_library
from sightsound.library.store.writer import Writer


def import_labels(
    file: PathLike,
    library: PathLike | Library,
    *,
    columns: Sequence[str] = (),
    recording: PathLike | None = None,
    new_columns: bool = False,
) -> LabelReport:
    """Give items the labels of a file, in place of those that they have in its columns; all at once or not at all.

    A CSV has a column `path`, and `root` where the path does not tell which file is meant. Paths may be absolute, or
    relative to an indexed folder or to the folder of the file. Other columns are labels. An item with several labels in
    a column has several rows. With the columns `start` and `stop` (or `end`), in seconds, labels are of time ranges;
    `low_hz`, `high_hz` and `channel` (from 0) belong to a range. A row without `start` and `stop` says that a recording
    has no ranges. A selection table of Raven and a label track of Audacity are known by their first line. A range that
    starts after the end of its recording is left out and named.

    Of a folder the files at and below it are taken whose names end in .txt or .tsv and that are named like recordings:
    `a.txt`, `a.wav.txt` and `a.Table.1.selections.txt` are of `a.wav`. Of recordings of one name that counts which has
    most names of folders in common with the file. Several files of one recording are taken together. A file without a
    recording, or with a mistake, is left out and named.

    Parameters
    ----------
    file : path-like
        A CSV, a selection table of Raven, or a label track of Audacity, in UTF-8; or a folder of such tables and
        tracks.
    library : path-like or Library
        The library.
    columns : sequence of str
        The columns to read; all if empty. The name of the column for a label track of Audacity, by default `label`.
    recording : path-like or None
        The recording that a label track, or a selection table without `Begin File`, is of.
    new_columns : bool, default=False
        Whether a column may be new although its name is similar to that of another.

    Returns
    -------
    LabelReport

    Raises
    ------
    SightsoundError
        If the file cannot be read, if none of its paths is in the library, or if a column seems to be misspelt. Nothing
        is changed then.
    """
    with open_library(library) as opened:
        if os.path.isdir(file):
            if recording is not None:
                raise SightsoundError(f"{file!s}: a folder, whose files are named like recordings; leave out --for")
            with opened.writing() as writer:
                return stage_tracks(file, opened, writer, columns, new_columns)
        source = open_label_file(file, columns, opened.label_columns(), new_columns)
        if source.names_recordings and recording is not None:
            raise SightsoundError(f"{file!s}: names its recordings itself; leave out the recording (--for)")
        if not source.names_recordings and recording is None:
            raise SightsoundError(f"{file!s}: does not say which recording it is of; name it (--for RECORDING)")
        folder, roots = os.path.dirname(os.path.abspath(file)), opened.roots
        with opened.writing() as writer:
            about = None if recording is None else _recording(writer, recording, roots, opened.path.name)
            report = take_labels(source, writer, roots, [*roots, folder], about)
            if report.unmatched_count and not report.items:
                within = " and times within them" if source.ranges else ""
                raise SightsoundError(
                    f"{file!s}: expected paths of the library's items{within}, none of {report.unmatched_count} is "
                    f"(the first: {report.unmatched[0]}); see `sightsound stats`"
                )
        return report


def take_labels(
    source: LabelFile, writer: Writer, roots: Sequence[str], folders: Sequence[str], recording: Found | None = None
) -> LabelReport:
    """Give items the labels of a file that is open.

    Parameters
    ----------
    source : LabelFile
        The file, from `open_label_file`.
    writer : Writer
        The writer of the library.
    roots : sequence of str
        The roots of the library.
    folders : sequence of str
        The folders that paths may be relative to.
    recording : Found or None
        The item that all rows are about.
    """
    names = writer.labels.items_named if source.form == "raven" else None
    staging = LabelStaging(writer)
    staging.add(source, ItemFinder(writer.read, roots, folders, names=names), recording)
    return staging.apply()


def _recording(writer: Writer, path: PathLike, roots: Sequence[str], name: str) -> Found:
    found = ItemFinder(writer.read, roots, [os.getcwd(), *roots], first=True).find(
        LabelRow(1, (os.fspath(path),), "", {})
    )
    if isinstance(found, str):
        raise LibraryError(f"{os.fspath(path)}: is not in {name}; index it first")
    if found.modality == "image":
        raise SightsoundError(f"{os.fspath(path)}: expected a recording, got an image; name the recording")
    return found
