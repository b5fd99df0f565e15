"""A network with the classes of a probe: each window or picture is judged as it comes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sightsound.contract.arrays import Floats
from sightsound.contract.card import Card
from sightsound.contract.embedder import Output, Windows
from sightsound.host.model import Model
from sightsound.linear.probe import LinearProbe


def probed_card(card: Card, probe: LinearProbe) -> Card:
    """The card of a network whose classes are a probe's."""
    labels = tuple(str(label) for label in probe.classes_)
    return replace(card, labels=labels, label_ids=(), scores="softmax" if probe.single else "sigmoid")


def probed(model: Model, probe: LinearProbe) -> Model:
    """A network that gives, for each window or picture, a probe's probabilities as its scores; zeros from a probe of
    items that pools windows otherwise than by their mean, which says nothing of one window.

    Raises `SpaceMismatch` for another network than the probe's.
    """
    probe.require_feature_spec().space.require(model.space, "probe")
    embedder = _Probed(model, probe)
    stages = {name: _of(embedder, name) for name in ("preprocess", "embed", "postprocess")}
    return Model(embedder, space=model.space, plugin=model.plugin, stages=stages, others=model.others)


def _of(embedder: _Probed, stage: str) -> Any:
    return lambda embedder=embedder, **arguments: getattr(embedder, stage)(**arguments)


class _Probed:
    def __init__(self, model: Model, probe: LinearProbe) -> None:
        self.card = probed_card(model.card, probe)
        self.batch_size, self.workers, self.device = model.batch_size, model.workers, model.device
        self._model, self._probe, self._origin = model, probe, probe.require_feature_spec()
        self._each = model.card.modality == "image" or self._origin.level == "window" or self._origin.pool == "mean"

    def preprocess(self, media: Any, start: int, last: bool) -> Windows:
        return self._model.preprocess(media, start, last)

    def embed(self, inputs: Floats) -> Output:
        output = self._model.embed(inputs)
        rows = self._model.postprocess(output)
        if not np.isfinite(rows).all():
            return Output(output.embeddings, np.full((len(rows), len(self.card.labels)), np.nan, np.float32))
        if not self._each:
            return Output(output.embeddings, np.zeros((len(rows), len(self.card.labels)), np.float32))
        said = self._probe.predict_proba(np.concatenate([self._origin.rows(row[None]) for row in rows]))
        return Output(output.embeddings, said.astype(np.float32))

    def postprocess(self, output: Output) -> Floats:
        return self._model.postprocess(output)
