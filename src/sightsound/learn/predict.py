"""Files, or the items of a library -> what a probe or a stack says of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sightsound.classify.probe_model import origin_of, ranked
from sightsound.contract.arrays import Floats, Matrix, Seconds
from sightsound.contract.results import Item, Outcome, Prediction
from sightsound.host.host import Host
from sightsound.library.filters import Filter
from sightsound.library.library import Library
from sightsound.linear.features import FeatureSpec
from sightsound.linear.probe import LinearProbe
from sightsound.linear.stack import Stack
from sightsound.pipeline.embeddings import Embeddings

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


def origins(probe: Probe) -> tuple[FeatureSpec, ...]:
    """Which rows a probe or each part of a stack takes. Raises `SightsoundError` for one that was not fitted from a
    library."""
    return tuple(probe.origins_) if isinstance(probe, Stack) else (origin_of(probe),)


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
    passes = [Embeddings(paths, origin.space.name, host, device, None, progress) for origin in wanted]
    if isinstance(probe, LinearProbe):
        return (_verdict(probe, [_read(wanted[0], *found)]) for found in passes[0].each())
    # One network after the other: torch.fx, at work while one is loaded, disturbs those that run.
    read = [[_read(origin, *found) for found in each.each()] for origin, each in zip(wanted, passes)]
    return (_verdict(probe, together) for together in zip(*read))


def predict_stored(probe: Probe, library: Library, where: Filter | None = None) -> Iterator[Verdict]:
    """What a probe says of the items of a library, by the vectors that it holds. Raises `SpaceMismatch` where these
    are of another space."""
    wanted = origins(probe)
    found = [_stored(library, origin, where) for origin in wanted]
    for item in sorted({item for rows in found for item in rows}, key=lambda item: item.id or 0):
        lacking = [origin.space.name for origin, rows in zip(wanted, found) if item not in rows]
        if lacking:
            yield Verdict(
                item, Outcome(item, "failed", f"no vectors in {', '.join(lacking)}; index it with that model")
            )
        else:
            yield _verdict(probe, [rows[item] for rows in found])


@dataclass(frozen=True)
class _Read:
    """An item as a network sees it: what became of it, the rows that the probe takes, and the seconds of windows."""

    outcome: Outcome
    rows: Floats | None
    spans: Seconds | None


def _read(origin: FeatureSpec, outcome: Outcome, vectors: Floats | None, spans: Seconds | None) -> _Read:
    windows = origin.level == "window"
    return _Read(outcome, None if vectors is None else origin.rows(vectors), spans if windows else None)


def _stored(library: Library, origin: FeatureSpec, where: Filter | None) -> dict[Item, _Read]:
    stored, items = library.contents(origin.space, where)
    timed = origin.space.modality == "sound"
    found: dict[Item, _Read] = {}
    for content, rows in stored.grouped():
        for item in items.get(content, ()):
            spans = stored.spans[rows] if timed else None
            found[item] = _read(origin, Outcome(item, "ok"), stored.vectors[rows], spans)
    return found


def _verdict(probe: Probe, together: Sequence[_Read]) -> Verdict:
    """One item, as each network sees it."""
    rows = [read.rows for read in together if read.rows is not None]
    bad = next((read.outcome for read in together if read.outcome.status != "ok"), None)
    if bad is not None or not rows:
        outcome = bad or together[0].outcome
        return Verdict(outcome.item, outcome)
    said = probe.predict_proba(rows) if isinstance(probe, Stack) else probe.predict_proba(rows[0])
    classes = ranked(probe.classes_, said.mean(axis=0))
    first = together[0]
    return Verdict(first.outcome.item, first.outcome, classes, None if first.spans is None else said, first.spans)
