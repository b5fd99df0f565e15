"""A network whose classes are those of a probe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.classlist import ClassList
from sightsound.contract.embedder import Output, Windows
from sightsound.host.model import Model
from sightsound.linear.model import LinearModel


def probe_card(card: Card, probe: LinearModel) -> Card:
    """Return the card of a network with the classes of a probe in place of its own."""
    labels = tuple(str(label) for label in probe.classes_)
    return replace(card, classes=ClassList("probe", labels), scores="softmax" if probe.single else "sigmoid")


def attach_probe(model: Model, probe: LinearModel) -> Model:
    """Return a network whose scores are the probabilities of a probe, for each window or image.

    Parameters
    ----------
    model : Model
        The network that the probe was fitted with.
    probe : LinearModel
        The probe. One of items with another pool than the mean has no probabilities of single windows; its scores are
        0 for each window.

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
    probe.require_feature_spec().space.require(model.space, "probe")
    embedder = _ProbedEmbedder(model, probe)
    stages = {name: _stage(embedder, name) for name in ("preprocess", "embed", "postprocess")}
    return Model(embedder, space=model.space, plugin=model.plugin, stages=stages, others=model.others)


def _stage(embedder: _ProbedEmbedder, name: str) -> Any:
    """Return a stage as `Model` calls it, with the embedder among its arguments."""
    return lambda embedder=embedder, **arguments: getattr(embedder, name)(**arguments)


class _ProbedEmbedder:
    """Embeds with a network and its stages, and classifies with a probe."""

    def __init__(self, model: Model, probe: LinearModel) -> None:
        self.card = probe_card(model.card, probe)
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
