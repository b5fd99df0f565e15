"""A loaded model as the checks see it, and how far two of its answers are apart."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.embedder import Output, Windows
from sightsound.contract.errors import SightsoundError
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.testing.media import Media, pictures, sounds

TOLERANCE = 1e-3
"""The largest distance between two rows that count as the same, relative to their length: a cosine over 0.999999."""


@dataclass(frozen=True)
class Rows:
    """What a model gives for one item: seconds (n, 2) or None, embeddings (n, dim), scores (n, labels) or None."""

    spans: Seconds | None
    embeddings: Media
    scores: Media | None


class Subject:
    """A loaded model and the media to try it on; every stage gets its own copy of what it is given."""

    def __init__(
        self, model: str | Model, *, host: Host | None = None, golden: str | os.PathLike[str] | None = None
    ) -> None:
        if not __debug__:
            raise SightsoundError("conformance kit: expected assertions, got Python -O; run it without -O")
        self.host = host or Host()
        self.model = self.host.load(model) if isinstance(model, str) else model
        self.card: Card = self.model.card
        self.golden = golden
        self.media = pictures() if self.card.modality == "image" else sounds(self.card)

    def preprocess(self, media: Media, start: int = 0, last: bool = True) -> Windows:
        found: Windows = self.call("preprocess", media=media.copy(), start=start, last=last)
        return found

    def embed(self, inputs: Floats) -> Output:
        found: Output = self.call("embed", inputs=np.array(inputs))
        return found

    def postprocess(self, output: Output) -> Media:
        found: Media = self.call("postprocess", output=copy(output))
        return found

    def finish(self, spans: Seconds | None, inputs: Floats) -> Rows:
        """The rows of inputs that are preprocessed already, in one batch."""
        output = self.embed(inputs)
        scores = None if output.scores is None else np.asarray(output.scores)
        return Rows(spans, np.asarray(self.postprocess(output)), scores)

    def rows(self, media: Media) -> Rows:
        windows = self.preprocess(media)
        return self.finish(windows.spans, windows.inputs)

    @functools.cached_property
    def baseline(self) -> dict[str, Rows]:
        """The rows of every ordinary item, computed once."""
        return {name: self.rows(media) for name, media in self.media.items()}

    @functools.cached_property
    def repeatable(self) -> bool:
        """Whether the same call gives the same rows: where not, only `same_twice` says so."""
        name, media = next(iter(self.media.items()))
        return distance(self.rows(media), self.baseline[name]) <= TOLERANCE

    def without(self, plugin: str) -> Subject:
        """The same model without one of the stage plugins."""
        return Subject(self.host.load(self.card.name, without=[plugin]), host=self.host)

    def call(self, stage: str, **arguments: Any) -> Any:
        """What a stage returns, called with the very arrays that are given, unchecked but for its type."""
        kind = {"preprocess": Windows, "embed": Output}.get(stage)
        try:
            found = self.model.stages[stage](embedder=self.model.embedder, **arguments)
        except Exception as error:
            raise AssertionError(f"{stage} raised {type(error).__name__}: {error}") from error
        assert found is not None, f"{stage} returned nothing; is a `return` missing?"
        if kind is not None:
            assert isinstance(found, kind), f"{stage}: expected {kind.__name__}, got {type(found).__name__}"
        return found


def distance(a: Rows, b: Rows) -> float:
    """How far apart two answers are: rows relative to their length, scores absolute; infinite for other shapes."""
    if a.embeddings.shape != b.embeddings.shape or (a.scores is None) != (b.scores is None):
        return float("inf")
    far = apart(a.embeddings, b.embeddings)
    if a.scores is not None and b.scores is not None:
        far = max(far, float(np.nan_to_num(np.abs(a.scores - b.scores)).max(initial=0.0)))
    return far


def apart(a: Media, b: Media) -> float:
    """The largest distance between two rows of the same place, relative to the longer; NaN equals NaN."""
    a, b = (np.nan_to_num(np.asarray(rows, np.float64)) for rows in (a, b))
    longer = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return float((np.linalg.norm(a - b, axis=1) / np.maximum(longer, 1e-12)).max(initial=0.0))


def copy(output: Output) -> Output:
    return Output(np.array(output.embeddings), None if output.scores is None else np.array(output.scores))
