"""Files, or the items of a library -> what a probe or a stack says of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sightsound.contract.arrays import Floats, Seconds
from sightsound.contract.results import Classified, Item, Outcome, WindowScores
from sightsound.host.host import Host
from sightsound.library.filters import Filter
from sightsound.library.library import Library
from sightsound.linear.features import FeatureSpec
from sightsound.linear.probe import LinearProbe
from sightsound.linear.stack import Stack
from sightsound.pipeline.embeddings import Embeddings

PathLike = str | os.PathLike[str]
Probe = LinearProbe | Stack


def origins(probe: Probe) -> tuple[FeatureSpec, ...]:
    """Which rows a probe or each part of a stack takes. Raises `SightsoundError` for one that was not fitted from a
    library."""
    return tuple(probe.feature_specs_) if isinstance(probe, Stack) else (probe.require_feature_spec(),)


def predict(
    probe: Probe,
    paths: PathLike | Sequence[PathLike],
    *,
    host: Host | None = None,
    device: str = "auto",
    progress: bool | None = None,
) -> Iterator[Classified]:
    """What a probe says of each of these files and folders, in order; a file that fails comes with its outcome.

    Raises `SpaceMismatch` where the installed network, or its weights, are not those that the probe was fitted with.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    host = host or Host()
    wanted = origins(probe)
    for origin in wanted:
        origin.space.require(host.space(origin.space.name), "probe")
    names = " + ".join(origin.space.name for origin in wanted)
    passes = [Embeddings(paths, origin.space.name, host, device, None, progress) for origin in wanted]
    if isinstance(probe, LinearProbe):
        return (_classified(probe, names, [_read(wanted[0], *found)]) for found in passes[0].each())
    # One network after the other: torch.fx, at work while one is loaded, disturbs those that run.
    read = [[_read(origin, *found) for found in each.each()] for origin, each in zip(wanted, passes)]
    return (_classified(probe, names, together) for together in zip(*read))


def predict_stored(probe: Probe, library: Library, where: Filter | None = None) -> Iterator[Classified]:
    """What a probe says of the items of a library, by the vectors that it holds. Raises `SpaceMismatch` where these
    are of another space."""
    wanted = origins(probe)
    names = " + ".join(origin.space.name for origin in wanted)
    found = [_stored(library, origin, where) for origin in wanted]
    for item in sorted({item for rows in found for item in rows}, key=lambda item: item.id or 0):
        lacking = [origin.space.name for origin, rows in zip(wanted, found) if item not in rows]
        if lacking:
            reason = f"no vectors in {', '.join(lacking)}; index it with that model"
            yield Classified(item, Outcome(item, "failed", reason))
        else:
            yield _classified(probe, names, [rows[item] for rows in found])


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


def _classified(probe: Probe, names: str, together: Sequence[_Read]) -> Classified:
    """One item, as each network sees it."""
    rows = [read.rows for read in together if read.rows is not None]
    bad = next((read.outcome for read in together if read.outcome.status != "ok"), None)
    if bad is not None or not rows:
        outcome = bad or together[0].outcome
        return Classified(outcome.item, outcome, names)
    scores = probe.predict_proba(rows) if isinstance(probe, Stack) else probe.predict_proba(rows[0])
    spans, outcome = together[0].spans, together[0].outcome
    windows = None if spans is None else WindowScores(scores, spans, tuple(str(label) for label in probe.classes_))
    return Classified(outcome.item, outcome, names, probe.rank(scores.mean(axis=0)), windows=windows)
