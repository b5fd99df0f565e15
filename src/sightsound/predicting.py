"""Files, or the items of a library -> what a probe or a stack says of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sightsound.embedding import Embeddings
from sightsound.errors import SightsoundError
from sightsound.filters import Filter
from sightsound.host import Host
from sightsound.library import Library
from sightsound.measures import Matrix
from sightsound.model import Model
from sightsound.origin import Origin
from sightsound.probe import LinearProbe
from sightsound.stack import Stack
from sightsound.types import Card, Floats, Item, Outcome, Output, Prediction, Seconds, Windows

PathLike = str | os.PathLike[str]
Probe = LinearProbe | Stack


@dataclass(frozen=True)
class Verdict:
    """What a probe says of one item: its classes, likeliest first, and for a probe of windows the probabilities
    float64 (n, k) of each, whose seconds are `spans` float64 (n, 2)."""

    item: Item
    outcome: Outcome
    classes: tuple[Prediction, ...] = ()
    windows: Matrix | None = field(default=None, repr=False)
    spans: Seconds | None = field(default=None, repr=False)


def origins(probe: Probe) -> tuple[Origin, ...]:
    """Which rows a probe takes. Raises `SightsoundError` for one that was not fitted from a library."""
    found = tuple(probe.origins_) if isinstance(probe, Stack) else (probe.origin_,) if probe.origin_ else ()
    if not found:
        raise SightsoundError(
            "probe: expected one that was fitted from a library, which knows its network; use predict"
        )
    return found


def predict(
    probe: Probe,
    paths: PathLike | Sequence[PathLike],
    *,
    host: Host | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> Iterator[Verdict]:
    """What a probe says of each of these files and folders, in order; a file that fails comes with its outcome.

    Raises `SpaceMismatch` where the installed network, or its weights, are not those that the probe was fitted with.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    host = host or Host()
    wanted = origins(probe)
    for origin in wanted:
        origin.space.require(host.space(origin.space.name), "probe")
    passes = [Embeddings(paths, origin.space.name, host, device, None, progress).each() for origin in wanted]
    return (_verdict(probe, wanted, together) for together in zip(*passes))


def predict_stored(probe: Probe, library: Library, where: Filter | None = None) -> Iterator[Verdict]:
    """What a probe says of the items of a library, by the vectors that it holds. Raises `SpaceMismatch` where these
    are of another space."""
    wanted = origins(probe)
    found = [_stored(library, origin, where) for origin in wanted]
    for item in (item for item in found[0] if all(item in rows for rows in found)):
        whole = [rows[item] for rows in found]
        yield _verdict(probe, wanted, [(Outcome(item, "ok"), *rows) for rows in whole])


def _stored(library: Library, origin: Origin, where: Filter | None) -> dict[Item, tuple[Floats, Seconds | None]]:
    stored, items = library.contents(origin.space, where)
    order = np.argsort(stored.contents, kind="stable")
    first = {content: i for i, content in enumerate(stored.contents[order].tolist()[::-1])}
    found: dict[Item, tuple[Floats, Seconds | None]] = {}
    for content, here in items.items():
        stop = len(order) - first[content]
        start = int(np.searchsorted(stored.contents[order], content))
        rows = order[start:stop]
        spans = stored.spans[rows] if origin.space.modality == "sound" else None
        found |= dict.fromkeys(here, (stored.vectors[rows], spans))
    return found


Whole = tuple[Outcome, Floats | None, Seconds | None]


def _verdict(probe: Probe, wanted: Sequence[Origin], together: Sequence[Whole]) -> Verdict:
    """One item, embedded by each network."""
    bad = next((outcome for outcome, _, _ in together if outcome.status != "ok"), None)
    if bad is not None:
        return Verdict(bad.item, bad)
    outcome, _, spans = together[0]
    rows = [origin.rows(vectors) for origin, (_, vectors, _) in zip(wanted, together) if vectors is not None]
    said = probe.predict_proba(rows) if isinstance(probe, Stack) else probe.predict_proba(rows[0])
    classes = ranked([str(label) for label in probe.classes_], said.mean(axis=0))
    if wanted[0].level == "item" or wanted[0].space.modality == "image":
        return Verdict(outcome.item, outcome, classes)
    return Verdict(outcome.item, outcome, classes, said, spans)


def ranked(labels: Sequence[str], probabilities: Matrix) -> tuple[Prediction, ...]:
    """Classes with their probabilities (k,), likeliest first."""
    order = np.argsort(-probabilities, kind="stable")
    return tuple(Prediction(labels[i], float(probabilities[i])) for i in order)


# -- a network with a probe's classes ----------------------------------------------------------------------------------


def probed_card(card: Card, probe: LinearProbe) -> Card:
    """The card of a network whose classes are a probe's."""
    labels = tuple(str(label) for label in probe.classes_)
    return replace(card, labels=labels, label_ids=(), scores="softmax" if probe.single else "sigmoid")


def probed(model: Model, probe: LinearProbe) -> Model:
    """A network that gives, for each window or picture, a probe's probabilities as its scores.

    Raises `SpaceMismatch` for another network than the probe's, and `SightsoundError` for a probe that needs more
    than one window at a time.
    """
    (origin,) = origins(probe)
    origin.space.require(model.space, "probe")
    if origin.level == "item" and origin.pool == "mean+std":
        raise SightsoundError(
            "probe: expected one of windows or of their mean, got mean+std, which a window does not have; "
            "use `sightsound probe predict`"
        )
    embedder = _Probed(model, probe)
    stages = {name: _of(embedder, name) for name in ("preprocess", "embed", "postprocess")}
    return Model(embedder, space=model.space, plugin=model.plugin, stages=stages, others=model.others)


def _of(embedder: _Probed, stage: str) -> Any:
    return lambda embedder=embedder, **arguments: getattr(embedder, stage)(**arguments)


class _Probed:
    def __init__(self, model: Model, probe: LinearProbe) -> None:
        self.card = probed_card(model.card, probe)
        self.batch_size, self.lanes, self.device = model.batch_size, model.lanes, model.device
        self._model, self._probe = model, probe

    def preprocess(self, media: Any, start: int, last: bool) -> Windows:
        return self._model.preprocess(media, start, last)

    def embed(self, inputs: Floats) -> Output:
        output = self._model.embed(inputs)
        rows = self._model.postprocess(output)
        if not np.isfinite(rows).all():
            return Output(output.embeddings, np.full((len(rows), len(self.card.labels)), np.nan, np.float32))
        return Output(output.embeddings, self._probe.predict_proba(rows).astype(np.float32))

    def postprocess(self, output: Output) -> Floats:
        return self._model.postprocess(output)
