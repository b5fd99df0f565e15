"""A loaded model as the checks see it, and the distance between two of its answers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.embedder import Output, Windows
from sightsound.contract.errors import SightsoundError
from sightsound.contract.paths import PathLike
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.testing.media import Media, images, sounds

TOLERANCE = 1e-3
"""The largest distance of two rows that count as the same, relative to their length: a cosine above 0.999999."""


@dataclass(frozen=True)
class Answer:
    """What a model returns for one item.

    Attributes
    ----------
    spans : ndarray or None
        Seconds, float64 (n, 2); None for images.
    embeddings : ndarray
        (n, dim).
    scores : ndarray or None
        (n, labels), if the network has a classifier.
    """

    spans: Seconds | None
    embeddings: Media
    scores: Media | None


class Subject:
    """A loaded model and the items to test it on. Every stage gets its own copy of its arguments.

    Parameters
    ----------
    model : str or Model
        A name, or a loaded model.
    host : Host, optional
        The host that knows the model; by default one with the installed plugins.
    golden : path-like, optional
        A file of `write_golden`.
    """

    def __init__(self, model: str | Model, *, host: Host | None = None, golden: PathLike | None = None) -> None:
        if not __debug__:
            raise SightsoundError("conformance kit: expected assertions, got Python -O; run it without -O")
        self.host = host or Host()
        self.model = self.host.load(model) if isinstance(model, str) else model
        self.card: Card = self.model.card
        self.golden = golden
        self.media = images() if self.card.modality == "image" else sounds(self.card)

    def preprocess(self, media: Media, start: int = 0, last: bool = True) -> Windows:
        """Call the stage `preprocess` on a block; by default it is a whole item."""
        found: Windows = self.call("preprocess", media=media.copy(), start=start, last=last)
        return found

    def embed(self, inputs: Floats) -> Output:
        """Call the stage `embed`."""
        found: Output = self.call("embed", inputs=np.array(inputs))
        return found

    def postprocess(self, output: Output) -> Media:
        """Call the stage `postprocess`."""
        found: Media = self.call("postprocess", output=copied(output))
        return found

    def answer_for_inputs(self, spans: Seconds | None, inputs: Floats) -> Answer:
        """Return the answer for preprocessed inputs in one batch."""
        output = self.embed(inputs)
        scores = None if output.scores is None else np.array(output.scores)
        return Answer(spans, np.array(self.postprocess(output)), scores)

    def answer(self, media: Media) -> Answer:
        """Return the answer for one item."""
        windows = self.preprocess(media)
        return self.answer_for_inputs(windows.spans, windows.inputs)

    @functools.cached_property
    def baseline(self) -> dict[str, Answer]:
        """The answers for all ordinary items, computed once."""
        return {name: self.answer(media) for name, media in self.media.items()}

    @functools.cached_property
    def repeatable(self) -> bool:
        """Whether the same call gives the same rows. If it does not, only the check `same_twice` reports it."""
        name, media = next(iter(self.media.items()))
        return distance(self.answer(media), self.baseline[name]) <= TOLERANCE

    def without(self, plugin: str) -> Subject:
        """Return the same model without one of the stage plugins."""
        return Subject(self.host.load(self.card.name, without=[plugin]), host=self.host)

    def call(self, stage: str, **arguments: Any) -> Any:
        """Call a stage with exactly these arrays; of the result only the type is checked."""
        kind = {"preprocess": Windows, "embed": Output}.get(stage)
        try:
            found = self.model.stages[stage](embedder=self.model.embedder, **arguments)
        except Exception as error:
            raise AssertionError(f"{stage} raised {type(error).__name__}: {error}") from error
        assert found is not None, f"{stage} returned nothing; is a `return` missing?"
        if kind is not None:
            assert isinstance(found, kind), f"{stage}: expected {kind.__name__}, got {type(found).__name__}"
        return found


def distance(a: Answer, b: Answer) -> float:
    """Return the distance of two answers, of rows relative to their length and of scores absolute.

    It is infinite for answers of different shapes.
    """
    if a.embeddings.shape != b.embeddings.shape or (a.scores is None) != (b.scores is None):
        return float("inf")
    far = row_distance(a.embeddings, b.embeddings)
    if a.scores is not None and b.scores is not None:
        far = max(far, float(np.nan_to_num(np.abs(a.scores - b.scores)).max(initial=0.0)))
    return far


def row_distance(a: Media, b: Media) -> float:
    """Return the largest distance of two rows at the same position, relative to the longer one; NaN equals NaN."""
    a, b = (np.nan_to_num(np.asarray(rows, np.float64)) for rows in (a, b))
    longer = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return float((np.linalg.norm(a - b, axis=1) / np.maximum(longer, 1e-12)).max(initial=0.0))


def copied(output: Output) -> Output:
    """Return a copy of an output and its arrays."""
    return Output(np.array(output.embeddings), None if output.scores is None else np.array(output.scores))
