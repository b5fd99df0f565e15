"""What items are for a network, decoded once: inputs of images, and samples of recordings."""

from __future__ import annotations

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
from sightsound.contract.errors import MediaError
from sightsound.contract.results import Item
from sightsound.host.model import Model

IN_MEMORY = 2**30
"""Bytes that are kept in memory; what is beyond goes to a mapped file."""


@dataclass
class KeptInputs:
    """The items of a data set for one network.

    Parameters
    ----------
    model : Model
        Its `preprocess` makes the inputs of recordings, each time anew.
    arrays : list of ndarray
        For each item its inputs, float32 (1, ...), or its samples, float32 (samples,); empty where it failed.
    counts : ndarray of int (items,)
        How many inputs each item has.
    notes : tuple of str
        The items that failed, and why.
    """

    model: Model
    arrays: list[Floats]
    counts: NDArray[np.intp]
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
    arrays, notes, held = list[Floats](), list[str](), 0
    file = folder / "inputs"
    with ThreadPoolExecutor(cores()) as threads, bar(len(items), "decode", progress, unit="file") as shown:
        for item, found in zip(items, threads.map(lambda item: _read(model, item), items)):
            if isinstance(found, str):
                notes.append(f"{item.path}: {found}")
                found = np.empty(0, np.float32)
            held += found.nbytes
            if held > IN_MEMORY and found.size:
                found = _mapped(found, file)
            arrays.append(found)
            shown.update()
    kept = KeptInputs(model, arrays, np.zeros(len(arrays), np.intp), tuple(notes))
    kept.counts = np.array([len(kept.inputs(i)) if each.size else 0 for i, each in enumerate(arrays)], np.intp)
    return kept


def _read(model: Model, item: Item) -> Floats | str:
    """Return the inputs of an image or the samples of a recording, or why there are none."""
    try:
        if model.card.modality == "image":
            return model.preprocess(media.read_image(item.file).pixels).inputs
        assert model.card.sample_rate is not None
        return media.read_sound(item.file, model.card.sample_rate)
    except MediaError as error:
        return str(error)


def _mapped(array: Floats, file: Path) -> Floats:
    """Append an array to a file, and return it mapped."""
    with file.open("ab") as opened:
        at = opened.tell()
        opened.write(array.tobytes())
    return np.memmap(file, np.float32, "r", at, array.shape)
