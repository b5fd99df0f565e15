"""A network whose classes are those of a probe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from sightsound.contract.arrays import Floats
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
        If the probe was not fitted to a data set of a library.
    """
    probe.require_feature_spec().space.require(model.space, "probe", anew="or fit the probe anew")
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
        self.card = probe_card(model.card, probe, name)
        self.batch_size, self.workers, self.device = model.batch_size, model.workers, model.device
        self._model, self._probe, self._spec = model, probe, probe.require_feature_spec()
        is_row = model.card.modality == "image" or self._spec.level == "window"
        self._has_window_scores = is_row or self._spec.pool != "mean+std"

    def preprocess(self, media: Any, start: int, last: bool) -> Windows:
        """Preprocess as the network does."""
        return self._model.preprocess(media, start, last)

    def embed(self, inputs: Floats) -> Output:
        """Embed as the network does, with the probabilities of the probe as scores."""
        output = self._model.embed(inputs)
        rows = self._model.postprocess(output)
        if not np.isfinite(rows).all():
            return Output(output.embeddings, self._constant_scores(len(rows), np.nan))
        if not self._has_window_scores:
            return Output(output.embeddings, self._constant_scores(len(rows), 0))
        features = np.concatenate([self._spec.rows(row[None]) for row in rows])
        return Output(output.embeddings, self._probe.predict_proba(features).astype(np.float32))

    def postprocess(self, output: Output) -> Floats:
        """Postprocess as the network does."""
        return self._model.postprocess(output)

    def _constant_scores(self, n: int, value: float) -> Floats:
        return np.full((n, len(self.card.labels)), value, np.float32)
