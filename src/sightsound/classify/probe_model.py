"""A network whose classes are those of a probe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from sightsound.contract.arrays import Floats, scores_as_kept
from sightsound.contract.card import Card
from sightsound.contract.classlist import ClassList
from sightsound.contract.embedder import Output, Windows
from sightsound.host.model import Model
from sightsound.linear.model import LinearModel


def probe_card(card: Card, probe: LinearModel, name: str = "probe") -> Card:
    """Return the card of a network with the classes of a probe in place of its own; `name` is that of their list."""
    labels = tuple(str(label) for label in probe.classes_)
    return card_with_classes(card, name, labels, "softmax" if probe.single else "sigmoid")


def card_with_classes(card: Card, name: str, labels: tuple[str, ...], scores: Literal["sigmoid", "softmax"]) -> Card:
    """Return the card of a network with other classes in place of its own.

    Parameters
    ----------
    card : Card
        The card.
    name : str
        The name of the list of classes.
    labels : tuple of str
        The names of the classes.
    scores : {"sigmoid", "softmax"}
        What the scores are.

    Returns
    -------
    Card
    """
    return replace(card, classes=ClassList(name, labels), scores=scores)


def attach_probe(model: Model, probe: LinearModel, *, name: str = "probe") -> Model:
    """Return a network whose scores are the probabilities of a probe, for each window or image.

    Parameters
    ----------
    model : Model
        The network that the probe was fitted with.
    probe : LinearModel
        The probe. One of items with another pool than the mean has no probabilities of single windows; its scores are
        0 for each window.
    name : str
        The name of the list of its classes.

    Returns
    -------
    Model

    Raises
    ------
    SpaceMismatch
        If it is another network, or another version of it.
    SightsoundError
        If the probe was not fitted to a data set of a library, or uses scores that the network does not give.
    """
    spec = probe.require_feature_spec()
    spec.space.require(model.space, "probe", anew="or fit the probe anew")
    spec.require_classes(model.card.classes)
    embedder = _ProbedEmbedder(model, probe, name)
    stages = {stage: _stage(embedder, stage) for stage in ("preprocess", "embed", "postprocess")}
    return Model(
        embedder,
        space=model.space,
        plugin=model.plugin,
        stages=stages,
        others=model.others,
        build=lambda: (embedder, model.execution),
    )


def _stage(embedder: _ProbedEmbedder, name: str) -> Any:
    """Return a stage as `Model` calls it, with the embedder among its arguments."""
    return lambda embedder=embedder, **arguments: getattr(embedder, name)(**arguments)


class _ProbedEmbedder:
    """Embeds with a network and its stages, and classifies with a probe."""

    def __init__(self, model: Model, probe: LinearModel, name: str) -> None:
        self._network = model.card
        self.card = probe_card(model.card, probe, name)
        self.batch_size, self.workers, self.device = model.batch_size, model.workers, model.device
        self._model, self._probe, self._spec = model, probe, probe.require_feature_spec()
        if self._spec.uses_scores:
            self.card = replace(self.card, dim=self.card.dim + self._spec.score_count)
        is_row = model.card.modality == "image" or self._spec.level == "window"
        self._has_window_scores = is_row or self._spec.pool != "mean+std"

    def preprocess(self, media: Any, start: int, last: bool) -> Windows:
        """Preprocess as the network does."""
        return self._model.preprocess(media, start, last)

    def embed(self, inputs: Floats) -> Output:
        """Embed as the network does, with the probabilities of the probe as scores."""
        output = self._model.embed(inputs)
        rows, embeddings = self._model.postprocess(output), output.embeddings
        if self._spec.uses_scores and output.scores is not None:
            scores = scores_as_kept(output.scores, self._network.scores)
            rows, embeddings = np.hstack([rows, scores]), np.hstack([embeddings, scores])
        if not np.isfinite(rows).all():
            return Output(embeddings, self._constant_scores(len(rows), np.nan))
        if not self._has_window_scores:
            return Output(embeddings, self._constant_scores(len(rows), 0))
        features = np.concatenate([self._spec.rows(*self._spec.split(row[None])) for row in rows])
        return Output(embeddings, self._probe.predict_proba(features).astype(np.float32))

    def postprocess(self, output: Output) -> Floats:
        """Postprocess as the network does. Scores that the probe uses stand beside its rows."""
        if not self._spec.uses_scores:
            return self._model.postprocess(output)
        count = self._spec.score_count
        embeddings, scores = output.embeddings[:, :-count], output.embeddings[:, -count:]
        rows = self._model.postprocess(Output(embeddings, scores))
        return np.hstack([rows, scores])

    def _constant_scores(self, n: int, value: float) -> Floats:
        return np.full((n, len(self.card.labels)), value, np.float32)
