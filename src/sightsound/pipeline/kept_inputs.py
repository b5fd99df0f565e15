"""What items are for a network, decoded once: inputs of images, and samples of recordings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sightsound import media
from sightsound._progress import bar
from sightsound._threads import cores
from sightsound.contract.arrays import Floats
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
    """The items of a data set for one network.

    Parameters
    ----------
    model : Model
        Its `preprocess` makes the inputs of recordings, each time anew.
    arrays : list of ndarray
        For each item its inputs, float32 (1, ...), or its samples, float32 (samples,); empty where it failed.
    usable : ndarray of bool (items,)
        Whether an item could be decoded.
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
    arrays, notes = list[Floats](), list[str]()
    store = ArrayStore(folder / "inputs")
    with ThreadPoolExecutor(cores()) as threads, bar(len(items), "decode", progress, unit="file") as shown:
        for item, found in zip(items, threads.map(lambda item: _read(model, item), items)):
            if isinstance(found, str):
                notes.append(f"{item.path}: {found}")
                found = np.empty(0, np.float32)
            kept = store.keep(found)
            if kept is None:
                raise SightsoundError(
                    f"{folder}: expected room for {len(items)} decoded files; set TMPDIR to a larger disk"
                )
            arrays.append(kept)
            shown.update()
    return KeptInputs(model, arrays, np.array([each.size > 0 for each in arrays]), tuple(notes))


def _read(model: Model, item: Item) -> Floats | str:
    """Return the inputs of an image or the samples of a recording, or why there are none."""
    try:
        if model.card.modality == "image":
            return model.preprocess(media.read_image(item.file).pixels).inputs
        assert model.card.sample_rate is not None
        return media.read_sound(item.file, model.card.sample_rate)
    except MediaError as error:
        return str(error)
