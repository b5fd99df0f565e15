"""Measure from which similarity on files of a library count as the same, on altered copies of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sightsound._progress import bar
from sightsound.contract.arrays import Floats, unit_rows
from sightsound.contract.errors import LibraryError, MediaError, SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.contract.results import Item
from sightsound.contract.space import Space
from sightsound.host.advice import installed_space
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.library.duplicates.alterations import ORIGINAL, altered_copies
from sightsound.library.duplicates.files import items_of_contents
from sightsound.library.duplicates.find import chosen_spaces
from sightsound.library.duplicates.rows import ArrayRows, Ints, StoredRows, item_rows, recording_row
from sightsound.library.duplicates.threshold import Calibration, MeasuredThreshold, setting_name
from sightsound.library.library import Library, open_library
from sightsound.pipeline.reader import Job
from sightsound.pipeline.stream import Embedded, embed_items

FOUND = 0.98
"""Proportion of the altered copies that is enough: no threshold is lower than that which so many reach."""
FALSE = 0.02
"""Proportion of the files that may reach the threshold with two other files. With one they do if they have a copy."""
FALSE_WINDOWS = 0.25
"""Proportion of the windows that may reach it with one of another recording: a run has three, at a constant lag."""

_LEAST_FOUND = 0.25  # of the copies, whatever the other files are like
_LOWEST = 0.01  # threshold
_AT_ONCE = 4  # files whose copies are on disk at once
_WINDOWS = 10  # of a recording that are compared with those of the others
_OTHERS = 4096  # rows that are compared at once


@dataclass
class _Measured:
    """Cosines of originals with their altered copies by alteration, and with the most similar other ones."""

    copies: dict[str, list[Floats]] = field(default_factory=dict)
    others: Floats = field(default_factory=lambda: np.empty((0, 2), np.float32))


def calibrate_duplicates(
    library: PathLike | Library,
    space: str | None = None,
    *,
    files: int = 100,
    seed: int = 0,
    host: Host | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> tuple[Calibration, ...]:
    """Measure the thresholds of near-duplicates on altered copies of files of a library, and store them in it.

    Some files are altered in the ways that make near-duplicates: images are saved as JPEG of quality 50 and 75, scaled
    to one half, and cropped by 5 % and 10 %; recordings get noise at 20 dB below the signal, a gain of -6 dB, are
    compressed to MP3 of 64 kbit/s, and shifted by 0.1 s. The copies are embedded, and compared with their originals,
    and these with the most similar other files of the library. `find_duplicates` uses the thresholds from then on.

    Parameters
    ----------
    library : path or Library
        The library.
    space : str or None
        The space: the name of its model, or the first 8 digits or more of its fingerprint. None stands for the one with
        the most vectors of each modality.
    files : int
        How many files to alter, chosen at random.
    seed : int
        Of the choice, and of the noise.
    host : Host or None
        Where the model is looked up. None stands for a new host of the installed plugins.
    device : str
        Where the model runs, see `Host.load`.
    progress : bool or None
        Whether to show a progress bar. None stands for "on a terminal".

    Returns
    -------
    tuple of Calibration
        One for each space.

    Raises
    ------
    SpaceMismatch
        If the installed model is not that of the space.
    LibraryError
        If the library is missing, damaged or in use by another writer, or none of the files could be altered.
    SightsoundError
        If `files` is no whole number from 1.
    """
    if isinstance(files, bool) or not isinstance(files, int) or files < 1:
        raise SightsoundError(f"files: expected a whole number from 1, got {files!r}")
    host = host or Host()
    with open_library(library) as opened:
        found = []
        with opened.writing():
            pass  # a library that cannot be written is refused before the work
        for each in chosen_spaces(opened, space):
            installed_space(host, each, f"{opened.path.name}, {each.name}")
            measured = _calibrate(opened, each, host.load(each.name, device), files, seed, progress)
            with opened.writing() as writer:
                writer.set_setting(setting_name(each.fingerprint), measured.to_json())
            found.append(measured)
        return tuple(found)


def _calibrate(
    library: Library, space: Space, model: Model, files: int, seed: int, progress: bool | None
) -> Calibration:
    items, contents = items_of_contents(library, space.fingerprint, space.name)
    _, first = np.unique(contents, return_index=True)
    random = np.random.default_rng(seed)
    chosen = np.sort(random.choice(first, min(files, len(first)), replace=False))
    whole, parts, skipped, done = _Measured(), _Measured(), list[str](), list[int]()
    with bar(len(chosen), "calibrate", progress) as shown:
        for start in range(0, len(chosen), _AT_ONCE):
            group = chosen[start : start + _AT_ONCE].tolist()
            for at, copies in zip(group, _embedded(library, items[group], space, model, seed, skipped)):
                if copies:
                    _compare(copies, space, whole, parts)
                    done.append(at)
                shown.update()
    if not done:
        raise LibraryError(f"{library.path.name}: none of {len(chosen)} files could be altered; {skipped[0]}")
    _, _, view = library.mapped_rows(space)
    rows = item_rows(view)
    whole.others = nearest_others(rows, np.flatnonzero(np.isin(rows.contents, contents[done])))
    items_at = _threshold(whole, whole.others[:, 1], FALSE)  # the most similar file may be a copy
    windows = None
    if space.modality == "sound":
        stored = StoredRows(view)
        parts.others = nearest_others(stored, _some_windows(stored, contents[done], random))
        windows = _threshold(parts, parts.others[:, 0], FALSE_WINDOWS)
    return Calibration(space.name, space.fingerprint, len(done), items_at, windows, tuple(skipped))


def _embedded(
    library: Library, ids: Ints, space: Space, model: Model, seed: int, skipped: list[str]
) -> Iterator[dict[str, Embedded]]:
    """Yield, for each of some items, alteration -> its embedded copy; empty for an item that fails."""
    with contextlib.ExitStack() as stack:
        jobs: list[Job] = []
        names: list[list[str]] = []
        for id_ in ids.tolist():
            item, folder = library.item(id_), Path(stack.enter_context(tempfile.TemporaryDirectory()))
            names.append([])
            try:
                copies = list(altered_copies(item.file, space.modality, folder, seed + id_))
            except MediaError as error:
                skipped.append(str(error))
                continue
            for name, file in copies:
                if isinstance(file, Path):
                    names[-1].append(name)
                    jobs.append(Job(Item(str(file.parent), file.name)))
                else:
                    skipped.append(f"{item}, {name}: {file}")
        with embed_items(model, jobs) as embedded:
            for each in names:
                found = dict(zip(each, [next(embedded) for _ in each]))
                whole = {name: copy for name, copy in found.items() if copy.embeddings is not None}
                for name, copy in found.items():
                    if name not in whole:
                        skipped.append(f"{copy.item}, {name}: {copy.outcome.reason or copy.outcome.status}")
                yield whole if ORIGINAL in whole else {}


def _compare(copies: dict[str, Embedded], space: Space, whole: _Measured, parts: _Measured) -> None:
    original = copies.pop(ORIGINAL).embeddings
    assert original is not None
    for name, copy in copies.items():
        assert copy.embeddings is not None
        one, other = (_whole(each, space) for each in (original, copy.embeddings))
        whole.copies.setdefault(name, []).append(np.array([one @ other]))
        if space.modality == "sound":
            count = max(1, min(len(original), len(copy.embeddings)) - 1)  # the last one may be filled up with zeros
            pairs = unit_rows(original[:count]), unit_rows(copy.embeddings[:count])
            parts.copies.setdefault(name, []).append(np.einsum("nd,nd->n", *pairs))


def _whole(rows: Floats, space: Space) -> Floats:
    """Return the row that stands for a file, as `item_rows` does for those of a library."""
    return recording_row(rows) if space.modality == "sound" else unit_rows(rows)[0]


def nearest_others(rows: ArrayRows | StoredRows, chosen: Ints) -> Floats:
    """Return the two highest cosines of some rows with rows of other contents, float32 (n, 2); -1 where there are none.

    The highest comes first.
    """
    found = np.full((len(chosen), 2), -1, np.float32)
    queries, own = rows.take(chosen), rows.contents[chosen]
    for first in range(0, len(rows), _OTHERS):
        stop = min(len(rows), first + _OTHERS)
        scores = queries @ rows.block(first, stop).T
        scores[own[:, None] == rows.contents[first:stop]] = -1
        found = np.partition(np.concatenate([found, scores], axis=1), -2, axis=1)[:, :-3:-1]
    return found


def _some_windows(rows: StoredRows, contents: Ints, random: np.random.Generator) -> Ints:
    """Return the numbers of some windows of each of some recordings."""
    of = np.flatnonzero(np.isin(rows.contents, contents))
    mixed = random.permutation(of)
    order = mixed[np.argsort(rows.contents[mixed], kind="stable")]
    owners = rows.contents[order]
    return np.sort(order[np.arange(len(order)) - np.searchsorted(owners, owners) < _WINDOWS])


def _threshold(measured: _Measured, others: Floats, false: float) -> MeasuredThreshold:
    copies = {name: np.concatenate(each) for name, each in measured.copies.items()}
    threshold = best_threshold(np.concatenate([*copies.values()]), others, false)
    recall = {name: float(np.mean(each >= threshold)) for name, each in copies.items()}
    return MeasuredThreshold(threshold, recall, float(np.mean(measured.others[:, 0] >= threshold)))


def best_threshold(copies: Floats, others: Floats, false: float) -> float:
    """Return the threshold that separates altered copies from other files.

    It is the higher one of two: the cosine that `FOUND` of the copies reach, since there is no reason to go lower, and
    the least one that at most the proportion `false` of the files reach with others. Where a library has many
    near-duplicates, the latter would be too high: it is at most what a quarter of the copies reach.

    Parameters
    ----------
    copies : ndarray of float32 (m,)
        Cosines of altered copies with their originals.
    others : ndarray of float32 (n,)
        Cosines of files with others.
    false : float
        From 0 to below 1.

    Returns
    -------
    float
    """
    enough, most = (float(np.quantile(copies, at, method="lower")) for at in (1 - FOUND, 1 - _LEAST_FOUND))
    ranked = np.sort(others)[::-1]
    apart = float(np.nextafter(ranked[int(false * len(ranked))], np.float32(2))) if len(ranked) else 0.0
    return min(1.0, max(_LOWEST, min(max(enough, apart), most)))
