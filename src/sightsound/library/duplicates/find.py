"""Find the files of a library, and the parts of its recordings, that look or sound the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.errors import LibraryError, SightsoundError
from sightsound.contract.paths import PathLike, as_list
from sightsound.contract.space import Space
from sightsound.library.duplicates.files import ids_below, items_of_contents, read_files
from sightsound.library.duplicates.graph import SimilarityGraph, similarity_graph
from sightsound.library.duplicates.groups import around_kept
from sightsound.library.duplicates.keep import Keep
from sightsound.library.duplicates.results import Duplicates, Members
from sightsound.library.duplicates.rows import ArrayRows, Ints, StoredRows, item_rows
from sightsound.library.duplicates.threshold import UNCALIBRATED, UNCALIBRATED_RECORDINGS, Calibration, setting_name
from sightsound.library.duplicates.windows import Runs, matching_runs
from sightsound.library.library import Library, open_library
from sightsound.library.space_names import meant_space
from sightsound.library.space_rows import members

_FILES = 1000  # that are read at once


def find_duplicates(
    library: PathLike | Library,
    space: str | None = None,
    *,
    threshold: float | None = None,
    against: PathLike | Sequence[PathLike] = (),
    windows: bool = False,
    keep: Keep = "best",
    exact: bool = False,
    progress: bool | None = None,
) -> tuple[Duplicates, ...]:
    """Find files of a library that look or sound the same, and say which of them to keep.

    Nothing is deleted. Files are compared by the vectors that the library has of them: images by theirs, recordings by
    the mean and the maximum over their windows. Each group has a file to keep, with which every other file of the group
    has a cosine of the threshold or more. Files of the same bytes are always in one group.

    Parameters
    ----------
    library : path or Library
        The library. It is read anew where the result is iterated over.
    space : str or None
        The space: the name of its model, or the first 8 digits or more of its fingerprint. None stands for the one with
        the most vectors of each modality.
    threshold : float or None
        The least cosine. None stands for that of the last `calibrate_duplicates`, or else for 0.9 (images) and 0.98
        (sounds).
    against : path or sequence of paths
        Files and folders: only groups with a file below one of these are found, and only these files are compared with
        the others. Empty for all files.
    windows : bool
        Whether to find parts of recordings: runs of three windows or more in which two recordings sound the same at a
        constant lag. Two files of the same bytes are not compared.
    keep : {"best", "largest", "oldest"}
        Which file of a group to keep. "best" is the one with the most pixels, or the highest sample rate and the most
        channels; then lossless before lossy formats, then the most bytes. "largest" has the most pixels or seconds,
        "oldest" was made first, by its metadata where the library has them, else by the time of the file.
    exact : bool
        Whether to compare all rows also where there are over 50,000. Else only rows in nearby lists are compared then
        (with `against`, from as many comparisons on), and the recall is measured.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    tuple of Duplicates
        One for each space, an iterable of groups.

    Raises
    ------
    LibraryError
        If the library is missing or damaged, has no such space or no vectors, or nothing below one of the paths.
    SightsoundError
        If the threshold or the rule is not valid, or windows of images are asked for.

    Examples
    --------
    >>> for found in sightsound.find_duplicates("zoo"):
    ...     for group in found: print(group)
    """
    if keep not in get_args(Keep):
        raise SightsoundError(f"keep: expected one of {', '.join(get_args(Keep))}, got {keep!r}")
    if threshold is not None and not 0 < threshold <= 1:
        raise SightsoundError(f"threshold: expected a cosine above 0, at most 1, got {threshold!r}")
    with open_library(library) as opened:
        paths = as_list(against)
        new = ids_below(opened, paths) if paths else None
        spaces = chosen_spaces(opened, space, windows=windows)
        place = library if isinstance(library, Library) else opened.path
        return tuple(
            _Finder(opened, place, each, threshold, new, keep, windows, exact, progress).found() for each in spaces
        )


def chosen_spaces(library: Library, name: str | None, *, windows: bool = False) -> list[Space]:
    """Return the space of a name, or the one with the most vectors of each modality.

    Raises
    ------
    LibraryError
        If there is none.
    SightsoundError
        If windows of images are asked for.
    """
    if name is not None:
        space = meant_space(name, library.spaces)
        if windows and space.modality != "sound":
            raise SightsoundError(f"{space.name}: expected a space of recordings for windows, got one of images")
        return [space]
    largest: dict[str, Space] = {}
    counts = library.spaces
    for space, count in counts.items():
        if count and count > counts.get(largest.get(space.modality, space), 0) * (space.modality in largest):
            largest[space.modality] = space
    found = [space for modality, space in sorted(largest.items()) if modality == "sound" or not windows]
    if not found:
        what = "recordings" if windows else "vectors"
        raise LibraryError(
            f"{library.path.name} has no {what}; index some: sightsound index PATH --library {library.path.name}"
        )
    return found


def stored_calibration(library: Library, space: Space) -> Calibration | None:
    """Return what `calibrate_duplicates` has measured of a space, None before."""
    text = library.setting(setting_name(space.fingerprint))
    if text is None:
        return None
    with library.decoding():
        return Calibration.from_json(space.name, space.fingerprint, text)


class _Finder:
    """One search for near-duplicates in one space."""

    def __init__(
        self,
        library: Library,
        place: PathLike | Library,
        space: Space,
        threshold: float | None,
        new: Ints | None,
        keep: Keep,
        windows: bool,
        exact: bool,
        progress: bool | None,
    ) -> None:
        self._library, self._place, self._space, self._new, self._keep = library, place, space, new, keep
        self._windows, self._exact, self._progress = windows, exact, progress
        calibration = None if threshold is not None else stored_calibration(library, space)
        measured = None if calibration is None else calibration.windows if windows else calibration.items
        self._calibration = None if measured is None else calibration
        self._given_threshold = threshold is not None
        default = UNCALIBRATED_RECORDINGS if space.modality == "sound" else UNCALIBRATED["image"]
        self._threshold = threshold if threshold is not None else default if measured is None else measured.threshold

    def found(self) -> Duplicates:
        """Return the near-duplicates."""
        _, _, view = self._library.mapped_rows(self._space)
        rows = StoredRows(view) if self._windows else item_rows(view)
        items, contents = items_of_contents(self._library, self._space.fingerprint, self._space.name)
        chosen = None
        if self._new is not None:
            of_new = np.unique(contents[members(items, self._new)])
            chosen = np.flatnonzero(members(rows.contents, of_new))
        graph = similarity_graph(
            rows,
            self._threshold,
            self._space.name,
            chosen=chosen,
            owners=rows.contents if self._windows else None,
            exact=self._exact,
            progress=self._progress,
        )
        if self._windows:
            assert isinstance(rows, StoredRows)
            found = self._parts(matching_runs(rows, graph, self._space, self._threshold), items, contents)
        else:
            found = self._files(rows, graph, items, contents)
        return Duplicates(
            self._space.name,
            self._space.fingerprint,
            self._threshold,
            self._calibration,
            self._given_threshold,
            self._keep,
            self._windows,
            len(rows) if self._windows else len(items),
            graph.kind,
            graph.recall,
            graph.measured,
            self._place,
            found,
        )

    def _files(self, rows: StoredRows | ArrayRows, graph: SimilarityGraph, items: Ints, contents: Ints) -> Members:
        """Return the groups of whole files."""
        by_content = np.argsort(rows.contents)
        known = members(contents, rows.contents[by_content])
        items, contents = items[known], contents[known]
        place = by_content[np.searchsorted(rows.contents, contents, sorter=by_content)]
        counts = np.bincount(place, minlength=len(rows))
        involved = np.zeros(len(rows), np.bool_)
        involved[graph.a] = involved[graph.b] = True
        wanted = (involved | (counts > 1))[place]
        items, place = items[wanted], place[wanted]
        order = self._ranked(items)
        items, place = items[order], place[order]  # the one to keep comes first, everywhere
        preferred, at = np.unique(place, return_index=True)
        preferred = preferred[np.argsort(at)]
        kept, similarity = around_kept(rows, graph, preferred, self._threshold)
        by_row = np.argsort(preferred)
        node = by_row[np.searchsorted(preferred, place, sorter=by_row)]
        return _as_groups(kept[node], items, similarity[node], self._new)

    def _parts(self, runs: Runs, items: Ints, contents: Ints) -> Members:
        """Return the groups of parts of two recordings. Of files of the same bytes the best one stands for all."""
        wanted = members(contents, np.unique(runs.contents))
        items, contents = items[wanted], contents[wanted]
        order = self._ranked(items)
        known, first = np.unique(contents[order], return_index=True)
        rank = first[np.searchsorted(known, runs.contents)]  # of the best file of each content
        side = np.argsort(rank, axis=1)
        ids = items[order][np.take_along_axis(rank, side, axis=1)]
        seconds = np.take_along_axis(runs.seconds, side[:, :, None], axis=1)
        by_file = np.lexsort((seconds[:, 0, 0], ids[:, 1], ids[:, 0]))
        similarity = np.stack([np.ones(len(ids), np.float32), runs.similarity], axis=1)[by_file]
        groups = np.repeat(np.arange(len(ids)), 2)
        return Members(groups, ids[by_file].ravel(), similarity.ravel(), seconds[by_file].reshape(-1, 2))

    def _ranked(self, items: Ints) -> Ints:
        """Return the order of some items by the rule, the one to keep first; of equal ones the lower id."""
        keys = np.zeros((len(items), 3))
        for first in range(0, len(items), _FILES):
            part = items[first : first + _FILES]
            files = read_files(self._library, self._space.fingerprint, self._space.name, part, self._keep)
            keys[first : first + len(part)] = [
                files[id_].key if id_ in files else (-np.inf,) * 3 for id_ in part.tolist()
            ]
        order: Ints = np.lexsort((items, -keys[:, 2], -keys[:, 1], -keys[:, 0]))
        return order


def _as_groups(kept: Ints, items: Ints, similarity: Floats, new: Ints | None) -> Members:
    """Return groups of two files or more, of those that are ranked, by the id of the one to keep.

    `kept` is the row of the one to keep. With `new` only groups that have one of these items are returned.
    """
    order = np.lexsort((np.arange(len(items)), -similarity, kept))
    kept, items, similarity = kept[order], items[order], similarity[order]
    starts = np.flatnonzero(np.append(True, kept[1:] != kept[:-1])) if len(kept) else np.empty(0, np.int64)
    counts = np.diff(np.append(starts, len(kept)))
    wanted = counts > 1
    if new is not None and len(starts):
        wanted &= np.add.reduceat(members(items, new).astype(np.int64), starts) > 0
    group = np.repeat(np.arange(len(starts)), counts)
    inside = wanted[group] if len(group) else np.empty(0, np.bool_)
    first = items[starts]
    group, items, similarity = group[inside], items[inside], similarity[inside]
    order = np.lexsort((np.arange(len(items)), first[group]))
    _, numbers = np.unique(first[group][order], return_inverse=True)
    return Members(numbers.astype(np.int64), items[order], similarity[order])
