"""A model as the checks see it, and the distance between two of its answers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.card import Card
from sightsound.contract.embedder import Output, Windows
from sightsound.contract.errors import MissingWeights, SightsoundError, UnknownModel
from sightsound.contract.paths import PathLike
from sightsound.host.host import Host
from sightsound.host.model import Model
from sightsound.testing.imports import Imported, import_of
from sightsound.testing.media import Media, images, sounds

TOLERANCE = 1e-3
"""The largest distance of two rows that count as the same, relative to their length: a cosine above 0.999999."""


class NotApplicable(Exception):
    """Raised by a check that has nothing to check; the text says why."""


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
    """A model and the items to test it on. Every stage gets its own copy of its arguments.

    Parameters
    ----------
    model : str or Model
        A name, or a loaded model. A name is loaded when a check first asks for `model`.
    host : Host, optional
        The host that knows the model; by default one with the installed plugins.
    golden : path-like, optional
        A file of `write_golden`.

    Raises
    ------
    SightsoundError
        If the model is unknown.
    """

    def __init__(self, model: str | Model, *, host: Host | None = None, golden: PathLike | None = None) -> None:
        if not __debug__:
            raise SightsoundError("conformance kit: expected assertions, got Python -O; run it without -O")
        self.host = host or Host()
        self._given = model
        self.card: Card = self.host.card(model) if isinstance(model, str) else model.card
        self.golden = golden
        self.media = images() if self.card.modality == "image" else sounds(self.card)

    @functools.cached_property
    def model(self) -> Model:
        """The loaded model."""
        return self.host.load(self._given) if isinstance(self._given, str) else self._given

    @functools.cached_property
    def fault(self) -> SightsoundError | None:
        """Why the model cannot be loaded, None if it can. Weights that are missing are no fault of the plugin."""
        try:
            self.model  # noqa: B018
        except (MissingWeights, UnknownModel):
            raise
        except SightsoundError as error:
            return error
        return None

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

    def text(self, texts: list[str]) -> Media:
        """Call the embedder's `text` with exactly this list."""
        embedder: Any = self.model.embedder
        try:
            found: Media = embedder.text(texts)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise AssertionError(f"text raised {type(error).__name__}: {error}") from error
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
    def inputs(self) -> Floats:
        """A few inputs of every ordinary item, at most eight."""
        return np.concatenate([self.preprocess(media).inputs[:3] for media in self.media.values()])[:8]

    @functools.cached_property
    def module(self) -> Any:
        """What `module()` of the embedder returns when it is first called."""
        embedder: Any = self.model.embedder
        return embedder.module()

    @functools.cached_property
    def imports(self) -> list[Imported]:
        """What the import of the plugin does, for each of its entry points; empty if it was registered by hand."""
        found = {file.name: self.host.weights.find(file) for file in self.card.weights}
        paths = {name: file.path for name, file in found.items() if file is not None}
        return import_of(self.model.plugin, self.card.name, paths)

    def without(self, plugin: str) -> Subject:
        """Return the same model without one of the stage plugins."""
        return Subject(self.host.load(self.card.name, without=[plugin]), host=self.host)

    def beside(self, stage: str) -> str:
        """Return the end of a message about a stage: the plugins that wrap or replace it, "" if there are none."""
        others = " and ".join(map(repr, self.model.others.get(stage, ())))
        return f"; the stage plugin {others} takes part in it" if others else ""

    def call(self, stage: str, **arguments: Any) -> Any:
        """Call a stage with exactly these arrays; of the result only the type is checked."""
        kind = {"preprocess": Windows, "embed": Output}.get(stage)
        try:
            found = self.model.stages[stage](embedder=self.model.embedder, **arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a panic of Rust is no Exception
            raise AssertionError(f"{stage} raised {type(error).__name__}: {error}{self.beside(stage)}") from error
        assert found is not None, f"{stage} returned nothing; is a `return` missing?{self.beside(stage)}"
        if kind is not None:
            got = f"{stage}: expected {kind.__name__}, got {type(found).__name__}"
            assert isinstance(found, kind), got + self.beside(stage)
        return found


def distance(a: Answer, b: Answer) -> float:
    """Return the distance of two answers, of rows relative to their length and of scores absolute.

    It is infinite for answers of different shapes.
    """
    if a.embeddings.shape != b.embeddings.shape or (a.scores is None) != (b.scores is None):
        return float("inf")
    far = row_distance(a.embeddings, b.embeddings)
    if a.scores is not None and b.scores is not None:
        far = max(far, score_distance(a.scores, b.scores))
    return far


def row_distance(a: Media, b: Media) -> float:
    """Return the largest distance of two rows at the same position, relative to the longer one; NaN equals NaN."""
    a, b = (np.nan_to_num(np.asarray(rows, np.float64)) for rows in (a, b))
    longer = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    return float((np.linalg.norm(a - b, axis=1) / np.maximum(longer, 1e-12)).max(initial=0.0))


def score_distance(a: Media, b: Media) -> float:
    """Return the largest difference of two scores of the same shape; NaN equals any score."""
    return float(np.nan_to_num(np.abs(np.asarray(a, np.float64) - b)).max(initial=0.0))


def copied(output: Output) -> Output:
    """Return a copy of an output and its arrays."""
    return Output(np.array(output.embeddings), None if output.scores is None else np.array(output.scores))
