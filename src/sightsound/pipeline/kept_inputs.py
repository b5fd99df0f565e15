"""What items are for a network, decoded once: inputs of images, and samples of recordings or of their windows."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound._progress import bar
from sightsound._threads import cores
from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.errors import MediaError, SightsoundError
from sightsound.contract.results import Item
from sightsound.host.model import Model

IN_MEMORY = 2**30
"""Bytes that are kept in memory; what is beyond goes to a mapped file."""


class ArrayStore:
    """Arrays that are kept: the first in memory, the others in a mapped file, up to half of what is free on its disk.

    Parameters
    ----------
    file : pathlib.Path
        The mapped file, which is made when it is needed.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._in_memory, self._on_disk = file, 0, 0
        self._most_on_disk = shutil.disk_usage(file.parent).free // 2

    def keep(self, array: Floats) -> Floats | None:
        """Return an array as it is kept, or None if there is no room."""
        if self._in_memory + array.nbytes <= IN_MEMORY or not array.size:
            self._in_memory += array.nbytes
            return array
        if self._on_disk + array.nbytes > self._most_on_disk:
            return None
        with self._file.open("ab") as opened:
            opened.write(array.tobytes())
        at, self._on_disk = self._on_disk, self._on_disk + array.nbytes
        return np.memmap(self._file, np.float32, "r", at, array.shape)


@dataclass
class KeptInputs:
    """The items of a data set for one network, or windows of its recordings.

    Parameters
    ----------
    model : Model
        Its `preprocess` makes the inputs of recordings, each time anew.
    arrays : list of ndarray
        For each item its inputs, float32 (1, ...), or its samples, float32 (samples,); empty where it failed. For
        windows the samples of each.
    usable : ndarray of bool (items,)
        Whether an item, or a window, could be decoded.
    notes : tuple of str
        The items that failed, and why.
    """

    model: Model
    arrays: list[Floats]
    usable: NDArray[np.bool_]
    notes: tuple[str, ...]

    def inputs(self, item: int) -> Floats:
        """Return the inputs of an item as they are, float32 (windows, ...)."""
        if self.model.card.modality == "image":
            return self.arrays[item]
        return self.preprocess(self.arrays[item])

    def preprocess(self, samples: Floats) -> Floats:
        """Return the inputs of a recording, float32 (windows, ...), of samples float32 (samples,)."""
        return self.model.preprocess(samples, 0, True).inputs


def keep_inputs(model: Model, items: Sequence[Item], folder: Path, progress: bool | None) -> KeptInputs:
    """Decode all items once.

    Parameters
    ----------
    model : Model
        The network.
    items : sequence of Item
        The files.
    folder : pathlib.Path
        Where the mapped file goes.
    progress : bool or None
        Whether to show a progress bar.
    """
    found, notes = _kept(items, lambda number: [_read(model, items[number])], folder, progress)
    arrays = [parts[0] if parts else _NOTHING for parts in found]
    return KeptInputs(model, arrays, np.array([each.size > 0 for each in arrays]), notes)


def keep_windows(
    model: Model,
    items: Sequence[Item],
    item_index: NDArray[np.intp],
    spans: Seconds,
    folder: Path,
    progress: bool | None,
) -> KeptInputs:
    """Decode some windows of recordings once. The samples that windows share are kept once.

    Parameters
    ----------
    model : Model
        The network.
    items : sequence of Item
        The files.
    item_index : ndarray of int (windows,)
        For each window the number of its item, ascending.
    spans : ndarray of float64 (windows, 2)
        Start and stop of each window in seconds, ascending for each item.
    folder, progress
        As of `keep_inputs`.
    """
    rate = model.card.sample_rate
    assert rate is not None
    samples = np.rint(spans * rate).astype(np.int64)
    of_items = np.split(samples, np.searchsorted(item_index, np.arange(1, len(items))))
    stretches = [_joined(own) for own in of_items]
    found, notes = _kept(items, lambda number: _read_parts(items[number], rate, stretches[number]), folder, progress)
    arrays = list[Floats]()
    for own, places, parts in zip(of_items, stretches, found):
        numbers = np.searchsorted(places[:, 0], own[:, 0], "right") - 1
        for number, (start, stop) in zip(numbers.tolist(), (own - places[numbers, :1]).tolist()):
            arrays.append(parts[number][start:stop] if parts else _NOTHING)
    return KeptInputs(model, arrays, np.array([each.size > 0 for each in arrays]), notes)


_NOTHING = np.empty(0, np.float32)


def _kept(
    items: Sequence[Item], read: Callable[[int], list[Floats]], folder: Path, progress: bool | None
) -> tuple[list[list[Floats]], tuple[str, ...]]:
    """Return what a function returns for the number of each item, as it is kept, and why files failed.

    It is empty for a file that failed.
    """
    store, arrays, notes = ArrayStore(folder / "inputs"), list[list[Floats]](), list[str]()

    def read_one(number: int) -> list[Floats] | str:
        try:
            return read(number)
        except MediaError as error:
            return str(error)

    with ThreadPoolExecutor(cores()) as threads, bar(len(items), "decode", progress, unit="file") as shown:
        for item, found in zip(items, threads.map(read_one, range(len(items)))):
            if isinstance(found, str):
                notes.append(f"{item.path}: {found}")
                found = []
            kept = [each for each in map(store.keep, found) if each is not None]
            if len(kept) < len(found):
                raise SightsoundError(
                    f"{folder}: expected room for {len(items)} decoded files; set TMPDIR to a larger disk"
                )
            arrays.append(kept)
            shown.update()
    return arrays, tuple(notes)


def _read(model: Model, item: Item) -> Floats:
    """Return the inputs of an image, or the samples of a recording."""
    if model.card.modality == "image":
        return model.preprocess(media.read_image(item.file, shortest=model.shortest_side).pixels).inputs
    assert model.card.sample_rate is not None
    return media.read_sound(item.file, model.card.sample_rate)


def _joined(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ascending spans (n, 2), with those that overlap or touch as one."""
    stops = np.maximum.accumulate(spans[:, 1])
    first = np.flatnonzero(np.append(True, spans[1:, 0] > stops[:-1]))
    return np.stack([spans[first, 0], np.append(stops[first[1:] - 1], stops[-1:])], axis=1)


def _read_parts(item: Item, rate: int, places: NDArray[np.int64]) -> list[Floats]:
    """Return some parts of a recording, by their first sample and the one after their last; no more is held."""
    parts = [np.zeros(stop - start, np.float32) for start, stop in places.tolist()]
    at, end = 0, int(places[-1, 1])
    with media.open_sound(item.file) as sound:
        for piece in sound.pieces(rate, stop=end / rate):
            for part, (start, stop) in zip(parts, places.tolist()):
                a, b = max(start, at), min(stop, at + len(piece))
                if a < b:
                    part[a - start : b - start] = piece[a - at : b - at]
            at += len(piece)
    if at < end:
        raise MediaError(f"{item.path}: expected {end / rate:.2f} s, got {at / rate:.2f} s; index it again")
    return parts
