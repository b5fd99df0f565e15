"""What public functions return: items, outcomes, embeddings, predictions, segments and hits. All are frozen."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Matrix, Seconds
from sightsound.contract.html import html_table, media_html_of
from sightsound.contract.paths import from_here


@dataclass(frozen=True)
class Item:
    """One file.

    Parameters
    ----------
    root : str
        The absolute path of a folder.
    path : str
        The path relative to it, with slashes. Bytes of a name that are not UTF-8 are surrogate escapes.
    id : int or None
        The id in a library. None for a file that does not come from one.
    """

    root: str
    path: str
    id: int | None = None

    @property
    def file(self) -> Path:
        """The path of the file."""
        return Path(self.root, self.path)

    @property
    def shown(self) -> str:
        """The path as results show it, and as it is typed in the working folder: absolute if it is not below that."""
        return from_here(self.file) if self.root else self.path

    def stat(self) -> tuple[int, int]:
        """Return the size in bytes and mtime_ns of the file, which tell whether it changed.

        Raises
        ------
        OSError
            If the file cannot be examined.
        """
        found = os.stat(os.path.join(self.root, self.path))
        return found.st_size, found.st_mtime_ns

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Prediction:
    """One class of an image or a sound.

    Parameters
    ----------
    label : str
        The name of the class.
    score : float
        From 0 to 1.
    id : str
        The id of the class (an AudioSet mid, a WordNet id), "" where the model has none.
    """

    label: str
    score: float
    id: str = ""


@dataclass(frozen=True)
class Segment:
    """One class that is heard in a recording from `start` to `stop`.

    Parameters
    ----------
    label : str
        The name of the class.
    start, stop : float
        Seconds, within the recording.
    mean, peak : float
        The mean and the highest score over the windows of the segment, from 0 to 1.
    id : str
        The id of the class, "" where the model has none.
    channel : int or None
        The channel, counted from 0, where channels were classified each by itself.
    """

    label: str
    start: float
    stop: float
    mean: float
    peak: float
    id: str = ""
    channel: int | None = None


@dataclass(frozen=True)
class TimeRange:
    """A label of a part of a recording.

    Parameters
    ----------
    start, stop : float
        Seconds from the beginning of the recording. They are equal for a moment.
    column : str
        The label column.
    value : str
        The label.
    low_hz, high_hz : float or None
        The frequency band in Hz; None where none is known.
    channel : int or None
        The channel, counted from 0; None for all.
    """

    start: float
    stop: float
    column: str
    value: str
    low_hz: float | None = None
    high_hz: float | None = None
    channel: int | None = None


@dataclass(frozen=True)
class Hit:
    """One item that a search found, or one segment of it in a search for tags.

    Parameters
    ----------
    item : Item
        The item.
    score : float
        The highest cosine of a window with the query; over several spaces the sum of reciprocal ranks; for a tag its
        mean score.
    seconds : tuple of float or None
        Start and stop of the best window, or of the segment; None for images.
    query_seconds : tuple of float or None
        Start and stop of the window of the query that it was compared with.
    labels : mapping of str to tuple of str
        The labels of the item by column.
    spaces : tuple of str
        The names of the spaces that found it.
    tag : str
        The class, in a search for tags.
    library : str
        The folder of the library, in a search of several; "" in a search of one.
    recorded : datetime or None
        When the window, or the image, was recorded, in the zone of the file; without an offset where that is not known.
        None where the library does not know it.
    """

    item: Item
    score: float
    seconds: tuple[float, float] | None = None
    query_seconds: tuple[float, float] | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spaces: tuple[str, ...] = ()
    tag: str = ""
    library: str = ""
    recorded: dt.datetime | None = None

    def _repr_html_(self) -> str:
        seconds = None if self.seconds is None else f"{self.seconds[0]:.2f}-{self.seconds[1]:.2f}"
        labels = [f"{column}={value}" for column, values in self.labels.items() for value in values]
        facts = {"score": f"{self.score:.4f}", "seconds": seconds, "tag": self.tag, "labels": ", ".join(labels)}
        shown = {name: fact for name, fact in facts.items() if fact}
        table = html_table(list(shown), [list(shown.values())], title=str(self.item))
        return f"<div>{media_html_of(self.item, self.seconds)}{table}</div>"


@dataclass(frozen=True)
class Row:
    """The embedding of one image or window.

    Parameters
    ----------
    item : Item
        The file.
    seconds : tuple of float or None
        Start and stop of the window; None for images.
    embedding : float32 ndarray of shape (dim,)
        The embedding.
    scores : float32 ndarray of shape (labels,) or None
        The scores of the network's classes, where it has any.
    """

    item: Item
    seconds: tuple[float, float] | None
    embedding: Floats
    scores: Floats | None = None


@dataclass(frozen=True)
class Rows:
    """The embeddings of an image, or of some consecutive windows of a recording.

    Parameters
    ----------
    item : Item
        The file.
    spans : float64 ndarray of shape (n, 2) or None
        Start and stop of each window in seconds; None for images.
    embeddings : float32 ndarray of shape (n, dim)
        The embeddings.
    scores : float32 ndarray of shape (n, labels) or None
        The scores of the network's classes, where it has any.
    """

    item: Item
    spans: Seconds | None
    embeddings: Floats
    scores: Floats | None = None


Status = Literal["ok", "failed", "not-media", "no-windows"]


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Parameters
    ----------
    item : Item
        The item.
    status : {"ok", "failed", "not-media", "no-windows"}
        Whether it was embedded, failed, is no image or sound (or not of the model's modality), or is too short.
    reason : str
        Why it is not "ok", in one line.
    flags : tuple of str
        "padded", "silent", "resampled-up" (the recording has a lower sample rate than the model) and "truncated" (it is
        shorter than its header says).
    seconds : float or None
        The duration that was decoded; None for images.
    facts : mapping of str to object
        Metadata of the file: format, channels, width and so on.
    error : Exception or None
        The error behind a failure, with a note that names item and model.
    """

    item: Item
    status: Status
    reason: str = ""
    flags: tuple[str, ...] = ()
    seconds: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class WindowScores:
    """The scores of every class in every window of one item.

    Parameters
    ----------
    scores : ndarray of shape (n, k)
        A row for each window and a column for each class, from 0 to 1: float32 from a network, float64 from a probe.
    spans : float64 ndarray of shape (n, 2) or None
        The seconds at which each window starts and stops; None for images.
    labels : tuple of str
        The names of the `k` classes.
    ids : tuple of str
        Their ids (AudioSet mids, WordNet ids), empty where the model has none.
    channels : int ndarray of shape (n,) or None
        The channel of each window, counted from 0, where channels were classified each by itself. The windows of
        channel 0 come first.
    """

    scores: Matrix = field(repr=False)
    spans: Seconds | None = field(repr=False)
    labels: tuple[str, ...]
    ids: tuple[str, ...] = ()
    channels: NDArray[np.intp] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Classified:
    """What is in one file.

    Parameters
    ----------
    item : Item
        The file. Its root and path are empty where samples or pixels were classified.
    outcome : Outcome
        What became of it, with its seconds. Where `outcome.status` is not "ok" there are no classes.
    model : str
        The name of the model, or of the models of a stack, joined by " + ". Empty where no model was reached.
    top : tuple of Prediction
        The best classes of an image, or of the mean over all windows of a recording, highest score first.
    segments : tuple of Segment
        For a recording what is heard from when to when, sorted by channel and time.
    windows : WindowScores or None
        The scores behind `top` and `segments`, from `classify_sound` and from `predict` with a probe of windows.
    none_below : float or None
        The score under which the first of `top` is no class of the file. None accepts any score.
    """

    item: Item
    outcome: Outcome
    model: str = ""
    top: tuple[Prediction, ...] = ()
    segments: tuple[Segment, ...] = ()
    windows: WindowScores | None = field(default=None, repr=False, compare=False)
    none_below: float | None = None

    @property
    def label(self) -> str | None:
        """The first of `top`, None if there is none or its score is under `none_below`."""
        if not self.top or self.top[0].score < (self.none_below or 0):
            return None
        return self.top[0].label
