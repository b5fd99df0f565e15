"""What calls return: items, outcomes, rows, predictions, segments and hits. All frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightsound.contract.arrays import Floats, Matrix, Seconds


@dataclass(frozen=True)
class Item:
    """One file: a root folder and a POSIX path relative to it. Names that are not UTF-8 carry surrogate escapes."""

    root: str
    path: str
    id: int | None = None

    @property
    def file(self) -> Path:
        return Path(self.root, self.path)

    def stat(self) -> tuple[int, int]:
        """The size in bytes and mtime_ns of the file now, by which a change is noticed. Raises `OSError`."""
        found = os.stat(self.file)
        return found.st_size, found.st_mtime_ns

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Prediction:
    """One class that a network sees in a picture or hears in a sound: its name, its score from 0 to 1, and its id (an
    AudioSet mid, a WordNet id) where the card has ids."""

    label: str
    score: float
    id: str = ""


@dataclass(frozen=True)
class Segment:
    """One class that a network hears from `start` to `stop` (seconds of the recording, clipped to it): its mean and
    its highest score over these windows. `channel` counts from 0 where channels were classified each by itself."""

    label: str
    start: float
    stop: float
    mean: float
    peak: float
    id: str = ""
    channel: int | None = None


@dataclass(frozen=True)
class Hit:
    """What a search found: an item, its best window's seconds (None for images), the score (cosine, or the fused
    reciprocal rank), the query's seconds that matched, its labels, and the space or spaces that found it. A search for
    a tag finds segments: `tag` is the class, `seconds` where it is, `score` its mean."""

    item: Item
    score: float
    seconds: tuple[float, float] | None = None
    query_seconds: tuple[float, float] | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spaces: tuple[str, ...] = ()
    tag: str = ""


@dataclass(frozen=True)
class Row:
    """One embedding float32 (dim,): its item, the seconds it covers (None for images), and scores float32 (labels,)
    where the network has a classifier."""

    item: Item
    seconds: tuple[float, float] | None
    embedding: Floats
    scores: Floats | None = None


@dataclass(frozen=True)
class Rows:
    """Some consecutive rows of one item: spans float64 (n, 2) or None, embeddings float32 (n, dim), scores float32
    (n, labels) or None."""

    item: Item
    spans: Seconds | None
    embeddings: Floats
    scores: Floats | None = None


Status = Literal["ok", "failed", "not-media", "no-windows"]


@dataclass(frozen=True)
class Outcome:
    """What became of one item: its status, the reason where it is not ok, flags (`padded`, `silent`,
    `resampled-up`), the seconds that were decoded (None for images), facts of the file (format, channels, ...), and
    the exception behind a failure, which notes the item and the model."""

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
    """

    item: Item
    outcome: Outcome
    model: str = ""
    top: tuple[Prediction, ...] = ()
    segments: tuple[Segment, ...] = ()
    windows: WindowScores | None = field(default=None, repr=False, compare=False)
