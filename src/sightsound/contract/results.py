"""What calls return: items, outcomes, rows, predictions, segments and hits. All frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sightsound.contract.arrays import Floats, Seconds


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
