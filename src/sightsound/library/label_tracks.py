"""Label tracks and selection tables in a folder, one or several for each recording, and named like it."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import PathLike, printable
from sightsound.library.item_finder import Found, ItemFinder, names_in_common
from sightsound.library.label_cells import bytes_of_escapes
from sightsound.library.label_staging import MOST_NAMED, LabelReport, LabelStaging, open_label_file
from sightsound.library.library import Library
from sightsound.library.store.writer import Writer
from sightsound.media.safe_open import error_line

_NAME = re.compile(r"(?P<name>.+?)(\.Table\.\d+)?(\.selections)?\.(txt|tsv)", re.IGNORECASE | re.DOTALL)
_WITH_FOLDER = re.compile(r"(?P<stem>.+) \((?P<folder>.+)\)", re.DOTALL)  # of tracks of recordings that share a name


def stage_tracks(
    folder: PathLike, library: Library, writer: Writer, columns: Sequence[str], new_columns: bool
) -> LabelReport:
    """Give recordings the labels of the files in a folder; parameters as of `import_labels`.

    Raises
    ------
    SightsoundError
        If none of the files can be taken.
    """
    files = _find_files(folder)
    if not files:
        raise SightsoundError(f"{folder!s}: expected label tracks (.txt or .tsv), got none; name their folder")
    recordings = _Recordings(writer.labels.recordings(), files.values())
    known, roots, taken = library.label_columns(), library.roots, 0
    staging, refused = LabelStaging(writer), list[str]()
    finder = ItemFinder(writer.read, roots, [*roots, os.path.abspath(folder)], names=writer.labels.items_named)
    for file, name in files.items():
        try:
            found = recordings.find(file, name)
            with staging.tentative():
                _stage(staging, file, found, finder, columns, known, new_columns)
            taken += 1
        except LibraryError:
            raise
        except SightsoundError as error:
            refused.append(str(error))
    report = staging.apply()
    if not taken:
        raise SightsoundError(
            f"{folder!s}: expected files named like recordings of {library.path.name}, none of {len(files)} was taken "
            f"(the first: {refused[0]}); see `sightsound list`"
        )
    return replace(report, refused=tuple(refused[:MOST_NAMED]), refused_count=len(refused))


def _find_files(folder: PathLike) -> dict[str, str]:
    """Return the files that end like tracks, in the order of their paths, each with the name of its recording."""
    found: dict[str, str] = {}

    def refuse(error: OSError) -> None:
        raise SightsoundError(f"{error.filename}: cannot be read ({error_line(error)}); see that it may be") from error

    for above, folders, names in os.walk(os.fspath(folder), onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            match = _NAME.fullmatch(name)
            if match and not name.startswith("."):
                found[os.path.join(above, name)] = match["name"]
    return found


def _stage(
    staging: LabelStaging,
    file: str,
    found: Found | str,
    finder: ItemFinder,
    columns: Sequence[str],
    known: list[str],
    new_columns: bool,
) -> None:
    """Gather the rows of a file, which are of one recording unless it names them itself."""
    try:
        source = open_label_file(file, columns, known, new_columns)
    except SightsoundError as error:
        if isinstance(found, str):
            raise SightsoundError(found) from error
        raise
    if source.names_recordings:
        staging.add(source, finder)
    elif isinstance(found, str):
        raise SightsoundError(found)
    else:
        staging.add(source, finder, found, file)
    known += [column for column in source.columns if column not in known]


class _Recordings:
    """The recordings that have one of some names.

    Parameters
    ----------
    recordings : iterable of tuple
        Id and absolute path of each recording of the library.
    names : collection of str
        The names, with the ending of the recording or without.
    """

    def __init__(self, recordings: Iterable[tuple[int, bytes]], names: Collection[str]) -> None:
        stems = [match["stem"] for name in names if (match := _WITH_FOLDER.fullmatch(name))]
        wanted = {spelt for name in (*names, *stems) for spelt in _spellings(name)}
        self._by_name: dict[bytes, list[tuple[int, str]]] = {}
        self._by_stem: dict[bytes, list[tuple[int, str]]] = {}
        for id_, path in recordings:
            name = path.rpartition(b"/")[2]
            for key, found in ((name, self._by_name), (os.path.splitext(name)[0], self._by_stem)):
                if key in wanted:
                    found.setdefault(key, []).append((id_, os.fsdecode(path)))

    def find(self, file: str, name: str) -> Found | str:
        """Return the recording that a file is of, by its name, or what to tell the user about one that is of none."""
        found = self._named(name)
        if not found and (match := _WITH_FOLDER.fullmatch(name)):
            folder = bytes_of_escapes(match["folder"])
            found = [each for each in self._named(match["stem"]) if _folder_of(each[1]) in (match["folder"], folder)]
        if not found:
            return f"{file}: no recording of the library is named {printable(name)!r}, whatever its ending; rename it"
        above = os.path.dirname(os.path.abspath(file))
        common = {path: names_in_common(above, os.path.dirname(path)) for _, path in found}
        best = [(id_, path) for id_, path in found if common[path] == max(common.values())]
        if len(best) > 1:
            return (
                f"{file}: {len(best)} recordings of this name, such as {printable(best[0][1])}; put it into a folder "
                "named like that of its recording, or take it alone (--for RECORDING)"
            )
        return Found(best[0][0], "sound")

    def _named(self, name: str) -> list[tuple[int, str]]:
        """Return the recordings of a name; those that have it with their ending, if there are any."""
        spelt = _spellings(name)
        return next((found for by in (self._by_name, self._by_stem) for key in spelt if (found := by.get(key))), [])


def _spellings(name: str) -> list[bytes]:
    """Return the bytes of a name, and those that it has if it was written with escapes."""
    return [*dict.fromkeys((os.fsencode(name), os.fsencode(bytes_of_escapes(name))))]


def _folder_of(path: str) -> str:
    return os.path.basename(os.path.dirname(path))
